# check_json.sh: the report: every field of docs/report.md, exact values where they are known.
planish convert "$stories" -o q4.gguf --type q4_0 --pure --encoder reference -j 2 > /dev/null
planish convert "$stories" -o f32.gguf --type f32 -j 2 > /dev/null
try planish check q4.gguf --against "$stories" --text "$tales" --ctx 128 --chunks 5 --protocol full --bos always \
    --json q4.json -j 2 --max-kld 5 > table
tail -n 1 table
ask q4.json 'sorted({"schema", "model", "against", "text", "protocol", "bos", "ctx", "chunks", "tokens_scored",
    "size_bytes", "bpw_body", "bpw_file", "ppl", "ppl_err", "ppl_base", "ppl_ratio", "kld_mean", "kld_err",
    "kld_median", "kld_p99", "kld_p999", "kld_max", "top1", "rms_dp", "pp_tps", "tg_tps", "mode", "device",
    "threads", "seconds", "peak_rss_bytes", "seed", "versions", "digests", "passed", "missed"} - set(d))'
ask q4.json 'd["schema"], d["protocol"], d["bos"], d["ctx"], d["chunks"], d["tokens_scored"], d["mode"], d["threads"]'
ask q4.json "d['passed'], d['missed'], d['size_bytes'] == $(size q4.gguf)"
ask q4.json '0 < d["kld_median"] < d["kld_p99"] <= d["kld_p999"] <= d["kld_max"], 1 < d["ppl_ratio"] < 2, 0 < d["top1"] < 100'
ask q4.json 'len(d["kld_windows"]), abs(sum(d["kld_windows"]) / 5 / d["kld_mean"] - 1) < 1e-9'
ask q4.json 'abs(d["ppl"] / d["ppl_base"] / d["ppl_ratio"] - 1) < 1e-6, d["pp_tps"] > 0, d["tg_tps"] > 0'
# A model against itself has lost nothing.
planish check f32.gguf --against f32.gguf --text "$tales" --ctx 128 --chunks 5 --json - -j 2 > same.json
ask same.json 'd["kld_mean"], d["kld_max"], d["top1"], d["ppl_ratio"], d["rms_dp"]'
planish check f32.gguf --against "$stories" --text "$tales" --ctx 128 --chunks 5 --json - -j 2 > moved.json
ask moved.json 'd["kld_max"] < 1e-5, d["top1"] > 99, abs(d["ppl_ratio"] - 1) < 1e-5'
# A missed threshold stands in the report too, and the exit code is 1.
try planish check q4.gguf --against "$stories" --text "$tales" --ctx 128 --chunks 2 --max-kld 0.00001 --json missed.json \
    -j 2 > /dev/null
ask missed.json 'd["passed"], len(d["missed"])'
# The result does not depend on the number of threads.
planish check q4.gguf --against "$stories" --text "$tales" --ctx 64 --chunks 3 --json - -j 1 > one.json
planish check q4.gguf --against "$stories" --text "$tales" --ctx 64 --chunks 3 --json - -j 5 > five.json
ask one.json '[k for k, v in json.load(open("five.json")).items() if k[:3] in ("ppl", "kld", "top", "rms") and v != d[k]]'
# Without an original there is perplexity alone.
planish check q4.gguf --text "$tales" --ctx 64 --chunks 3 --json - -j 2 > alone.json
ask alone.json 'd["ppl"] == json.load(open("one.json"))["ppl"], d.get("kld_mean"), d.get("against"), d["passed"]'
