# ct.sh: folders of whole-number codes, compressed-tensors', GPTQ's and AWQ's: what is written, read again, refused.
tiny=$SOURCE/tests/tiny/models
try planish convert "$stories" -o out --to compressed-tensors --type int4-g32 -j 2 --dry-run | grep 'embed\|layers.0'
try planish convert "$stories" -o out --to compressed-tensors --type int4-g32 -j 2
left out
ask out/config.json 'd["quantization_config"], "torch_dtype" in d'
try planish inspect out | grep 'mostly\|layers.0.*proj'
try planish check out --against "$stories" --text "$tales" --chunks 1 --ctx 64 -j 2 | grep -c passed
try planish run out -p 'Once upon a time' -n 8 2> /dev/null | wc -l
# Eight bits and one scale for a row are signed bytes.
try planish convert "$stories" -o bytes --to compressed-tensors --type int8 -j 2 | head -n 1
ask bytes/config.json 'd["quantization_config"]["format"], d["quantization_config"]["ignore"]'
try planish inspect bytes | grep 'mostly\|layers.0.*down'
try planish check bytes --against "$stories" --text "$tales" --chunks 1 --ctx 64 -j 2 | grep -c passed
# The same bytes again; other formats.
for from in out bytes; do
    type=$(planish inspect $from | sed -n 's/.*mostly //p')
    planish convert $from -o again --to compressed-tensors --type "$type" -j 2 > /dev/null 2>&1
    same again/model.safetensors $from/model.safetensors
    same again/config.json $from/config.json
    rm -r again
done
try planish convert out -o dense --to dense --type f32 -j 2 | head -n 1
try planish convert bytes -o bytes.gguf --type q8_0 -j 2 | head -n 1
# The size told beforehand is that of all files; ranges of rows do not show.
make_model --out model --tokenizer "$stories" --shape tiny --layers 1 --dtype BF16
for to in compressed-tensors gptq gptq-v2 awq; do
    type=int4-g128
    [ $to != gptq-v2 ] || type=uint4-g128
    planish convert model -o $to --to $to --type $type -j 1 --json > $to.json
    ask $to.json 'd["bytes"] == d["bytes_planned"]'
    [ "$(ask $to.json 'd["bytes"]')" = "$(cat $to/* | wc -c)" ] || echo "$to has another size"
    planish convert model -o again --to $to --type $type -j 2 --memory 13300K > /dev/null
    same again/model.safetensors $to/model.safetensors
    rm -r again
done
ask gptq/config.json 'd["quantization_config"]'
ask gptq-v2/config.json 'd["quantization_config"]'
ask awq/config.json 'd["quantization_config"]'
# GPTQ and AWQ are read again; the same codes, and codes that the other format can have, are copied.
for from in gptq gptq-v2 awq; do
    try planish inspect $from | grep 'mostly\|layers.0.*down'
    type=$(planish inspect $from | sed -n 's/.*mostly //p')
    planish convert $from -o again --to $from --type "$type" -j 2 > /dev/null 2>&1
    same again/model.safetensors $from/model.safetensors
    planish convert $from -o floats --to dense --type f32 -j 2 > /dev/null 2>&1
    try planish check $from --against floats --text "$tales" --chunks 1 --ctx 64 -j 2 | grep 'KL div'
    rm -r again floats
done
try planish run awq -p 'Once upon a time' -n 8 2> /dev/null | wc -l
try planish convert awq -o again --to gptq --type uint4-g128 -j 2 --dry-run | grep 'layers.0.*down'
try planish convert model -o awq-sym --to awq --type int4-g128 --sym -j 2 --dry-run | grep 'layers.0.*down'
try planish convert gptq -o gptq.gguf --type q8_0 -j 2 | head -n 1
# Small floats, which runtimes of compressed-tensors multiply without unpacking. Q, K and V share a number.
for type in fp8 nvfp4 mxfp4; do
    try planish convert "$stories" -o $type --to compressed-tensors --type $type -j 2 | head -n 1
    ask $type/config.json 'd["quantization_config"]["config_groups"]["group_0"]'
    try planish inspect $type | grep 'mostly\|layers.0.*proj'
    try planish check $type --against "$stories" --text "$tales" --chunks 1 --ctx 64 -j 2 | grep -c passed
done
"$PYTHON" - << 'END'
import json, struct
raw = open("nvfp4/model.safetensors", "rb").read()
size = struct.unpack("<Q", raw[:8])[0]
for name, t in json.loads(raw[8:8 + size]).items():
    if "layers.0" in name and name.endswith("global_scale"):
        print(name, struct.unpack("<f", raw[8 + size + t["data_offsets"][0]:][:4])[0])
END
try planish convert "$tiny"/qwen3_moe -o moe --to gptq --type int4-g32 -j 2 | head -n 1
ask moe/config.json 'd["quantization_config"]["dynamic"]'
# What cannot be.
try planish convert "$stories" -o no --to gptq --type int4-g32
try planish convert "$stories" -o no --to awq --type int4-g32
try planish convert "$stories" -o no --to awq --type int8
try planish convert "$stories" -o no --to compressed-tensors --type int4-g32 --keep 'layers.0.*up_proj=int8'
try planish convert "$stories" -o no --to compressed-tensors --type bf16
try planish convert "$stories" -o no --to gptq --type fp8
try planish convert "$stories" -o no.gguf --type fp8
make_model --out halves --tokenizer "$stories" --shape tiny --layers 1 --dtype F16
planish convert halves -o ct --to compressed-tensors --type uint4-g32 -j 2 > /dev/null
"$PYTHON" - << 'END'
import json, struct
with open("ct/model.safetensors", "r+b") as file:
    size = struct.unpack("<Q", file.read(8))[0]
    tensors = json.loads(file.read(size))
    begin, end = next(t["data_offsets"] for name, t in tensors.items() if name.endswith("weight_zero_point"))
    file.seek(8 + size + begin)
    file.write(bytes(end - begin))
END
try planish convert ct -o no --to gptq --type uint4-g32 -j 2
try planish convert ct -o zero --to gptq-v2 --type uint4-g32 -j 2 | head -n 1
try planish convert "$stories" -o no --to compressed-tensors --type q4_0
try planish convert "$tiny"/gpt2 -o no --to compressed-tensors --type int4-g32
try planish convert "$tiny"/bert -o no --to gptq --type int4-g32
planish convert "$stories" -o a.gguf --type f16 -j 2 > /dev/null
try planish convert a.gguf -o no --to compressed-tensors --type int4-g32
[ ! -e no ] || echo 'something is left'
