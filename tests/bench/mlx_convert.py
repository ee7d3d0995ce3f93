"""mlx_convert.py: whole conversions to MLX's 4-bit folders, `planish convert` beside `mlx_lm convert -q`.

usage: mlx_convert.py --planish PROGRAM --model FOLDER --work DIR [--repeats 3] [--variant TEXT] [--name mlx-convert]

To be run by a Python that has mlx_lm. Three ways in turn: the reference's bytes (which are MLX's), the search, mlx_lm;
wall time until the output is on disk, processor time, the most memory that is no file's (RssAnon, looked at every 5
milliseconds) and the largest resident set. The two folders of the same bytes are compared. Writes docs/results/NAME.json.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import time

import bench

TYPE, BITS, GROUP = "affine4-g64", "4", "64"


def run(command, out):
    """Seconds on the wall and of processors, own memory and resident set at their most, in bytes."""
    shutil.rmtree(out, ignore_errors=True)
    os.sync()
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    most, done = 0, 0
    while not done:
        most = max(most, bench.own_memory(process.pid))
        time.sleep(0.005)
        done, status, used = os.wait4(process.pid, os.WNOHANG)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)}\nexit {process.returncode}\n{process.stderr.read().decode()[-2000:]}")
    for name in os.listdir(out):
        bench.sync_file(os.path.join(out, name))
    return {"wall": time.monotonic() - began, "cpu": used.ru_utime + used.ru_stime, "own": most, "rss": used.ru_maxrss * 1024}


def same_values(mine, theirs):
    """Tensors of the two folders, all of the same bytes?"""
    import mlx.core as mx
    a, b = ({k: v for file in sorted(os.listdir(folder)) if file.endswith(".safetensors")
             for k, v in mx.load(os.path.join(folder, file)).items()} for folder in (mine, theirs))
    wrong = [k for k in sorted(a.keys() | b.keys())
             if k not in a or k not in b or a[k].dtype != b[k].dtype or not mx.array_equal(a[k], b[k]).item()]
    if wrong:
        sys.exit(f"{len(wrong)} of {len(a)} tensors differ, among them {wrong[0]}")
    return len(a)


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    for name in ("planish", "model", "work"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--variant", default="")
    p.add_argument("--name", default="mlx-convert")
    a = p.parse_args()
    os.makedirs(a.work, exist_ok=True)
    out = {way: os.path.join(a.work, "out-" + way) for way in ("reference", "best", "mlx")}
    ours = [a.planish, "convert", a.model, "--to", "mlx", "--type", TYPE]
    command = {"reference": [*ours, "-o", out["reference"], "--encoder", "reference"], "best": [*ours, "-o", out["best"]],
               "mlx": [sys.executable, "-m", "mlx_lm", "convert", "--hf-path", a.model, "--mlx-path", out["mlx"], "-q",
                       "--q-bits", BITS, "--q-group-size", GROUP]}
    found = {way: [] for way in out}
    for _ in range(a.repeats):
        for way in out:
            found[way].append(run(command[way], out[way]))
            print(way, {k: round(v, 2) for k, v in found[way][-1].items()}, flush=True)
    row = {way: {"wall_s": bench.summary([r["wall"] for r in runs]), "cpu_s": bench.summary([r["cpu"] for r in runs]),
                 "own": max(r["own"] for r in runs), "rss": max(r["rss"] for r in runs)} for way, runs in found.items()}
    for way in ("reference", "best"):
        for clock, name in (("wall_s", "times_as_fast"), ("cpu_s", "times_less_work")):
            row[way][name] = row["mlx"][clock]["median"] / row[way][clock]["median"]
        row[way]["share_of_memory"] = row[way]["own"] / row["mlx"]["own"]
    size = sum(os.path.getsize(os.path.join(a.model, f)) for f in os.listdir(a.model) if f.endswith(".safetensors"))
    result = {"variant": a.variant, "machine": bench.machine(), "type": TYPE, "bytes": size,
              "tensors_the_same": same_values(out["reference"], out["mlx"]), **row}
    with open(os.path.join(bench.ROOT, "docs", "results", a.name + ".json"), "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    for folder in out.values():
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
