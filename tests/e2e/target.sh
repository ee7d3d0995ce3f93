# target.sh: a size is wished for, the types follow from it.
try planish convert "$stories" -o a.gguf --target-size 270000 -j 2
try planish convert "$stories" -o b.gguf --target-size 270000 -j 1 --json > b.json
same a.gguf b.gguf
ask b.json 'd["target"]["bytes"] == d["bytes"], 0.998 * 270000 < d["bytes"] <= 270000'
ask b.json 'd["target"]["probe"], d["target"]["loss_unit"]'
ask b.json 'sorted(d["target"]), sorted(d["target"]["tensors"][0])'
ask b.json '{t["name"]: t["type"] for t in d["tensors"]}["blk.0.ffn_down.weight"], len(d["target"]["tensors"])'
# probed: once by matrix, then another size from the cache; the real run agrees with what was predicted
yes 'Once upon a time there was a little girl who had a red ball. She went to the park with her mum.' | head -n 60 > calib.txt
try planish convert "$stories" -o c.gguf --target-bpw 8.4 --calib calib.txt --cache cache.json -j 2 --json > c.json
ask c.json 'd["target"]["probe"], d["target"]["passes"], d["target"]["passes_new"], 0.998 * 8.4 < d["bpw_file"] <= 8.4'
ask c.json '0.3 < d["target"]["loss_measured"] / d["target"]["loss_predicted"] < 3'
try planish convert "$stories" -o d.gguf --target-bpw 9 --calib calib.txt --cache cache.json -j 2 --json > d.json
ask d.json 'd["target"]["passes"], d["target"]["passes_new"]'
ask d.json 'd["target"]["loss_measured"] < json.load(open("c.json"))["target"]["loss_measured"]'
try planish convert "$stories" -o e.gguf --target-bpw 9 --calib calib.txt --probe layer -j 2 --json > e.json
ask e.json 'd["target"]["probe"], d["target"]["passes"], 0.3 < d["target"]["loss_measured"] / d["target"]["loss_predicted"] < 3'
# a damaged cache is no cache
head -c 1000 cache.json > part.json
try planish convert "$stories" -o f.gguf --target-bpw 9 --calib calib.txt --cache part.json -j 2 --json > f.json
same d.gguf f.gguf
ask f.json 'd["target"]["passes_new"]'
# rules go before the target; types may be named
keep='^output|token_embd=f16'
try planish convert "$stories" --target-size 300k --target-types q4_0,q8_0 --keep "$keep" --dry-run --json > g.json
ask g.json 'sorted({t["type"] for t in d["tensors"]}), d["bytes_planned"] <= 300 * 1024'
# what cannot be
try planish convert "$stories" -o x.gguf --target-bpw 3
try planish convert "$stories" -o x.gguf --target-size 1k --type q8_0
try planish convert "$stories" -o x.gguf --target-size 1k --target-bpw 3
try planish convert "$stories" -o x.gguf --type q8_0 --cache c
try planish convert "$stories" -o x.gguf --target-bpw 9 --probe layer
try planish convert "$stories" -o x.gguf --target-bpw 9 --target-types q4_0,q9_0
try planish convert "$stories" -o x.gguf --target-bpw 9 --target-types q4_0,q4_0
try planish convert "$stories" -o x.gguf --target-bpw 9 --calib absent.txt
left .
