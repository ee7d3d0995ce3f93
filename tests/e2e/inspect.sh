# inspect.sh: a model as a table and as JSON, from a folder, from one file, from a GGUF file.
try planish inspect "$stories"
try planish inspect "$stories/model.safetensors"
try planish convert "$stories" -o q8.gguf --type q8_0 -j 2
try planish inspect q8.gguf
planish inspect "$stories" --json > a.json
planish inspect q8.gguf --json > b.json
for file in a.json b.json; do
    ask $file '{k: v for k, v in d.items() if k != "tensors"}'
    ask $file 'len(d["tensors"]), d["tensors"][0], sum(t["bytes"] for t in d["tensors"])'
done
