# bench.sh: tokens per second, in words and as JSON.
# memory: 1300 MiB
planish convert "$stories" -o q8.gguf --type q8_0 -j 2 > /dev/null
try planish bench q8.gguf --pp 32 --tg 8 --repeats 3 -j 2
planish bench q8.gguf --pp 32 --tg 8 --repeats 3 --json -j 2 > bench.json
ask bench.json 'sorted(d)'
ask bench.json 'all(d[k] > 0 for k in ("pp_tps", "tg_tps", "tg_gbps", "read_gbps")), d["threads"]'
