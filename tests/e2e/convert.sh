# convert.sh: the result in words and as JSON, to a file and as a digest.
try planish convert "$stories" -o a.gguf --type q4_0 -j 2
try planish convert "$stories" -o b.gguf --type Q4_0 -j 2 --json > b.json
same a.gguf b.gguf
ask b.json 'sorted(d)'
ask b.json 'd["schema"], d["out"], d["bytes"] == d["bytes_planned"], d["threads"], len(d["tensors"])'
ask b.json 'd["peak_rss_bytes"] > 0, d["seconds"] >= 0, d["plan"][:5]'
ask b.json 'next(t for t in d["tensors"] if t["name"] == "blk.0.attn_q.weight")["type"]'
ask b.json 'all(0 <= t["rel_error"] < 0.2 for t in d["tensors"]), sorted({t["type"] for t in d["tensors"]})'
try planish convert "$stories" --type q4_0 --pure --encoder reference --to digest -j 2
planish convert "$stories" --type q4_0 --pure --encoder reference --to digest -j 1 --json > one.json
planish convert "$stories" --type q4_0 --pure --encoder reference --to digest -j 5 --json > five.json
ask one.json 'd["digest"] == json.load(open("five.json"))["digest"], d["digest"][:5]'
left
