"""architectures.py: the table of architectures in docs/results.md, from the four modes of tiny_equality.py.

usage: architectures.py BUILD_FOLDER WORK_FOLDER      writes docs/results/architectures.json
"""
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODES = ("load", "logits", "converter", "tokens")


def main():
    build, work = sys.argv[1:]
    os.makedirs(work, exist_ok=True)
    table = {}
    for mode in MODES:
        found = os.path.join(work, mode + ".json")
        subprocess.run([sys.executable, os.path.join(ROOT, "tests", "interop", "tiny_equality.py"), mode, build, work,
                        "--json", found])
        with open(found) as f:
            for row in json.load(f):
                table.setdefault(row["model"], {})[mode] = row
    with open(os.path.join(ROOT, "docs", "results", "architectures.json"), "w") as f:
        json.dump(table, f, indent=1, sort_keys=True)
        f.write("\n")


main()
