# memory_limit.sh: --memory lowers ranges and workers, and says when that is not enough.
make_model --out small --tokenizer "$stories" --shape small > /dev/null
try planish convert small -o a.gguf --type q8_0 -j 8 --memory 1K
[ ! -e a.gguf ] || echo 'an output was left'
planish convert small -o a.gguf --type q8_0 -j 8 --json > a.json
planish convert small -o b.gguf --type q8_0 -j 8 --memory 20M --json > b.json
ask a.json 'd["threads"], d["peak_planned"] > 20 << 20'
ask b.json 'd["peak_planned"] <= 20 << 20'
same a.gguf b.gguf
watch memory $((20 << 20)) planish convert small -o c.gguf --type q8_0 -j 8 --memory 20M
