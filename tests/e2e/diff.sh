# diff.sh: two models tensor by tensor: formats that hold the same, other types, other models.
planish convert "$stories" -o a.gguf --type q8_0 -j 2 > /dev/null
planish convert "$stories" -o b.pl --type q8_0 -j 2 > /dev/null
planish convert "$stories" -o c.gguf --type f32 -j 2 > /dev/null
try planish diff a.gguf b.pl
try planish diff "$stories" c.gguf --all | grep 'embed\|layers.0\|tensors'
try planish diff c.gguf a.gguf | grep 'embed\|blk.0\|output_norm\|tensors'
planish diff c.gguf a.gguf --json > diff.json || echo "exit code $?"
ask diff.json 'd["same"], len(d["tensors"]), sum(t["different"] for t in d["tensors"]) > 200000'
planish diff c.gguf a.gguf --json -j 1 | cmp - diff.json && echo "the same with one thread"
# Other shapes, other layers; an own folder.
make_model --out one --tokenizer "$stories" --shape tiny --layers 1
make_model --out two --tokenizer "$stories" --shape tiny --layers 2
try planish diff one two | grep 'layers.1.*norm\|tensors'
try planish diff "$stories" one | grep 'shape\|tensors' | head -n 3
try planish diff a.gguf
try planish diff a.gguf nothing.gguf
