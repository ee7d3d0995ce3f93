"""render.py: docs/results.md from docs/results/*.json and the text around them.

usage: render.py        rewrites docs/results.md
"""
import json
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RESULTS = os.path.join(ROOT, "docs", "results")


def load(name):
    with open(os.path.join(RESULTS, name + ".json")) as f:
        return json.load(f)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(c) for c in row) + " |" for row in rows]
    return "\n".join(lines)


def percent(x, digits=1):
    return f"{100 * x:.{digits}f} %"


def med(s, digits=2):
    return f"{s['median']:.{digits}f} ({100 * s['spread']:.0f} %)"


def encode():
    r = load("encode")
    return table(["type", "GB of F16 input per second, one thread (spread)", "bar"],
                 [[x["type"], med(x["gb_per_s"]), "1.0" if x["type"] in ("q8_0", "q4_0") else ""] for x in r["rows"]]), r


def convert(name="convert"):
    r = load(name)
    grids = ("iq1", "iq2", "iq3")

    def bar(kind):
        if kind in ("iq4_nl", "iq4_xs"):
            return "12"
        return "3" if kind.startswith(grids) else "6 / 3" if kind.endswith("_k") else "4"
    return table(["type", "planish, reference's bytes, s (spread)", "planish best, s", "llama-quantize --pure, s",
                  "times as fast", "best, times as fast", "bar"],
                 [[x["type"], med(x["planish_s"]), med(x["best_s"]) if "best_s" in x else "", med(x["llama_s"]),
                   f"{x['times_as_fast']:.1f}", f"{x['best_times']:.1f}" if "best_times" in x else "", bar(x["type"])]
                  for x in r["rows"]]), r


def speed(name):
    r = load(name)
    return table(["type", f"pp{r['pp']} tok/s", "llama.cpp", "ratio", f"tg{r['tg']} tok/s", "llama.cpp", "ratio",
                  "tg GB/s", "share of read bandwidth"],
                 [[x["type"], med(x["pp"], 1), med(x["llama_pp"], 1), f"{x['pp_ratio']:.2f}", med(x["tg"], 1),
                   med(x["llama_tg"], 1), f"{x['tg_ratio']:.2f}", f"{x['tg_gbps']:.1f}",
                   percent(x["bandwidth_share"], 0)] for x in r["rows"]]), r


def perplexity():
    r = load("perplexity")
    return table(["type", "planish, fast mode", "llama-perplexity", "difference", "bar"],
                 [[x["type"], f"{x['planish']:.4f}", f"{x['llama']:.4f}", f"{100 * x['difference']:+.3f} %", "0.5 %"]
                  for x in r["rows"]]), r


def exact(*names):
    rows = []
    for name in names:
        r = load(name)
        x = r["rows"][0]
        rows.append([r["variant"], f"{r['text']}, {r['chunks']} windows of {r['ctx']}, BOS {r['bos']}",
                     f"{x['planish']:.4f}", f"{x['transformers']:.4f}", f"{100 * x['difference']:+.4f} %", "0.1 %"])
    return table(["model", "text", "planish, exact mode", "transformers, float32", "difference", "bar"], rows)


def architectures():
    """A row per tiny checkpoint; figures of the worst of folder and GGUF file."""
    def mark(row):
        return "yes" if row["ok"] else "**no**"
    rows = []
    for name, modes in load("architectures").items():
        load_, logits, converter, tokens = (modes[m] for m in ("load", "logits", "converter", "tokens"))
        rows.append([name, f"{mark(load_)}, {load_['apart']:.1e}", f"{mark(logits)}, {max(logits['folder'], logits['gguf']):.1e}",
                     f"{mark(converter)}, {converter['tensors']} tensors" + (
                         f"; meant: {', '.join(converter['meant'])}" if converter["meant"] else ""),
                     f"{mark(tokens)}, {tokens['texts']} texts" + (
                         f"; {tokens['gguf']} not from GGUF" if tokens["gguf"] else "")])
    return table(["checkpoint", "loads in llama.cpp, apart from transformers", "logits against transformers, apart",
                  "converter equality", "tokenizer equality"], rows)


def memory():
    r = load("memory")
    return table(["type", "peak own memory, MiB", "planned, MiB", "bar, MiB"],
                 [[x["type"] + ("" if x["whole"] else " *"), f"{x['peak'] / 2**20:.1f}", f"{x['planned'] / 2**20:.1f}", "200"]
                  for x in r["rows"]]), r


