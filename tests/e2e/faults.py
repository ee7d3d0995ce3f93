"""faults.py: the long form of faults.sh: every command, with each kind of call and of request for memory failing at every
place that makes one, and at every call where there are not too many.

usage: faults.py [--points N] [--only WORDS] PLANISH LIBRARY JSON
  LIBRARY: libfail_at.so of the build; JSON: where the figures go
  --points N     only so many places of each kind and command
  --only WORDS   only the cases whose name has one of these words (between commas)

Works in a folder of its own and takes a few hours of one core without --points; ends with exit code 1 if a run came out wrong.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
STORIES = os.path.join(ROOT, "calib-data", "stories260k")
TALES = os.path.join(ROOT, "calib-data", "tinystories.txt")
EVERY = 300                     # calls of a kind up to which each of them fails once
TIMES = [r'"device": "[^"]*"',
         r'"(seconds|peak_rss_bytes|[a-z_]*_tps|peak_planned)": ?([0-9.e+-]+|null)', r"in [0-9.]+ s( \([^)]*\))?",
         r"at most [0-9.]+ [KMG]iB of its own", r"speed +.*"]

# Files that cases share: folder, command.
PREPARED = [
    ("models", "convert STORIES -o q8.gguf --type q8_0 --pure --encoder reference"),
    ("models", "convert STORIES -o q4.gguf --type q4_0 --pure --encoder reference"),
    ("models", "convert STORIES -o s.pl --type q8_0"),
    ("models", "convert STORIES -o z.pl --type f32 --zstd 3"),
    ("models", "convert STORIES -o mlx --to mlx --type affine4-g32 --max-shard-size 100K"),
    ("models", "calibrate STORIES --calib TALES --ctx 32 --tokens 128 -o stats.gguf"),
    ("set", "convert STORIES -o out.gguf --type q8_0 --max-shard-size 100K"),
    ("folder", "convert STORIES -o out --to mlx --type affine8-g64 --max-shard-size 100K"),
    ("file", "convert STORIES -o out.gguf --type q8_0"),
    ("shares", "convert STORIES -o out.gguf --type q4_0 --part 1/2"),
    ("shares", "convert STORIES -o out.gguf --type q4_0 --part 2/2"),
    ("pack-shares", "convert STORIES -o out.pl --type q4_0 --part 1/2"),
    ("pack-shares", "convert STORIES -o out.pl --type q4_0 --part 2/2"),
    ("folder-shares", "convert STORIES -o out --to mlx --type affine4-g32 --part 1/2"),
    ("folder-shares", "convert STORIES -o out --to mlx --type affine4-g32 --part 2/2"),
]
# The same with the last write before the first sync failing, which leaves work that can be gone on with.
UNFINISHED = [
    ("unfinished-set", "convert STORIES -o out.gguf --type q4_0 --max-shard-size 100K -j 1"),
    ("unfinished-folder", "convert STORIES -o out --to mlx --type affine4-g32 --max-shard-size 100K -j 1"),
    ("unfinished-pack", "convert STORIES -o out.pl --type q8_0 --zstd 3 -j 1"),
]
GOES_ON = "--again=--resume"
# Name, options of the loop, command. Folders of PREPARED stand for their absolute paths.
CASES = [
    ("convert to a file", [GOES_ON], "convert STORIES -o out.gguf --type q4_k_m -j 1"),
    ("convert to a file by two threads", [GOES_ON], "convert STORIES -o out.gguf --type q4_0 -j 2"),
    ("convert with statistics, as JSON", [GOES_ON],
     "convert STORIES -o out.gguf --type q4_0 --stats models/stats.gguf --json -j 1"),
    ("convert to a set", [GOES_ON], "convert STORIES -o out.gguf --type q4_0 --max-shard-size 100K -j 1"),
    ("convert over a file", [GOES_ON, "--inputs=file"], "convert STORIES -o out.gguf --type q4_0 --force -j 1"),
    ("convert over a set", [GOES_ON, "--inputs=set"],
     "convert STORIES -o out.gguf --type q4_0 --max-shard-size 100K --force -j 1"),
    ("convert over the input", ["--inputs=file", "--codes=2"], "convert out.gguf -o out.gguf --type q4_0 --force -j 1"),
    ("convert to MLX", [GOES_ON], "convert STORIES -o out --to mlx --type affine4-g32 --max-shard-size 100K -j 1"),
    ("convert over a folder", [GOES_ON, "--inputs=folder"],
     "convert STORIES -o out --to mlx --type affine4-g32 --max-shard-size 100K --force -j 1"),
    ("convert to compressed-tensors", [GOES_ON],
     "convert STORIES -o out --to compressed-tensors --type int4-g32 -j 1"),
    ("convert to GPTQ", [GOES_ON], "convert models/tiny -o out --to gptq --type int4-g32 -j 1"),
    ("convert to AWQ", [GOES_ON], "convert models/tiny -o out --to awq --type uint4-g32 -j 1"),
    ("convert to bf16", [GOES_ON], "convert STORIES -o out --to dense -j 1"),
    ("convert to a pack", [GOES_ON], "convert STORIES -o out.pl --type q8_0 --zstd 3 -j 1"),
    ("convert a GGUF file", [GOES_ON], "convert models/q8.gguf -o out.pl -j 1"),
    ("convert a pack", [GOES_ON], "convert models/z.pl -o out.gguf --type q4_0 -j 1"),
    ("convert an MLX folder", [GOES_ON], "convert models/mlx -o out --to dense -j 1"),
    ("convert to a target", [GOES_ON, "--keeps=cache.json"],
     "convert STORIES -o out.gguf --target-size 270000 --calib models/calib.txt --cache cache.json -j 1"),
    ("go on with a set", [GOES_ON, "--inputs=unfinished-set"],
     "convert STORIES -o out.gguf --type q4_0 --max-shard-size 100K -j 1 --resume"),
    ("go on with a folder", [GOES_ON, "--inputs=unfinished-folder"],
     "convert STORIES -o out --to mlx --type affine4-g32 --max-shard-size 100K -j 1 --resume"),
    ("go on with a pack", [GOES_ON, "--inputs=unfinished-pack"],
     "convert STORIES -o out.pl --type q8_0 --zstd 3 -j 1 --resume"),
    ("convert a share", [GOES_ON], "convert STORIES -o out.gguf --type q4_0 --part 1/2 -j 1"),
    ("convert, dry run", [], "convert STORIES -o out.gguf --type q4_k_m --dry-run -j 1"),
    ("convert to a digest", [], "convert STORIES --to digest --type q4_0 -j 1"),
    ("merge", ["--inputs=shares", "--again=--force"],
     "merge out.gguf out.gguf.part-1-of-2 out.gguf.part-2-of-2"),
    ("merge a pack", ["--inputs=pack-shares", "--again=--force"], "merge out.pl out.pl.part-1-of-2 out.pl.part-2-of-2"),
    ("merge a folder", ["--inputs=folder-shares", "--again=--force"], "merge out out.part-1-of-2 out.part-2-of-2"),
    ("inspect a folder", [], "inspect STORIES"),
    ("inspect a GGUF file as JSON", [], "inspect models/q8.gguf --json"),
    ("verify a pack", [], "inspect models/z.pl --verify -j 1"),
    ("verify an MLX folder", [], "inspect models/mlx --verify -j 1"),
    ("check", [], "check models/q4.gguf --against STORIES --text TALES --ctx 32 --chunks 2 -j 2"),
    ("check two as JSON", [],
     "check models/q4.gguf models/q8.gguf --against STORIES --text TALES --ctx 32 --chunks 2 -j 1 --json -"),
    ("check a streamed pack", [],
     "check models/z.pl --against STORIES --text TALES --ctx 32 --chunks 2 -j 1 --resident 1100K"),
    ("run", [], "run models/q8.gguf -p Once -n 4 -j 1"),
    ("run a streamed pack by io_uring", [], "run models/s.pl -p Once -n 4 -j 1 --resident 190K"),
    ("run a streamed pack by threads", ["PLANISH_IO=threads"], "run models/s.pl -p Once -n 4 -j 1 --resident 190K"),
    ("run a streamed pack, buffered", ["PLANISH_IO=buffered"], "run models/s.pl -p Once -n 4 -j 1 --resident 190K"),
    ("calibrate", ["--again="], "calibrate STORIES --calib TALES --ctx 32 --tokens 128 -o out.gguf -j 1"),
    ("diff", ["--codes=1"], "diff models/q8.gguf models/q4.gguf -j 1"),
    ("diff as JSON", ["--codes=1"], "diff models/q8.gguf models/s.pl --json -j 1"),
    ("layout", ["--points=0"], "layout (10,2):(16,4) compose (5,4):(1,5)"),
    ("verify-load", ["--others", "LLAMA_BIN=bin", "PYTHON=none"], "verify-load models/q8.gguf"),
    ("bench", ["--mask=[ 0-9.]+", "--points=1", "--kinds=read-error,too-many-files,memory,output-full"],
     "bench models/q8.gguf --pp 8 --tg 2 --repeats 1 -j 1"),
]


def words(command):
    places = {"STORIES": STORIES, "TALES": TALES}
    return [os.path.abspath(w) if w.startswith("models/") else places.get(w, w) for w in command.split()]


def preloaded(planish, library, command, folder, **env):
    return subprocess.run([planish] + words(command), cwd=folder, env={**os.environ, "LD_PRELOAD": library, **env},
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


def prepare(planish, library):
    os.mkdir("bin")
    with open("bin/llama-bench", "w", encoding="ascii") as f:
        f.write("#!/bin/sh\necho 'build: 77 (1)'\n")
    os.chmod("bin/llama-bench", 0o755)
    make = [sys.executable, os.path.join(HERE, "make_model.py"), "--out", "models/tiny", "--tokenizer", STORIES]
    os.mkdir("models")
    with open(TALES, encoding="utf-8") as f, open("models/calib.txt", "w", encoding="utf-8") as short:
        short.write(f.read(1500))
    subprocess.run(make + ["--shape", "tiny", "--layers", "1"], check=True, stdout=subprocess.DEVNULL)
    for folder, command in PREPARED:
        os.makedirs(folder, exist_ok=True)
        subprocess.run([planish] + words(command), cwd=folder, check=True, stdout=subprocess.DEVNULL)
    for folder, command in UNFINISHED:
        with tempfile.TemporaryDirectory() as whole:
            preloaded(planish, library, command, whole, FAIL_LIST=os.path.abspath("list.txt"))
        with open("list.txt", encoding="ascii") as f:
            calls = [line.split()[0] for line in f if "write-error" in line]
        os.mkdir(folder)
        code = preloaded(planish, library, command, folder, FAIL_KIND="write-error",
                         FAIL_AT=str(calls.index("fdatasync")))
        if code != 4 or not os.listdir(folder):
            sys.exit(f"{folder}: exit code {code}, and {os.listdir(folder)} left")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--points", type=int, default=0)
    parser.add_argument("--only")
    parser.add_argument("planish")
    parser.add_argument("library")
    parser.add_argument("json")
    options = parser.parse_args()
    planish, library, result = map(os.path.abspath, (options.planish, options.library, options.json))
    rows, wrong = [], 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        prepare(planish, library)
        for name, extra, command in CASES:
            if options.only and not any(w in name for w in options.only.split(",")):
                continue
            print(name, file=sys.stderr, flush=True)
            env = dict(e.split("=", 1) for e in extra if not e.startswith("--"))
            if "LLAMA_BIN" in env:
                env["LLAMA_BIN"] = os.path.abspath(env["LLAMA_BIN"])
            loop = [sys.executable, os.path.join(HERE, "fault_loop.py"), *(f"--mask={m}" for m in TIMES),
                    f"--every={EVERY}", f"--points={options.points}", *(e for e in extra if e.startswith("--")),
                    "--json", "one.json", library, "--", planish]
            wrong += subprocess.run(loop + words(command), env={**os.environ, **env}).returncode != 0
            with open("one.json", encoding="utf-8") as f:
                rows.append({"case": name, **json.load(f)})
        os.chdir("/")
    total = {}
    for row in rows:
        for kind, counts in row["kinds"].items():
            into = total.setdefault(kind, {})
            for key, value in counts.items():
                into[key] = into.get(key, 0) + value
    with open(result, "w", encoding="utf-8") as f:
        json.dump({"section": "faults", "command": f"tests/e2e/faults.py --points {options.points} build/cli/planish "
                                                   "build/tests/e2e/libfail_at.so docs/results/faults.json",
                   "total": total, "rows": rows}, f, indent=1)
        f.write("\n")
    sys.exit(1 if wrong else 0)


main()
