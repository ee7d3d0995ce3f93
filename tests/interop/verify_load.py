"""verify_load.py: planish verify-load against the runtimes that are installed: it says the truth of outputs that they
load, and of some that they do not.

usage: verify_load.py PLANISH FOLDER      LLAMA_BIN or PLANISH_LLAMA_BIN: folder of llama.cpp's programs, if any
"""
import importlib.util
import json
import os
import shutil
import subprocess
import sys

PLANISH, FOLDER = (os.path.abspath(path) for path in sys.argv[1:])
TINY = os.path.join(os.environ["PLANISH_SOURCE_ROOT"], "tests", "tiny", "models")
ENV = {**os.environ, "PYTHON": sys.executable}
ENV.setdefault("LLAMA_BIN", os.environ.get("PLANISH_LLAMA_BIN", ""))
NEEDS = {"gguf (Python)": ["gguf"], "mlx-lm": ["mlx_lm"], "transformers": ["transformers", "torch", "compressed_tensors"],
         "compressed-tensors": ["compressed_tensors"], "safetensors (Python)": ["safetensors"]}


def convert(model, out, *options):
    subprocess.run([PLANISH, "convert", os.path.join(TINY, model), "-o", out, *options], check=True,
                   stdout=subprocess.DEVNULL)


def load(out):
    """-> exit code, result and message of each runtime."""
    done = subprocess.run([PLANISH, "verify-load", out, "--json"], env=ENV, capture_output=True, text=True)
    if done.returncode > 1:
        sys.exit(done.stderr)
    report = json.loads(done.stdout)
    for r in report["runtimes"]:
        print(f"{out}: {r['name']}: {r['result']} {r['message'] or ''}")
    return done.returncode, {r["name"]: r["result"] for r in report["runtimes"]}


def installed(name):
    return all(importlib.util.find_spec(m) for m in NEEDS[name])


def expect(out, **wanted):
    """Results by the first word of the runtime's name; what is not installed must be said to be so."""
    code, found = load(out)
    for name in set(found) & set(NEEDS):
        want = wanted[name.split()[0].replace("-", "_")] if installed(name) else "not installed"
        if found[name] != want:
            sys.exit(f"{out}: {name} should be '{want}', is '{found[name]}'")
    if code != ("failed" in found.values()):
        sys.exit(f"{out}: exit code {code} with {found}")
    return found


def main():
    if not any(map(installed, NEEDS)):
        print("no runtime is installed")
        sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)
    os.chdir(FOLDER)
    convert("llama", "a.gguf", "--type", "q8_0")
    found = expect("a.gguf", gguf="loaded")
    if found["llama.cpp"] == "failed":
        sys.exit("llama.cpp should load a.gguf")
    convert("llama", "mlx", "--to", "mlx", "--type", "affine4-g32", "--max-shard-size", "50K")
    expect("mlx", mlx_lm="loaded", safetensors="loaded")
    convert("llama", "ct", "--to", "compressed-tensors", "--type", "int4-g32")
    expect("ct", compressed_tensors="loaded", transformers="loaded", safetensors="loaded")
    shard = sorted(n for n in os.listdir("mlx") if n.endswith(".safetensors"))[1]
    os.remove(os.path.join("mlx", shard))
    expect("mlx", mlx_lm="failed", safetensors="failed")


main()
