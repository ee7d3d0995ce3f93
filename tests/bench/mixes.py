"""mixes.py: what each mix loses, llama-quantize's file against ours with the same statistics, in pairs of windows.

usage: mixes.py --planish PROGRAM --model F16.gguf --stats FILE --work DIR --text FILE... [--mixes A,B,..]
                [--ctx 256] [--chunks 80] [--variant TEXT] [--name mixes]

LLAMA_BIN names the folder of llama-quantize. Files and reports stay in DIR and are used again: an interrupted run goes on.
Writes docs/results/NAME.json.
"""
import argparse
import json
import math
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MIXES = ("q2_k,q2_k_s,q3_k_s,q3_k_m,q3_k_l,q4_k_s,q4_k_m,q5_k_s,q5_k_m,q6_k,q4_0,q5_0,iq4_nl,iq4_xs,"
         "iq3_m,iq3_s,iq3_xs,iq3_xxs,iq2_m,iq2_s,iq2_xs,iq2_xxs,iq1_m,iq1_s")


def make(a, mix):
    """Paths of llama-quantize's file and of ours."""
    theirs, ours = (os.path.join(a.work, f"{who}-{mix}.gguf") for who in ("ll", "pl"))
    if not os.path.exists(theirs):
        tool = os.path.join(os.environ["LLAMA_BIN"], "llama-quantize")
        subprocess.run([tool, "--imatrix", a.stats, a.model, theirs + ".part", mix.upper()], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.rename(theirs + ".part", theirs)
    if not os.path.exists(ours):
        subprocess.run([a.planish, "convert", a.model, "-o", ours, "--type", mix, "--stats", a.stats], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return theirs, ours


def measure(a, text, files):
    """Reports of all files on one text, by base name; those that are not there yet in one run beside the original."""
    store = os.path.join(a.work, f"kld-{os.path.basename(text)}-{a.ctx}-{a.chunks}.json")
    have = json.load(open(store)) if os.path.exists(store) else {}
    missing = [f for f in files if os.path.basename(f) not in have]
    for at in range(0, len(missing), 48):
        part = missing[at:at + 48]
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
    n, mx, my = len(x), sum(x_ for x_ in x) / len(x), sum(y) / len(y)
    ratio = my / mx
    error = math.sqrt(sum((b - ratio * a) ** 2 for a, b in zip(x, y)) / (n * (n - 1))) / mx
    d = [b - a for a, b in zip(x, y)]
    mean = sum(d) / n
    spread = math.sqrt(sum((v - mean) ** 2 for v in d) / (n * (n - 1)))
    return {"theirs": mx, "ours": my, "change": ratio - 1, "error": error, "p": math.erfc(abs(mean / spread) / math.sqrt(2)),
            "ppl_theirs": theirs["ppl"], "ppl_ours": ours["ppl"]}


def main():
    p = argparse.ArgumentParser()
    for name in ("planish", "model", "stats", "work"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--text", nargs="+", required=True)
    p.add_argument("--mixes", default=MIXES)
    p.add_argument("--ctx", type=int, default=256)
    p.add_argument("--chunks", type=int, default=80)
    p.add_argument("--variant", default="")
    p.add_argument("--name", default="mixes")
    a = p.parse_args()
    mixes = a.mixes.split(",")
    files = {m: make(a, m) for m in mixes}
    flat = [f for pair_ in files.values() for f in pair_]
    reports = {t: measure(a, t, flat) for t in a.text}
    rows = []
    for m in mixes:
        theirs, ours = (os.path.basename(f) for f in files[m])
        rows.append({"mix": m, "bytes_theirs": os.path.getsize(files[m][0]), "bytes_ours": os.path.getsize(files[m][1]),
                     "texts": {os.path.basename(t): pair(reports[t][theirs], reports[t][ours]) for t in a.text}})
    with open(os.path.join(ROOT, "docs", "results", a.name + ".json"), "w") as f:
        json.dump({"variant": a.variant, "ctx": a.ctx, "chunks": a.chunks, "rows": rows}, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
