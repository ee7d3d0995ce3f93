"""imatrix.py: statistics of activations between us and llama.cpp: its programs read ours, we read theirs, in both of
its forms, and both say the same of the same text.

Usage: imatrix.py PLANISH WORK_FOLDER. PLANISH_LLAMA_BIN names the folder of llama-imatrix and llama-quantize; without
it they are looked for as commands. Exit code 77 if something is missing, a failure if PLANISH_NO_SKIP=1.
"""
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = ROOT / "calib-data" / "tinystories.txt"
MODELS = {"dense": ROOT / "calib-data" / "stories260k", "experts": ROOT / "tests" / "tiny" / "models" / "mixtral",
          "shared": ROOT / "tests" / "tiny" / "models" / "qwen2_moe", "fused": ROOT / "tests" / "tiny" / "models" / "phi3"}
CTX, WINDOWS = 64, 4
# Largest relative difference of a column's mean square. Both multiply in f32, in different orders; llama-imatrix adds
# up in f32. Its cache of keys and values is set to f32 too: f16, its default, moves attn_output by 0.2 %.
TOLERANCE = 2e-5


def skip(why):
    print(f"skipped: {why}")
    sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)


try:
    import numpy as np
    from gguf import GGUFReader
except ImportError as missing:
    skip(missing)


def program(name):
    folder = os.environ.get("PLANISH_LLAMA_BIN")
    found = shutil.which(name, path=folder) if folder else shutil.which(name)
    if not found:
        skip(f"the program {name} of llama.cpp")
    return found


def run(*command):
    folder = os.path.dirname(command[0])
    env = dict(os.environ, LD_LIBRARY_PATH=folder + ":" + os.environ.get("LD_LIBRARY_PATH", ""))
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, errors="replace", env=env)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def means(path):
    """name -> counts, mean squares [experts][columns]"""
    tensors = {t.name: t.data.astype(np.float64) for t in GGUFReader(path).tensors}
    out = {}
    for name in tensors:
        if name.endswith(".in_sum2"):
            counts = tensors[name[:-7] + "counts"].reshape(-1, 1)
            out[name[:-8]] = counts, tensors[name].reshape(len(counts), -1) / np.maximum(counts, 1)
    return out


def compare(name, ours, theirs):
    a, b = means(ours), means(theirs)
    if sorted(a) != sorted(b):
        return f"{name}: other names: {sorted(set(a) ^ set(b))[:4]}"
    worst = 0
    for tensor in a:
        if not np.array_equal(a[tensor][0], b[tensor][0]):
            return f"{name}: {tensor} has counts {a[tensor][0].ravel()} and {b[tensor][0].ravel()}"
        x, y = a[tensor][1], b[tensor][1]
        worst = max(worst, float((np.abs(x - y) / np.maximum(np.abs(y), 1e-30)).max()))
    print(f"{name}: {len(a)} entries, largest relative difference of a mean square {worst:.2g}")
    return "" if worst <= TOLERANCE else f"{name}: {worst:.2g} is more than {TOLERANCE:.2g}"


def check(name, model, planish, work):
    file, ours, theirs, dat = (work / f"{name}.{end}" for end in ("gguf", "ours.gguf", "theirs.gguf", "dat"))
    convert = [planish, "convert", file, "-o", work / f"{name}.q.gguf", "--type", "q4_0", "--force"]
    run(planish, "convert", model, "-o", file, "--type", "f32", "--force")
    run(planish, "calibrate", file, "--calib", TEXT, "--ctx", CTX, "--tokens", CTX * WINDOWS, "-o", ours, "--force")
    imatrix = [program("llama-imatrix"), "-m", file, "-f", TEXT, "-c", CTX, "--chunks", WINDOWS, "-t", 1, "--no-ppl",
               "-ctk", "f32", "-ctv", "f32", "-fa", "off"]
    run(*imatrix, "-o", theirs)
    run(*imatrix, "-o", dat, "--output-format", "dat")
    for stats in (ours, theirs, dat):
        run(*convert, "--stats", stats)
    entries = len(means(ours))
    said = run(program("llama-quantize"), "--imatrix", ours, file, work / f"{name}.lq.gguf", "q4_k_m")
    if f"loaded {entries} importance matrix entries from {ours} computed on {WINDOWS} chunks" not in said:
        return f"{name}: llama-quantize reads other than {entries} entries:\n{said[-800:]}"
    return compare(name, ours, theirs)


def main(planish, work):
    work.mkdir(parents=True, exist_ok=True)
    failures = [f for f in (check(name, model, planish, work) for name, model in MODELS.items()) if f]
    print("\n".join(failures))
    sys.exit(1 if failures else 0)


main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