def errors():
    """Without importance / with a log-normal one, in percent."""
    r = load("errors")
    return table(["type"] + [f"{m['name']} (kurtosis {m['kurtosis']:.0f})" for m in r["matrices"]],
                 [[x["type"]] + [f"{100 * a:.0f} / {100 * b:.0f}" for a, b in x["change"]] for x in r["rows"]]), r


def mixes(name="mixes"):
    """Mean KL divergence, theirs and ours, on each text; change, its standard error, p."""
    r = load(name)
    texts = list(r["rows"][0]["texts"])
    head = ["mix", "bytes"] + [x for t in texts for x in (t, "change", "p")]

    def cells(x):
        p = "< 1e-16" if x["p"] < 1e-16 else f"{x['p']:.0e}"
        return [f"{x['theirs']:.4f} → {x['ours']:.4f}", f"{100 * x['change']:+.1f} % ± {100 * x['error']:.1f}", p]
    rows = [[x["mix"], f"{x['bytes_ours']:,}"] + [c for t in texts for c in cells(x["texts"][t])] for x in r["rows"]]
    return table(head, rows), r


def affine():
    r = load("affine")
    models = [m for m in r["errors"] if m != "SmolLM2-135M"]        # that one lies on a lattice of four bits itself
    rows = {}
    for m in models:
        for x in r["errors"][m]:
            if x["weights"] == "bf16":
                rows.setdefault(x["type"], {})[m] = x
    return table(["type"] + [f"{m}, MLX → best" for m in models],
                 [[t] + [f"{x[m]['mlx']:.3g} → {x[m]['best']:.3g} ({100 * x[m]['change']:+.0f} %)" if m in x else ""
                         for m in models] for t, x in rows.items()]), r


def mlx_convert():
    r = load("mlx-convert")
    names = {"reference": "planish, MLX's bytes", "best": "planish best", "mlx": "mlx_lm convert -q"}

    def cells(x):
        ratios = [""] * 3
        if x is not r["mlx"]:
            ratios = [f"{x['times_as_fast']:.1f}", f"{x['times_less_work']:.1f}", percent(x["share_of_memory"])]
        return [med(x["wall_s"]), ratios[0], med(x["cpu_s"]), ratios[1], f"{x['own'] / 2**20:.0f}", ratios[2],
                f"{x['rss'] / 2**20:.0f}"]
    return table(["", "wall, s (spread)", "times as fast", "processor, s (spread)", "times less", "peak own memory, MiB", "share",
                  "peak resident set, MiB"], [[text, *cells(r[way])] for way, text in names.items()]), r


def mlx_kld():
    """Mean KL divergence of MLX's own bytes, and of the search's without and with statistics."""
    r = load("mlx-kld")
    texts = list(r["rows"][0]["texts"])
    head = ["type"] + [x for t in texts for x in (t + ", MLX → best", "change", "p", "→ with statistics", "change", "p")]

    def cells(x):
        p = "< 1e-16" if x["p"] < 1e-16 else f"{x['p']:.0e}"
        return [f"{100 * x['change']:+.1f} % ± {100 * x['error']:.1f}", p]
    rows = [[x["type"]] + [c for t in texts for pair in [x["texts"][t]]
                           for c in (f"{pair['best']['theirs']:.4g} → {pair['best']['ours']:.4g}", *cells(pair["best"]),
                                     f"{pair['stats']['ours']:.4g}", *cells(pair["stats"]))] for x in r["rows"]]
    return table(head, rows), r


def mlx():
    """Perplexity by mlx_lm."""
    r = load("mlx")
    return table(["type", "planish, exact mode", "mlx_lm", "difference", "tokens", "bar"],
                 [[x["type"], f"{x['planish']:.4f}", f"{x['mlx']:.4f}", f"{100 * x['difference']:+.3f} %", x["tokens"], "0.5 %"]
                  for x in r["rows"]]), r


def big():
    r = load("big")
    rows = []
    for x in r["rows"]:
        free, limited = ([f"{run['wall_s']:.0f} ({run['cpu_s']:.0f})" for run in x[way]] for way in ("free", "limited"))
        peak = max(run["group_peak"] or 0 for run in x["limited"])
        rows.append([x["case"], f"{x['bytes'] / 1e9:.1f}", f"{x['written'] / 1e9:.1f}", ", ".join(free), ", ".join(limited),
                     percent(x["speed"], 0), f"{max(run['own'] for run in x['limited']) / 2**20:.0f}",
                     f"{peak / 2**20:.0f}" if peak else ""])
    return table(["case", "GB of input", "GB written", "s without limit (processor)", "s with it", "speed kept",
                  "own memory, MiB", "group's peak, MiB"], rows), r


