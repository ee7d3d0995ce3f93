"""Files with ggml's block types of 64 to 256 values: we run them as llama.cpp does, and quantize them anew.

Usage: block_types.py PLANISH WORK_FOLDER. A random llama model with rows of 256 values is encoded by libgguf,
ggml's reference C, into files that the gguf package writes. Exit code 77 if a package is missing, a failure
if PLANISH_NO_SKIP=1.
"""
import json
import math
import os
import pathlib
import subprocess
import sys

from program import planish

ROOT = pathlib.Path(__file__).resolve().parents[2]
STORIES, TEXT = ROOT / "calib-data" / "stories260k", ROOT / "calib-data" / "tinystories.txt"
MAKE_MODEL = ROOT / "tests" / "e2e" / "make_model.py"
TYPES = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S", "IQ1_M",
         "IQ4_NL", "IQ4_XS", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4", "Q1_0"]
CTX, WINDOWS = 128, 2
TOLERANCE = 0.005
FACTOR = 0.25                   # NVFP4 weights are stored divided by it

try:
    import gguf
    import libgguf
    import numpy as np
    import tokenizers
    import xllamacpp  # noqa: F401
    from llama_cpp import LlamaCpp
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)


def encode(source, target, kind):
    """Copies a GGUF file of f32 tensors; the matrices of its blocks and its output become `kind`."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, "llama")
    number = gguf.GGMLQuantizationType[kind]
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        sub = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(key, field.contents(), field.types[0], sub_type=sub)
    for t in reader.tensors:
        if t.data.ndim < 2:
            writer.add_tensor(t.name, t.data)
            continue
        factor = FACTOR if kind == "NVFP4" and t.name.startswith("blk.") else None
        rows = np.ascontiguousarray(t.data, np.float32) / np.float32(factor or 1)
        imatrix = np.ones(rows.shape[1], np.float32) if libgguf.quantize_requires_imatrix(number) else None
        data = libgguf.quantize_rows(rows, number, imatrix)
        writer.add_tensor(t.name, data, raw_shape=data.shape, raw_dtype=number)
        if factor:
            for end, value in ((".scale", factor), (".input_scale", 1.0)):
                writer.add_tensor(t.name.removesuffix(".weight") + end, np.array([value], np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def perplexity(path, mode):
    report = path.with_suffix(f".{mode}.json")
    planish("check", path, "--text", TEXT, "--ctx", CTX, "--chunks", WINDOWS, "--protocol", "full",
            "--mode", mode, "--json", report)
    return json.loads(report.read_text())["ppl"]


def main(work):
    work.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, MAKE_MODEL, "--out", work / "model", "--tokenizer", STORIES, "--shape", "tiny",
                    "--dtype", "F32"], check=True, stdout=subprocess.DEVNULL)
    planish("convert", work / "model", "-o", work / "f32.gguf", "--type", "f32", "--force")
    tok = tokenizers.Tokenizer.from_file(str(STORIES / "tokenizer.json"))
    ids = tok.encode(TEXT.read_text(encoding="utf-8"), add_special_tokens=False).ids
    step = CTX - 1
    windows = [[1] + ids[i * step:(i + 1) * step] for i in range(WINDOWS)]
    failures = 0
    for kind in ["F32", *TYPES]:
        path = work / f"{kind.lower()}.gguf"
        if kind != "F32":
            encode(work / "f32.gguf", path, kind)
        peer = LlamaCpp(path)
        theirs = math.exp(sum(map(peer.nll, windows)) / (WINDOWS * step))
        peer.close()
        ours = {mode: perplexity(path, mode) for mode in ("exact", "fast")}
        text = planish("run", path, "-p", "Once upon a time", "-n", 4, "--mode", "fast").stdout
        again = work / "again.gguf"
        planish("convert", path, "-o", again, "--type", "f32", "--force")
        good = all(abs(x / theirs - 1) <= TOLERANCE for x in ours.values())
        good = good and text.startswith("Once upon a time") and perplexity(again, "exact") == ours["exact"]
        said = planish("convert", path, "-o", again, "--type", "q8_0", "--force").stderr
        good = good and (kind == "F32" or f"quantized already ({kind.lower()})" in said)
        failures += not good
        difference = ", ".join(f"{mode} {x:.4f} ({100 * (x / theirs - 1):+.3f} %)" for mode, x in ours.items())
        print(f"{kind:7} perplexity of llama.cpp {theirs:.4f}, ours {difference}{'' if good else '  FAILED'}")
    return failures


if __name__ == "__main__":
    sys.exit(1 if main(pathlib.Path(sys.argv[2])) else 0)
