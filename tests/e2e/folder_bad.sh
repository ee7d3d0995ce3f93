# folder_bad.sh: folder outputs that cannot be: what is said, and that nothing stands under final names then.
break_model shards model > /dev/null
index=model/model.safetensors.index.json
kinds=("mlx affine4-g32" "compressed-tensors int4-g32" "dense bf16")
each() { # OUT OPTIONS: a conversion of each kind
    local kind
    for kind in "${kinds[@]}"; do
        try planish convert model -o "$1" --to ${kind% *} --type ${kind#* } -j 2 "${@:2}" | head -n 1
    done
}
# Something is in the way.
mkdir full && echo mine > full/notes.txt
each full
echo text > file
each file
each none/out
each model --force
left full
# An index that lists what shards lack, or a shard that is not there; a shard that ends early.
cp -r model good
edit $index 'd["weight_map"]["lost"] = "model-00001-of-00002.safetensors"'
each out
edit $index 'd["weight_map"]["lost"] = "model-00003-of-00002.safetensors"'
each out
cp good/*.index.json model
head -c 300000 good/model-00002-of-00002.safetensors > model/model-00002-of-00002.safetensors
each out
[ ! -e out ] || left out
# Values that are no numbers come to light only while the output is written.
cp good/*.safetensors model
poke model/model-00002-of-00002.safetensors model.layers.4.mlp.up_proj.weight 400 0000c07f
each out --max-shard-size 100K
[ ! -e out ] || left out
# It fits neither the groups nor, for some, the format: the plan says which matrices stay as they are.
cp good/*.safetensors model
for kind in "mlx affine4-g64" "mlx mxfp4" "compressed-tensors int4-g64"; do
    try planish convert model -o out --to ${kind% *} --type ${kind#* } --dry-run | grep 'layers.0.*\(down\|o\)_proj\|note'
    planish convert model -o out --to ${kind% *} --type ${kind#* } --dry-run --json > plan.json
    ask plan.json '[(t["type"], t.get("why")) for t in d["tensors"] if "0.mlp.down" in t["name"] or "0.self_attn.o" in t["name"]]'
done
[ ! -e out ] || left out
# A GGUF file has no config.json to take over.
planish convert good -o a.gguf --type f16 -j 2 > /dev/null
for kind in "${kinds[@]}" "gptq int4-g32" "awq int4-g32"; do
    try planish convert a.gguf -o out --to ${kind% *} --type ${kind#* } --dry-run
done
