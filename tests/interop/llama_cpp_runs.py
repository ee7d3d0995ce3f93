"""llama.cpp runs every file we write: the same perplexity as ours, the same greedy text.

Usage: llama_cpp_runs.py PLANISH WORK_FOLDER. Model and text: calib-data/stories260k, tinystories.txt. Exit
code 77 if a package is missing, a failure if PLANISH_NO_SKIP=1.
"""
import json
import math
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL, TEXT = ROOT / "calib-data" / "stories260k", ROOT / "calib-data" / "tinystories.txt"
CTX, WINDOWS, PROMPT, TOKENS = 256, 3, "Once upon a time", 40
# Ours in fast mode against llama.cpp, which rounds activations too: the bar of docs/results.md.
TOLERANCE = 0.005

try:
    import tokenizers
    import xllamacpp  # noqa: F401
    from llama_cpp import LlamaCpp
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)


def main(planish, work):
    work.mkdir(parents=True, exist_ok=True)
    tok = tokenizers.Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    ids = tok.encode(TEXT.read_text(encoding="utf-8"), add_special_tokens=False).ids
    step = CTX - 1
    windows = [[1] + ids[i * step:(i + 1) * step] for i in range(WINDOWS)]
    failures = 0
    for kind in ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"):
        path, report = work / f"{kind}.gguf", work / f"{kind}.json"
        subprocess.run([planish, "convert", MODEL, "-o", path, "--type", kind, "--pure", "--force"],
                       check=True, stdout=subprocess.DEVNULL)
        subprocess.run([planish, "check", path, "--text", TEXT, "--ctx", str(CTX), "--chunks", str(WINDOWS),
                        "--protocol", "full", "--mode", "fast", "--json", report], check=True,
                       stdout=subprocess.DEVNULL)
        ours = json.loads(report.read_text())["ppl"]
        peer = LlamaCpp(path)
        theirs = math.exp(sum(map(peer.nll, windows)) / (WINDOWS * step))
        same = "not compared"
        if kind == "f32":       # rounded activations may part ways at a near tie; f32 ones do not here
            text = subprocess.run([planish, "run", path, "-p", PROMPT, "-n", str(TOKENS), "--mode", "exact"],
                                  check=True, capture_output=True, text=True).stdout.rstrip("\n")
            want = PROMPT + tok.decode(peer.greedy(peer.encode(PROMPT.encode(), False), TOKENS))
            same = "equal" if " ".join(text.split()) == " ".join(want.split()) else f"{text!r} is not {want!r}"
        peer.close()
        good = abs(ours / theirs - 1) <= TOLERANCE and same in ("equal", "not compared")
        failures += not good
        print(f"{kind:5} perplexity {ours:.4f}, llama.cpp {theirs:.4f} ({100 * (ours / theirs - 1):+.3f} %), "
              f"greedy text {same}{'' if good else '  FAILED'}")
    return failures


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1], pathlib.Path(sys.argv[2])) else 0)
