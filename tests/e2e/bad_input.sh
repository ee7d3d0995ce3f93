# bad_input.sh: damaged and foreign checkpoints: each is refused with a sentence that says where.
for way in empty cut longer header-cut header-huge header-text dtype integers shape shape-type offsets \
    unknown-tensor missing-tensor extra-layer nan infinity lost-shard wrong-shard outside-shard architecture \
    hidden-text hidden-zero heads huge-vocab config-syntax config-missing tokenizer-missing tokenizer-type \
    weights-missing; do
    break_model $way $way
    try planish convert $way -o $way.gguf --type q8_0 -j 2
done
# Two shards hold the same model as one file.
mkdir split whole
break_model shards split/model
cp -r "$stories" whole/model
for folder in split whole; do planish convert $folder/model -o $folder.gguf --type q8_0 > /dev/null; done
same split.gguf whole.gguf
# A model without a vocabulary can be converted, but not be spoken to.
try planish run tokenizer-missing.gguf -p Once
ls *.gguf
