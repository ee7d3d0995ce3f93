"""affine.py: the encoders of MLX's types beside mlx.core.quantize, on this machine, in one run.

usage: affine.py --tool BUILD/tests/interop/groups_tool [--model FOLDER[=NAME] ...] [--rows N] [--work DIR] [--out FILE]

Errors: sum of squared errors over sum of squares, all matrices of the checkpoints (at most N rows of each, evenly
spread), weights as bf16 and as they are stored; MLX's own (its bytes are those of --encoder reference; the first
matrix is compared) and the search's. Speed: one thread each, in turn, processor time, the median of several runs, in
bytes of 16-bit weights per second. docs/results/affine.json keeps what was found.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import time

import mlx.core as mx
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FLOATS = {"f32": mx.float32, "f16": mx.float16, "bf16": mx.bfloat16}
MICRO = {"mxfp4": (4, 32), "nvfp4": (4, 16), "mxfp8": (8, 32)}
KINDS = [f"affine{bits}-g64" for bits in (2, 3, 4, 5, 6, 8)] + ["affine4-g32", "affine4-g128"] + list(MICRO)


def options_of(kind):
    if kind in MICRO:
        return {"mode": kind, "bits": MICRO[kind][0], "group_size": MICRO[kind][1]}
    bits, group = re.fullmatch(r"affine(\d)-g(\d+)", kind).groups()
    return {"mode": "affine", "bits": int(bits), "group_size": int(group)}


def machine():
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*:\s*(.*)", f.read())
    return {"cpu": model.group(1) if model else "?", "load": round(os.getloadavg()[0], 2)}


def encode(a, verb, kind, floats, values, repeats=1):
    """Seconds, decoded values, parts."""
    source, target = os.path.join(a.work, "in.bin"), os.path.join(a.work, "out.bin")
    values.tofile(source)
    done = subprocess.run([a.tool, verb, kind, floats, str(values.shape[1]), source, target, str(repeats)], check=True,
                          capture_output=True, text=True)
    found = np.fromfile(target, np.uint8)
    return float(done.stdout), found[-4 * values.size:].view(np.float32).reshape(values.shape), found[: -4 * values.size]


def matrices(folder, rows):
    tensors = mx.load(os.path.join(folder, "model.safetensors"))
    for name in sorted(tensors):
        t = tensors[name]
        if t.ndim != 2 or t.shape[1] % 32 or t.dtype not in FLOATS.values():
            continue
        pick = np.unique(np.linspace(0, t.shape[0] - 1, min(rows, t.shape[0])).astype(np.int32))
        yield t.dtype, np.array(t[mx.array(pick)].astype(mx.float32))


def errors(a, folder):
    by_cols = {}
    for dtype, w in matrices(folder, a.rows):
        by_cols.setdefault(w.shape[1], []).append(w)
        stored = next(name for name, each in FLOATS.items() if each == dtype)
    rows, compared = [], set()
    for floats in dict.fromkeys(["bf16", stored]):
        for kind in KINDS:
            lost, squares = {"reference": 0.0, "best": 0.0}, 0.0
            for cols, parts in by_cols.items():
                if cols % options_of(kind)["group_size"]:
                    continue
                held = mx.array(np.concatenate(parts)).astype(FLOATS[floats])
                w = np.array(held.astype(mx.float32))
                squares += float((w.astype(np.float64) ** 2).sum())
                for verb in lost:
                    _, decoded, found = encode(a, verb, kind, floats, w)
                    lost[verb] += float(((decoded.astype(np.float64) - w) ** 2).sum())
                    if verb == "reference" and (kind, floats) not in compared:
                        compared.add((kind, floats))
                        codes = np.array(mx.quantize(held, **options_of(kind))[0]).view(np.uint8).ravel()
                        assert np.array_equal(codes, found[: codes.size]), (kind, floats)
            rows.append({"type": kind, "weights": floats, "mlx": lost["reference"] / squares,
                         "best": lost["best"] / squares, "change": lost["best"] / lost["reference"] - 1})
            print(os.path.basename(folder), rows[-1])
    return rows


def mlx_seconds(held, kind):
    began = time.process_time()
    mx.eval(mx.quantize(held, **options_of(kind)))
    return time.process_time() - began


def speed(a):
    values = np.random.default_rng(3).standard_normal((128, 1024)).astype(np.float32) * np.float32(0.02)
    rows = []
    for floats in ("f16", "bf16"):
        held = mx.array(values).astype(FLOATS[floats])
        mx.eval(held)
        w = np.array(held.astype(mx.float32))
        for kind in KINDS:
            seconds = {"mlx": [], "reference": [], "best": []}
            for _ in range(5):
                seconds["mlx"] += [mlx_seconds(held, kind) for _ in range(1 if kind in MICRO else 8)]
                for verb, repeats in (("reference", 30), ("best", 10)):
                    seconds[verb].append(encode(a, verb, kind, floats, w, repeats)[0])
            took = {name: statistics.median(each) for name, each in seconds.items()}
            rows.append({"type": kind, "weights": floats, "times_as_fast": took["mlx"] / took["reference"]} |
                        {f"{name}_mb_per_s": w.size * 2e-6 / each for name, each in took.items()})
            print(rows[-1])
    return rows


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--work", default="/tmp")
    parser.add_argument("--out", default=os.path.join(ROOT, "docs", "results", "affine.json"))
    a = parser.parse_args()
    mx.set_default_device(mx.cpu)
    os.makedirs(a.work, exist_ok=True)
    result = {"machine": machine(), "mlx": mx.__version__, "rows_per_matrix": a.rows, "errors": {}, "speed": speed(a)}
    for model in a.model:
        folder, _, name = model.partition("=")
        result["errors"][name or os.path.basename(folder.rstrip("/"))] = errors(a, folder)
    with open(a.out, "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")


main()