def kills():
    r = load("kills")
    return table(["what", "shares", "killed", "times", "outputs", "identical to an undisturbed run"],
                 [[f"`{x['command']}`", x["parts"] or "",
                   "at random moments" if x["moments"] == "random" else "before single calls", x["kills"],
                   x["outputs"], "all" if x["identical"] else "NO"] for x in r["rows"]]), r


def faults():
    r = load("faults")
    return table(["what fails", "calls made", "runs in which one failed", "ended with a sentence", "gone on with", "wrong"],
                 [[kind, f"{x['calls']:,}", f"{x['struck']:,}", f"{x['refused']:,}", f"{x['resumed']:,}", x["wrong"]]
                  for kind, x in r["total"].items()]), r


def layout():
    r = load("layout")

    def pair(x, unit):
        return ", ".join(f"{x[way][unit]:.1f}" for way in ("layout_pack", "layout_unpack"))

    def generic(x):
        return ", ".join(f"{x[way]['gelem_s'] * 1000:.0f}" for way in ("layout_pack_generic", "layout_unpack_generic"))
    return table(["order", "way", "definition, M elements/s (pack, unpack)", "as chosen, G elements/s", "GB/s"],
                 [[x["type"], x["layout_pack"]["variant"] or "the definition", generic(x), pair(x, "gelem_s"), pair(x, "gb_s")]
                  for x in r["rows"]]), r


def stream():
    r = load("stream")
    m = r["medians"]
    return table(["", "median", "share", "bar"], [
        ["plain O_DIRECT read loop", f"{m['loop'] / 1e9:.2f} GB/s", "", ""],
        ["load and check all of it", f"{m['load'] / 1e9:.2f} GB/s", percent(m["load_share"], 0), "80 %"],
        [f"decode, {m['bytes_per_token'] / 1e9:.2f} GB from the disk per token", f"{m['tokens_per_s']:.2f} tokens/s",
         percent(m["stream_share"], 0), "90 %"]]), r


def fuzz():
    return table(["target", "executions", "CPU minutes", "of these since its last finding", "edges", "findings, all fixed"],
                 [[r["target"], f"{r['executions']:,}", f"{r['cpu_minutes']:.0f}", f"{r['cpu_minutes_since_finding']:.0f}",
                   r["edges"], r["findings"]] for r in load("fuzz")["targets"]])


def main():
    with open(os.path.join(ROOT, "tests", "bench", "results.template.md")) as f:
        text = f.read()
    for name in ("encode", "perplexity", "memory", "errors", "affine", "mlx", "big", "kills", "faults", "layout", "stream"):
        body, r = globals()[name]()
        text = text.replace(f"@{name}@", body).replace(f"@{name}.variant@", r.get("variant", ""))
    for name in ("convert", "convert-k", "convert-stats"):
        body, r = convert(name)
        text = text.replace(f"@{name}@", body).replace(f"@{name}.variant@", r["variant"])
    for name in ("mlx-convert", "mlx-kld"):
        body, r = globals()[name.replace("-", "_")]()
        text = text.replace(f"@{name}@", body).replace(f"@{name}.variant@", r["variant"])
    for name in ("mixes", "mixes-others", "mixes-short", "mixes-dither", "mixes-stories", "target"):
        body, r = mixes(name)
        text = text.replace(f"@{name}@", body).replace(f"@{name}.variant@", r["variant"])
    for name in ("speed-2b", "speed-smollm2"):
        body, r = speed(name)
        text = text.replace(f"@{name}@", body).replace(f"@{name}.variant@", r["variant"])
    text = text.replace("@architectures@", architectures()).replace("@fuzz@", fuzz())
    text = text.replace("@exact@", exact("exact-smollm2", "exact-stories260k"))
    machine = load("convert")["machine"]
    text = text.replace("@machine@", f"{machine['cpu']}, {machine['threads']} threads")
    with open(os.path.join(ROOT, "docs", "results.md"), "w") as f:
        f.write(text)


if __name__ == "__main__":
    main()
