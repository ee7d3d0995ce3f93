# mlx.sh: folders for MLX and dense ones: what is written, read again, refused and left behind.
tiny=$SOURCE/tests/tiny/models
try planish convert "$stories" -o out --to mlx --type affine4-g32 -j 2 --dry-run | grep -v embed_tokens | grep -v 'layers[.][1-4]'
left
try planish convert "$stories" -o out --to mlx --type affine4-g32 -j 2
left
cat out/README.md
ask out/config.json 'd["quantization"] == d["quantization_config"], d["quantization"], d["rope_theta"], list(d)[:4]'
cmp out/tokenizer.json "$stories"/tokenizer.json
try planish inspect out | grep -v '[.][1-4][.]'
try planish check out --against "$stories" --text "$tales" --chunks 1 --ctx 64 -j 2 | grep -c passed
try planish run out -p 'Once upon a time' -n 8 2> /dev/null | wc -l
# The size told beforehand is that of all files.
planish convert "$stories" -o shards --to mlx --type affine4-g32 -j 2 --max-shard-size 100K --json > shards.json
ask shards.json 'd["files"], d["bytes"] == d["bytes_planned"]'
ask shards.json 'd["bytes"]'
cat shards/* | wc -c
left shards
# The same bytes again, and full floats for other runtimes.
try planish convert shards -o again --to mlx --type affine4-g32 -j 2 | head -n 1
same again/model.safetensors out/model.safetensors
same again/config.json out/config.json
try planish convert out -o dense --to dense -j 2 | head -n 1
ask dense/config.json '[k for k in d if "quant" in k], d["torch_dtype"]'
try planish inspect dense | grep mostly
# Tokens of a type of their own, experts in stacks.
try planish convert "$stories" -o mixed --to mlx --type mxfp4 --keep 'embed_tokens=affine8-g64' -j 2 | head -n 1
ask mixed/config.json '{k: v for k, v in d["quantization"].items() if v}'
try planish convert "$tiny"/qwen3_moe -o moe --to mlx --type affine4-g32 --keep 'layers.0.mlp.experts=bf16' -j 2 | head -n 1
try planish inspect moe | grep 'layers.[01].mlp.*gate'
try planish convert "$tiny"/qwen3_moe -o no --to mlx --type affine4-g32 --keep 'experts.1.gate=bf16' -j 2
# A size to reach with these types.
try planish convert "$tiny"/qwen3_moe -o sized --to mlx --target-bpw 8 -j 2 | tail -n 1
ask sized/config.json 'sorted({v["bits"] for v in d["quantization"].values() if isinstance(v, dict)})'
try planish convert "$tiny"/qwen3_moe -o sized2 --to mlx --target-bpw 12 --target-types affine8-g32,bf16 -j 2 | tail -n 1
# What stands already.
try planish convert "$stories" -o out --to mlx --type affine2-g64 -j 2
try planish convert "$stories" -o shards --to mlx --type affine2-g64 -j 2 --force | head -n 1
left shards
echo mine > file
try planish convert "$stories" -o file --to mlx --type affine2-g64 --force
try planish convert out -o out --to dense --force
try planish convert out -o ./out/ --to mlx --type bf16 --force
try planish convert "$stories" -o none/out --to mlx --type bf16
mkdir empty
try planish convert "$stories" -o empty --to mlx --type bf16 -j 2 | head -n 1
# What cannot be.
try planish convert "$stories" -o no --to mlx --type q4_k_m
try planish convert "$stories" -o no --to mlx --type int4-g32
try planish convert "$stories" -o no --to mlx
try planish convert "$stories" -o no --to dense --type affine4-g32
try planish convert "$stories" -o no.gguf --type affine4-g32
try planish convert "$tiny"/bert -o no --to mlx --type bf16
planish convert "$stories" -o a.gguf --type f16 -j 2 > /dev/null
try planish convert a.gguf -o no --to mlx --type affine4-g32
try planish convert "$stories" -o no --to mlx2 --type bf16
[ ! -e no ] || echo 'something is left'
# A run that fails leaves no folder.
break_model nan nan
try planish convert nan -o bad --to mlx --type bf16 -j 2
[ ! -e bad ] || echo 'something is left'
# Every token goes through a shared expert: eight bits; the router stays as it is.
try planish convert "$tiny"/qwen2_moe -o no --to mlx --type affine4-g32 -j 2 --dry-run |
    grep 'layers.0.*\(shared\|mlp.gate.w\)'
try planish convert "$tiny"/qwen2_moe -o no --to mlx --type affine4-g32 -j 2 --dry-run --pure | grep 'layers.0.*shared_expert.up'
