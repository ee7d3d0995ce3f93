"""mlx_kld.py: what each of MLX's types loses: MLX's own bytes against the search's, in pairs of windows.

usage: mlx_kld.py --planish PROGRAM --model FOLDER --stats FILE --work DIR --text FILE... [--types A,B,..]
                  [--ctx 64] [--chunks 80] [--variant TEXT] [--name mlx-kld]

MLX's bytes are those of --encoder reference (tests/interop/mlx_bytes.py compares them), so MLX is not needed. Folders and
reports stay in DIR and are used again: an interrupted run goes on. Writes docs/results/NAME.json.
"""
import os

import kld

TYPES = ",".join(f"affine{bits}-g64" for bits in (2, 3, 4, 5, 6, 8)) + ",mxfp4,nvfp4,mxfp8"
WAYS = {"mlx": lambda a: ["--encoder", "reference"], "best": lambda a: [], "stats": lambda a: ["--stats", a.stats]}


def main():
    p = kld.arguments(__doc__, "mlx-kld", 64)
    p.add_argument("--types", default=TYPES)
    a = p.parse_args()
    types = a.types.split(",")
    os.makedirs(a.work, exist_ok=True)
    outs = {t: {way: kld.convert(a, os.path.join(a.work, f"{way}-{t}"), "--to", "mlx", "--type", t, *options(a))
                for way, options in WAYS.items()} for t in types}
    reports = {t: kld.measure(a, t, [out for each in outs.values() for out in each.values()]) for t in a.text}
    rows = []
    for t in types:
        row = {"type": t, "texts": {}}
        for text, r in reports.items():
            mlx, best, stats = (r[os.path.basename(out)] for out in outs[t].values())
            row["bytes"] = mlx["size_bytes"]
            row["texts"][os.path.basename(text)] = {"best": kld.pair(mlx, best), "stats": kld.pair(mlx, stats)}
        rows.append(row)
    kld.save(a, rows)


if __name__ == "__main__":
    main()
