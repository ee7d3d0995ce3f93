"""headers.py: each header compiles alone.

usage: headers.py SOURCE_ROOT COMPILER_COMMAND...
"""
import os
import subprocess
import sys

from tree import PARTS, ROOT, Report, files


def main():
    report = Report()
    paths = files(".h", under=PARTS)
    for path in paths:
        done = subprocess.run([*sys.argv[2:], "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror",
                               "-Wno-unused-parameter", "-Wno-unused-function", "-fsyntax-only", "-I", ROOT, "-x", "c",
                               "-include", os.path.join(ROOT, path), os.devnull],
                              capture_output=True, text=True)
        if done.returncode:
            report.add(path, 1, "does not compile alone:\n" + done.stderr)
    report.end(len(paths))


main()
