# types.sh: every storage type: the planned size is the size to the byte, and the bytes are the same
# for any number of threads.
for type in q8_0 q5_1 q5_0 q4_1 q4_0 f16 bf16 f32; do
    planish convert "$stories" -o $type.gguf --type $type --pure --encoder reference --dry-run --json > plan.json
    planish convert "$stories" -o $type.gguf --type $type --pure --encoder reference -j 1 --json > done.json
    bytes=$(size $type.gguf)
    echo "$type: $bytes bytes"
    [ "$(ask plan.json 'd["bytes_planned"]') $(ask done.json 'd["bytes"]')" = "$bytes $bytes" ] || echo '  not as planned'
    for threads in 2 7; do
        planish convert "$stories" -o threads.gguf --type $type --pure --encoder reference -j $threads --force > /dev/null
        same $type.gguf threads.gguf
    done
    ask done.json '"  bits per weight: %.3f in the blocks, %.3f over the file" % (d["bpw_body"], d["bpw_file"])'
    ask done.json '"  mean error %.5f" % (sum(t["rel_error"] for t in d["tensors"]) / len(d["tensors"]))'
done
