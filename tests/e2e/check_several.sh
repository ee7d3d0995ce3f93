# check_several.sh: several candidates against one run of the original: each as if it were alone, and how they differ.
planish convert "$stories" -o q8.gguf --type q8_0 --pure --encoder reference -j 2 > /dev/null
planish convert "$stories" -o q5.gguf --type q5_0 --pure --encoder reference -j 2 > /dev/null
planish convert "$stories" -o q4.gguf --type q4_0 --pure --encoder reference -j 2 > /dev/null
try planish check q4.gguf q5.gguf q8.gguf --against "$stories" --text "$tales" --ctx 128 --chunks 8 -j 2
try planish check q4.gguf q8.gguf --text "$tales" --ctx 128 --chunks 8 -j 2
# The report holds the reports of single runs, apart from what was timed.
planish check q4.gguf q5.gguf --against "$stories" --text "$tales" --ctx 64 --chunks 6 -j 2 --json both.json > table
tail -n 1 table
planish check q4.gguf --against "$stories" --text "$tales" --ctx 64 --chunks 6 -j 1 --json q4.json > /dev/null
planish check q5.gguf --against "$stories" --text "$tales" --ctx 64 --chunks 6 -j 1 --json q5.json > /dev/null
ask both.json 'sorted(d), d["schema"], d["passed"], len(d["reports"])'
ask both.json '[list(r) == list(json.load(open(f))) for r, f in zip(d["reports"], ("q4.json", "q5.json"))]'
ask both.json '[k for r, f in zip(d["reports"], ("q4.json", "q5.json")) for k, v in json.load(open(f)).items()
    if v != r[k] and k not in ("pp_tps", "tg_tps", "seconds", "peak_rss_bytes", "threads")]'
# The pairs can be had from the windows, too.
ask both.json '[(p["model"], p["with"], p["windows"], sorted(p)) for p in d["paired"]]'
ask both.json '(lambda q, w: abs(sum(q) / sum(w) - 1 - d["paired"][0]["kld_change"]) < 1e-9)(d["reports"][1]["kld_windows"],
    d["reports"][0]["kld_windows"])'
ask both.json '0 < d["paired"][0]["kld_change_err"] < 0.2, 0 < d["paired"][0]["p"] < 0.01'
# The same file twice: no change, and no p. One window: no error either.
planish check q4.gguf q4.gguf --against "$stories" --text "$tales" --ctx 64 --chunks 3 -j 2 --json - > same.json
ask same.json '[d["paired"][0][k] for k in ("kld_change", "kld_change_err", "p", "windows")]'
try planish check q4.gguf q8.gguf --against "$stories" --text "$tales" --ctx 64 --chunks 1 -j 2 --json one.json
ask one.json '-1 < d["paired"][0]["kld_change"] < -0.9, d["paired"][0]["kld_change_err"], d["paired"][0]["p"]'
# One of two misses a threshold.
try planish check q8.gguf q4.gguf --against "$stories" --text "$tales" --ctx 64 --chunks 4 -j 2 --max-kld 0.01 \
    --json missed.json
ask missed.json 'd["passed"], [(r["passed"], len(r["missed"])) for r in d["reports"]]'
# A model of another vocabulary, a missing file, too many, an encoder among decoders.
try planish check q8.gguf "$SOURCE/tests/tiny/models/llama" q4.gguf --against "$stories" --text "$tales"
try planish check q8.gguf absent.gguf --against "$stories" --text "$tales"
try planish check q8.gguf "$SOURCE/tests/tiny/models/bert" --against "$stories" --text "$tales"
try planish check $(seq 65) --against "$stories" --text "$tales"
# Encoders.
encoder=$SOURCE/tests/tiny/models/bert
planish convert "$encoder" -o e8.gguf --type q8_0 -j 2 > /dev/null
planish convert "$encoder" -o e4.gguf --type q4_0 --pure -j 2 > /dev/null
try planish check e8.gguf e4.gguf --against "$encoder" --text "$tales" --chunks 12 -j 2
planish check e8.gguf e4.gguf --against "$encoder" --text "$tales" --chunks 12 -j 2 --json both.json > /dev/null
planish check e4.gguf --against "$encoder" --text "$tales" --chunks 12 -j 1 --json e4.json > /dev/null
ask e4.json '[k for k in d if k[:3] in ("cos", "sim", "tok") and json.load(open("both.json"))["reports"][1][k] != d[k]]'
ask both.json 'd["paired"]'
