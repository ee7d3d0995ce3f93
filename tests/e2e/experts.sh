# experts.sh: mixtures of experts: one line for all of a layer, one tensor in GGUF, one type.
mixtral=$SOURCE/tests/tiny/models/mixtral
try planish inspect "$mixtral" | grep -E '^tensor|layers\.1\.block'
try planish convert "$mixtral" --type q4_0 --dry-run -j 2 | grep -E '^tensor|blk\.1\.ffn|^size'
try planish convert "$mixtral" -o a.gguf --type q8_0 -j 2
try planish inspect a.gguf | grep 'blk\.1\.ffn'
planish inspect a.gguf --json > a.json
ask a.json 'len(d["tensors"]), [t["expert"] for t in d["tensors"] if t["layer"] == 1 and t["role"] == "ffn_up"]'
# A recipe may choose a type for all experts of a layer, not for some.
cat > all.json <<'END'
{ "rules": [ { "role": "ffn_down", "layers": "1", "type": "q4_0" } ] }
END
cat > some.json <<'END'
{ "rules": [ { "name": "model.layers.1.*.experts.2.w3.weight", "type": "q4_0" } ] }
END
try planish convert "$mixtral" -o b.gguf --type q8_0 --recipe all.json -j 2 > /dev/null
planish inspect b.gguf | grep 'ffn_down'
try planish convert "$mixtral" -o c.gguf --type q8_0 --recipe some.json -j 2
# From GGUF to GGUF, split and joined.
try planish convert a.gguf -o again.gguf --type q8_0 -j 2 > /dev/null
same a.gguf again.gguf
try planish convert a.gguf -o s.gguf --type q8_0 -j 2 --max-shard-size 20K > /dev/null
try planish convert s-00003-of-0000*.gguf -o joined.gguf --type q8_0 -j 2 > /dev/null
same a.gguf joined.gguf
left
