"""stream.py: loading a pack, and decoding with most of it on the disk, beside a plain loop of O_DIRECT reads.

usage: stream.py --planish PROGRAM --pack FILE.pl [--repeats 5] [--tokens 8]

Every round loads and checks all of it (run, one token), then decodes with a quarter of it in memory; before, between and
behind them a loop of 4 MiB reads with O_DIRECT reads the file twice. Disks are slower at times, so each is held against the
mean of the loops at its sides. O_DIRECT goes past the page cache, so all of them are cold. Needs
a disk that takes O_DIRECT. Writes docs/results/stream.json: medians.
"""
import argparse
import json
import mmap
import os
import re
import statistics
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def read_loop(path):
    """Bytes per second of two passes."""
    buffer = mmap.mmap(-1, 4 << 20)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    began, done = time.monotonic(), 0
    for _ in range(2):
        os.lseek(fd, 0, os.SEEK_SET)
        while n := os.readv(fd, [buffer]):
            done += n
    seconds = time.monotonic() - began
    os.close(fd)
    return done / seconds


def streamed(text):
    """Bytes that were read, by what planish tells at the end."""
    m = re.search(r"streamed ([\d.]+) (\w+) at", text)
    return float(m[1]) * UNITS[m[2]]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--planish", required=True)
    p.add_argument("--pack", required=True)
    p.add_argument("--repeats", type=int, default=5)
    p.add_argument("--tokens", type=int, default=8)
    a = p.parse_args()
    size = os.path.getsize(a.pack)
    rounds = []
    for _ in range(a.repeats):
        loops = [read_loop(a.pack)]
        began = time.monotonic()
        out = subprocess.run([a.planish, "run", a.pack, "-p", "a", "-n", "1", "--resident", "1T"], capture_output=True,
                             text=True, errors="replace", check=True)
        load = streamed(out.stderr) / (time.monotonic() - began)
        loops.append(read_loop(a.pack))
        # Two runs that differ by the number of tokens only: what opening and the first token cost cancels.
        seconds, read = [], []
        for tokens in (2, 2 + a.tokens):
            began = time.monotonic()
            out = subprocess.run([a.planish, "run", a.pack, "-p", "a", "-n", str(tokens), "--resident", str(size // 4)],
                                 capture_output=True, text=True, errors="replace", check=True)
            seconds.append(time.monotonic() - began)
            read.append(streamed(out.stderr))
        per_token = (read[1] - read[0]) / a.tokens
        rate = a.tokens / (seconds[1] - seconds[0])
        loops.append(read_loop(a.pack))
        at_load, at_stream = sum(loops[:2]) / 2, sum(loops[1:]) / 2
        rounds.append({"loop": sum(loops) / 3, "loops": loops, "load": load, "load_share": load / at_load, "tokens_per_s": rate,
                       "bytes_per_token": per_token, "stream_share": rate / (at_stream / per_token)})
    medians = {k: statistics.median(r[k] for r in rounds) for k in rounds[0] if k != "loops"}
    with open(os.path.join(ROOT, "docs", "results", "stream.json"), "w") as f:
        json.dump({"bytes": size, "resident": size // 4, "medians": medians, "rounds": rounds}, f, indent=1)
        f.write("\n")
    print(json.dumps(medians, indent=1))


if __name__ == "__main__":
    main()
