"""mixes.py: what each mix loses, llama-quantize's file against ours with the same statistics, in pairs of windows.

usage: mixes.py --planish PROGRAM --model F16.gguf --stats FILE --work DIR --text FILE... [--mixes A,B,..]
                [--ctx 256] [--chunks 80] [--variant TEXT] [--name mixes]

LLAMA_BIN names the folder of llama-quantize. Files and reports stay in DIR and are used again: an interrupted run goes on.
Writes docs/results/NAME.json.
"""
import os
import subprocess

import kld

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
    return theirs, kld.convert(a, ours, "--type", mix, "--stats", a.stats)


def main():
    p = kld.arguments(__doc__, "mixes", 256)
    p.add_argument("--mixes", default=MIXES)
    a = p.parse_args()
    mixes = a.mixes.split(",")
    files = {m: make(a, m) for m in mixes}
    flat = [f for pair_ in files.values() for f in pair_]
    reports = {t: kld.measure(a, t, flat) for t in a.text}
    rows = []
    for m in mixes:
        theirs, ours = (os.path.basename(f) for f in files[m])
        rows.append({"mix": m, "bytes_theirs": os.path.getsize(files[m][0]), "bytes_ours": os.path.getsize(files[m][1]),
                     "texts": {os.path.basename(t): kld.pair(reports[t][theirs], reports[t][ours]) for t in a.text}})
    kld.save(a, rows)


if __name__ == "__main__":
    main()
