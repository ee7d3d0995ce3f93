# scale.sh: metadata as large as the largest checkpoints have it; a limit of time that only quadratic work misses.
# memory: 300 MiB
quick() { timeout 30 "$@"; }
make_scale() { "$PYTHON" "$E2E/make_scale.py" "$@"; }
make_scale shards shards
quick planish inspect shards --json > shards.json
ask shards.json 'len(d["tensors"])'
try quick planish convert shards -o shards.gguf --type q8_0 -j 2 --dry-run | tail -n 3
make_scale tokens tokens
try quick planish inspect tokens | head -n 5
try quick planish convert tokens -o tokens.gguf --type q8_0 -j 2
try quick planish inspect tokens.gguf | head -n 5
