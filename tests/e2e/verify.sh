# verify.sh: inspect --verify reads all of a model and tells what is wrong with it.
tiny=$SOURCE/tests/tiny/models
verify() { try planish inspect "$@" --verify -j 2 > /dev/null; }
shard_of() { ask mlx/model.safetensors.index.json "'bad/' + d['weight_map']['$1']"; }
try planish inspect "$stories" --verify -j 2
make_model --out model --tokenizer "$stories" --shape tiny --layers 1 --dtype BF16 > /dev/null
planish convert model -o a.gguf --type q8_0 -j 2 > /dev/null
planish convert model -o set.gguf --type q4_k --pure --max-shard-size 100K -j 2 > /dev/null
planish convert "$stories" -o mlx --to mlx --type affine4-g32 --max-shard-size 100K -j 2 > /dev/null
planish convert "$stories" -o ct --to compressed-tensors --type int4-g32 -j 2 > /dev/null
planish convert "$tiny/qwen3_moe" -o moe --to mlx --type mxfp4 -j 2 > /dev/null
for model in a.gguf set-00001-of-*.gguf mlx ct moe "$tiny/gpt2" "$tiny/bert"; do
    planish inspect $model --verify -j 1 --json > one.json
    planish inspect $model --verify -j 3 --json > three.json
    same one.json three.json
    ask one.json 'd["whole"], d["format"], len(d["files"]), d["bytes"] == sum(f["bytes"] for f in d["files"]), d["faults"]'
done
ask one.json 'd["digest"] != d["files"][0]["digest"], list(d)'
planish inspect a.gguf --verify --json > a.json
ask a.json 'd["digest"] == d["files"][0]["digest"], d["files"][0]["name"]'
# Values.
break_model nan nan
break_model infinity infinity
verify nan
verify infinity
try planish inspect nan --verify --json > nan.json
ask nan.json 'd["whole"], [f["tensor"] for f in d["faults"]], len(d["files"])'
# Scales of blocks, codes that there are not.
cp a.gguf bad.gguf
poke bad.gguf -34 007c
verify bad.gguf
last=$(ls set-*.gguf | tail -n 1)
poke "$last" -142 00fe
verify set-00001-of-*.gguf
planish convert model -o t.gguf --type tq2_0 -j 2 > /dev/null
planish inspect t.gguf --verify | tail -n 1
poke t.gguf -66 ff
verify t.gguf
# Scales and biases beside codes; what is finite until both are multiplied.
cp -r mlx bad
k_proj=model.layers.2.self_attn.k_proj up_proj=model.layers.1.mlp.up_proj
poke "$(shard_of $k_proj.scales)" $k_proj.scales 12 0000807f
verify bad
poke "$(shard_of $k_proj.scales)" $k_proj.scales 12 ffff7f7f
poke "$(shard_of $k_proj.weight)" $k_proj.weight 24 ffffffff
verify bad
poke "$(shard_of $up_proj.biases)" $up_proj.biases 0 0000c07f
verify bad
cp -r moe bad2
poke bad2/model.safetensors model.layers.1.mlp.switch_mlp.up_proj.scales 9 ff
verify bad2
cp -r ct bad3
poke bad3/model.safetensors model.layers.0.mlp.up_proj.weight_shape 8 41
verify bad3
# A tensor that the model has no place for.
cp -r "$stories" other
chmod u+w other other/*
poke other/model.safetensors model.layers.0.self_attn.rotary_emb.inv_freq + F32 2 0000803f0000c0ff
verify other
# The index and the shards.
rm -r bad && cp -r mlx bad
edit bad/model.safetensors.index.json 'd["metadata"]["total_size"] += 1'
verify bad
edit bad/model.safetensors.index.json 'd["metadata"]["total_size"] -= 1; del d["weight_map"]["model.norm.weight"]'
try planish inspect bad | tail -n 1
verify bad
edit bad/model.safetensors.index.json 'd["weight_map"]["model.norm.weight"] = "model-00005-of-00005.safetensors"
d["weight_map"]["lost"] = "model-00001-of-00005.safetensors"'
verify bad
try planish inspect bad --verify --json > bad.json
ask bad.json 'd["whole"], [(f["tensor"], "lost" in f["sentence"]) for f in d["faults"]]'
rm bad/model-00002-of-*
verify bad
break_model cut cut
verify cut
try planish inspect none --verify
