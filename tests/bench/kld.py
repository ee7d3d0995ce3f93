"""kld.py: KL divergence of many converted models on one text, and of two of them in pairs of windows; for mixes.py and
mlx_kld.py."""
import argparse
import json
import math
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOGETHER = 48           # models beside one run of the original


def arguments(usage, name, ctx):
    """The options that these programs share; the caller adds its own."""
    p = argparse.ArgumentParser(usage=usage)
    for option in ("planish", "model", "stats", "work"):
        p.add_argument("--" + option, required=True)
    p.add_argument("--text", nargs="+", required=True)
    p.add_argument("--ctx", type=int, default=ctx)
    p.add_argument("--chunks", type=int, default=80)
    p.add_argument("--variant", default="")
    p.add_argument("--name", default=name)
    return p


def convert(a, out, *options):
    """`out`, a file or a folder, made unless it is there as a whole: config.json comes last."""
    if not os.path.isfile(out) and not os.path.exists(os.path.join(out, "config.json")):
        subprocess.run([a.planish, "convert", a.model, "-o", out, "--resume", *options], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return out


def measure(a, text, files):
    """Reports of all files on one text, by base name; those that are not there yet in one run beside the original."""
    store = os.path.join(a.work, f"kld-{os.path.basename(text)}-{a.ctx}-{a.chunks}.json")
    have = json.load(open(store)) if os.path.exists(store) else {}
    missing = [f for f in files if os.path.basename(f) not in have]
    for at in range(0, len(missing), TOGETHER):
        part = missing[at:at + TOGETHER]
        out = subprocess.run([a.planish, "check", *part, "--against", a.model, "--text", text, "--ctx", str(a.ctx),
                              "--protocol", "full", "--chunks", str(a.chunks), "--json", "-"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL).stdout
        report = json.loads(out)
        for file, r in zip(part, report.get("reports", [report])):
            have[os.path.basename(file)] = {k: r[k] for k in ("kld_mean", "kld_windows", "ppl", "size_bytes", "top1")}
        with open(store + ".part", "w") as f:
            json.dump(have, f)
        os.rename(store + ".part", store)
    return have


def pair(theirs, ours):
    """Change of the mean KL divergence, its standard error (delta method) and the two-sided p of the paired differences,
    normal approximation, over windows."""
    x, y = theirs["kld_windows"], ours["kld_windows"]
    n, mx, my = len(x), sum(x) / len(x), sum(y) / len(y)
    ratio = my / mx
    error = math.sqrt(sum((b - ratio * a) ** 2 for a, b in zip(x, y)) / (n * (n - 1))) / mx
    d = [b - a for a, b in zip(x, y)]
    mean = sum(d) / n
    spread = math.sqrt(sum((v - mean) ** 2 for v in d) / (n * (n - 1)))
    p = math.erfc(abs(mean / spread) / math.sqrt(2)) if spread else 1.0     # the same in every window: the same bytes
    return {"theirs": mx, "ours": my, "change": ratio - 1, "error": error, "p": p,
            "ppl_theirs": theirs["ppl"], "ppl_ours": ours["ppl"]}


def save(a, rows):
    with open(os.path.join(ROOT, "docs", "results", a.name + ".json"), "w") as f:
        json.dump({"variant": a.variant, "ctx": a.ctx, "chunks": a.chunks, "rows": rows}, f, indent=1)
        f.write("\n")
