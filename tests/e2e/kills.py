"""kills.py: the long form of kills.sh: conversions of every kind of output killed at random moments, and before every
call by which they change files.

usage: kills.py PLANISH KILL_AT JSON      KILL_AT: libkill_at.so of the build; JSON: where the figures go

Takes some half an hour of one core. Works in a folder of its own; a failure ends it with a sentence.
"""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
STORIES = os.path.join(os.path.dirname(os.path.dirname(HERE)), "calib-data", "stories260k")
GGUF = "--type q4_k_m --encoder reference -j 1"
MLX = "--to mlx --type affine4-g64 --max-shard-size 5M -j 1"
CT = "--to compressed-tensors --type int4-g128 --max-shard-size 5M -j 1"
PACK = "--type int4-g128 --layout marlin -j 1"
SMALL = "--max-shard-size 100K -j 2"
RANDOM = [  # name of the output, options of the conversion, options of the loop
    ("out.gguf", GGUF, "--kills 50"),
    ("out", MLX, "--kills 50"),
    ("out.gguf", GGUF + " --max-shard-size 5M", "--kills 20"),
    ("out", CT, "--kills 20"),
    ("out.pl", PACK, "--kills 50"),
    ("out.pl", PACK + " --zstd 3", "--kills 20"),
    ("out.gguf", GGUF, "--kills 20 --parts 3"),
    ("out", MLX, "--kills 20 --parts 3"),
    ("out.pl", PACK, "--kills 20 --parts 3"),
]
EVERY_CALL = [
    ("out.gguf", "--type q8_0 -j 2", ""),
    ("out.gguf", "--type q4_0 " + SMALL, "--over=--encoder=reference"),
    ("out", "--to mlx --type affine4-g32 " + SMALL, ""),
    ("out", "--to mlx --type affine4-g32 " + SMALL, "--over=--encoder=reference"),
    ("out", "--to compressed-tensors --type int4-g32 " + SMALL, ""),
    ("out", "--to mlx --type affine4-g32 " + SMALL, "--parts 2"),
    ("out.pl", "--type int8 --layout marlin -j 2", ""),
    ("out.pl", "--type int8 --layout marlin --zstd 3 -j 2", "--over=--encoder=reference"),
]


def loop(planish, model, out, convert, options):
    command = [sys.executable, os.path.join(HERE, "kill_loop.py"), *options.split(), "--json", "one.json", out, "--",
               planish, "convert", model, *convert.split()]
    if subprocess.run(command).returncode:
        sys.exit(f"{out} {convert} {options}")
    with open("one.json", encoding="utf-8") as f:
        return json.load(f)


def main():
    planish, library, result = map(os.path.abspath, sys.argv[1:])
    found = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make = [sys.executable, os.path.join(HERE, "make_model.py"), "--out", "model", "--tokenizer", STORIES]
        subprocess.run(make + ["--shape", "small", "--layers", "24", "--shards", "2"], check=True, stdout=subprocess.DEVNULL)
        os.environ["PLANISH_CPU"] = "scalar"            # slow enough for a run of some seconds
        for seed, (out, convert, options) in enumerate(RANDOM, 1):
            found.append(loop(planish, "model", out, convert, f"{options} --seed {seed}"))
        del os.environ["PLANISH_CPU"]
        for out, convert, options in EVERY_CALL:
            found.append(loop(planish, STORIES, out, convert, f"{options} --calls {library}"))
        os.chdir("/")
    with open(result, "w", encoding="utf-8") as f:
        json.dump({"section": "kills", "command": "tests/e2e/kills.py build/cli/planish build/tests/e2e/libkill_at.so "
                                                  "docs/results/kills.json", "rows": found}, f, indent=1)
        f.write("\n")


main()
