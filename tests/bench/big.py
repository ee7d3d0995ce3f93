"""big.py: a checkpoint much larger than memory, converted to MLX's 4-bit affine type with and without a limit of memory.

usage: make_scale.py sparse FOLDER                   (tests/e2e; 195 GB, of which 20 GB are no holes and need a disk)
       big.py --planish PROGRAM --model FOLDER --work DIR [--part 1/12] [--limit MiB] [--cgroup DIR] [--repeats 2]
              [--cases digest share] [--variant TEXT] [--name big]

Two outputs, each with the limit and without in turn, files out of the page cache before every run: the whole into the
digest sink, and one share (the first, where the weights are that are no holes) as MLX's folder, on disk. What is hashed or
written must be the same. The limit is that of a memory group (page cache counts too), made in --cgroup, a folder of
version 1 or 2 in which that is allowed; without it RLIMIT_DATA, which counts what a process can write to. Writes
docs/results/NAME.json.
"""
import argparse
import contextlib
import hashlib
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time

import bench

KIND = ["--type", "affine4-g64", "--encoder", "reference"]


def forget(folder):
    """Takes a folder's files out of the page cache."""
    for name in os.listdir(folder):
        fd = os.open(os.path.join(folder, name), os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


@contextlib.contextmanager
def group(parent, limit):
    """A memory group with a limit: what a child does to join it, and how to ask for its peak."""
    folder = os.path.join(parent, f"planish-big-{os.getpid()}")
    first = os.path.exists(os.path.join(parent, "memory.limit_in_bytes"))
    os.mkdir(folder)
    try:
        with open(os.path.join(folder, "memory.limit_in_bytes" if first else "memory.max"), "w") as f:
            f.write(str(limit))

        def join():
            with open(os.path.join(folder, "cgroup.procs"), "w") as f:
                f.write(str(os.getpid()))

        def peak():
            with open(os.path.join(folder, "memory.max_usage_in_bytes" if first else "memory.peak")) as f:
                return int(f.read())
        yield join, peak
    finally:
        os.rmdir(folder)


@contextlib.contextmanager
def limits(a, limited):
    if not limited:
        yield None, lambda: None
    elif a.cgroup:
        with group(a.cgroup, a.limit << 20) as both:
            yield both
    else:
        yield lambda: resource.setrlimit(resource.RLIMIT_DATA, (a.limit << 20,) * 2), lambda: None


def run(a, command, limited):
    """Seconds until the output is on disk (planish syncs it), processor seconds, bytes at most."""
    forget(a.model)
    with limits(a, limited) as (enter, peak):
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=enter)
        most, done = 0, 0
        while not done:
            most = max(most, bench.own_memory(process.pid))
            time.sleep(0.02)
            done, status, used = os.wait4(process.pid, os.WNOHANG)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{' '.join(command)}\nexit {process.returncode}\n{process.stderr.read()[-2000:]}")
        text = process.stdout.read()
        return {"wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime, "own": most, "rss": used.ru_maxrss * 1024,
                "group_peak": peak()}, text


def digest(a, limited):
    found, text = run(a, [a.planish, "convert", a.model, "--to", "digest", *KIND], limited)
    return found, re.search(r"xxh3:\w+", text).group(0)


def share(a, limited):
    """Into a folder; a hash of what is written of it, holes left out."""
    out = os.path.join(a.work, "big-out")
    shutil.rmtree(out, ignore_errors=True)
    found, _ = run(a, [a.planish, "convert", a.model, "-o", out, "--to", "mlx", *KIND, "--part", a.part], limited)
    seen = hashlib.blake2b()
    found["bytes_written"] = 0
    for name in sorted(os.listdir(out)):
        if "journal" in name:
            continue
        with open(os.path.join(out, name), "rb") as f:
            at, size = 0, os.fstat(f.fileno()).st_size
            while at < size:
                try:
                    at = os.lseek(f.fileno(), at, os.SEEK_DATA)
                except OSError:             # nothing but a hole from here on
                    break
                end = os.lseek(f.fileno(), at, os.SEEK_HOLE)
                found["bytes_written"] += end - at
                for first in range(at, end, 1 << 24):
                    seen.update(os.pread(f.fileno(), min(1 << 24, end - first), first))
                at = end
    shutil.rmtree(out)
    for name in os.listdir(a.work):
        if name.startswith("big-out"):
            os.remove(os.path.join(a.work, name))
    return found, seen.hexdigest()


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    for name in ("planish", "model", "work"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--part", default="1/12")
    p.add_argument("--limit", type=int, default=1024)
    p.add_argument("--cgroup")
    p.add_argument("--repeats", type=int, default=2)
    p.add_argument("--variant", default="")
    p.add_argument("--name", default="big")
    p.add_argument("--cases", nargs="+", default=["digest", "share"])
    a = p.parse_args()
    os.makedirs(a.work, exist_ok=True)
    files = [os.stat(os.path.join(a.model, f)) for f in os.listdir(a.model) if f.endswith(".safetensors")]
    size = sum(f.st_size for f in files)
    with open(os.path.join(a.model, "model.safetensors.index.json")) as f:
        tensors = len(json.load(f)["weight_map"])
    rows = []
    for case in a.cases:
        make, bytes_ = {"digest": (digest, size), "share": (share, size // int(a.part.split("/")[1]))}[case]
        runs, same = {False: [], True: []}, set()
        for _ in range(a.repeats):
            for limited in runs:
                found, sign = make(a, limited)
                runs[limited].append(found)
                same.add(sign)
                print(case, "limited" if limited else "free", found, sign, flush=True)
        if len(same) > 1:
            sys.exit(f"{case}: the outputs differ")
        wall = {k: statistics.median(r["wall_s"] for r in v) for k, v in runs.items()}
        rows.append({"case": case, "bytes": bytes_, "written": runs[True][0].get("bytes_written", 0), "free": runs[False],
                     "limited": runs[True], "speed": wall[False] / wall[True]})
    with open(os.path.join(bench.ROOT, "docs", "results", a.name + ".json"), "w") as f:
        json.dump({"variant": a.variant, "machine": bench.machine(), "limit_mib": a.limit, "part": a.part, "bytes": size,
                   "bytes_on_disk": sum(f.st_blocks for f in files) * 512, "tensors": tensors,
                   "by": "cgroup" if a.cgroup else "RLIMIT_DATA", "rows": rows}, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
