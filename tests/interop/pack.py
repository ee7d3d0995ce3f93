"""Packs through a reader that was written from docs/pack-format.md alone (pack_reader.py).

    pack.py PLANISH WORK_FOLDER

values     of every type, compressed or not: what the reader decodes is what planish does, and without a type the numbers of
           the checkpoint
gguf       the file made from the pack has the tensors of the one made from the checkpoint, and the bytes of that or of what
           planish makes of it; the blob model.gguf opens with the package gguf and holds the same keys
files      what lay beside the checkpoint is in the pack byte for byte
damage     the reader refuses a pack with one bit changed, wherever

Models are those of tests/tiny and a random one with rows of 256 values. Exit code 77 if a package is missing, a failure if
PLANISH_NO_SKIP=1.
"""
import os
import pathlib
import random
import shutil
import subprocess
import sys

from program import Failed, need, planish, run_cases

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "tiny" / "models"

try:
    import gguf
    import numpy as np
    import pack_reader
    from safetensors import safe_open
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)

SIMPLE = ["f32", "f16", "bf16", "q8_0", "q4_0", "q5_1"]
APART = ["affine4-g32", "affine3-g32", "affine6-g64", "int4-g32", "int3-g32", "int8", "int2-g64", "uint4-g32", "uint8",
         "fp8", "mxfp4", "mxfp8", "nvfp4"]
WIDE = ["q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s", "iq4_nl", "iq4_xs", "tq1_0",
        "tq2_0", "mxfp4", "nvfp4", "int3-g128", "affine5-g128"]
FOLDERS = [("compressed-tensors", "nvfp4"), ("compressed-tensors", "mxfp4"), ("compressed-tensors", "fp8"),
           ("compressed-tensors", "uint4-g32"), ("gptq", "int4-g32"), ("awq", "uint4-g32"), ("mlx", "nvfp4"),
           ("mlx", "affine4-g32")]
BESIDE = ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "tokenizer.model"]


def opened(path):
    pack = pack_reader.Pack(path)
    pack.verify()
    return pack


def convert(source, out, *more):
    planish("convert", source, "-o", out, "-j", 2, "--force", *more)
    return opened(out) if out.suffix == ".pl" else None


def bits(values):
    return np.ascontiguousarray(values, np.float32).view(np.uint32)


def same_values(pack, path, work):
    """Every tensor, decoded by the reader and by planish."""
    plain = convert(path, work / "plain.pl", "--type", "f32")
    need(list(plain.tensors) == list(pack.tensors), "other tensors")
    for name in pack.tensors:
        need(plain.tensors[name]["type"] == {"scheme": "plain", "element": "f32"}, f"{name} is no f32")
        ours, theirs = plain.tensor(name), pack.tensor(name)
        wrong = np.argwhere(bits(ours) != bits(theirs))
        need(not len(wrong), f"{name} ({pack.tensors[name]['type']}): {len(wrong)} of {ours.size} values differ, the first at "
             f"{wrong[:1].tolist()}")
    return sum(t["rows"] * t["cols"] for t in pack.tensors.values())


def same_as_checkpoint(pack, folder):
    """Tensors that both call the same, with the same numbers of rows and columns; how many."""
    found = 0
    with safe_open(folder / "model.safetensors", "np") as file:
        for name in file.keys():
            kind = file.get_slice(name).get_dtype()
            shape = file.get_slice(name).get_shape()
            entry = pack.tensors.get(name)
            if not entry or [entry["rows"], entry["cols"]] != (shape if len(shape) == 2 else [*shape, 1]) or kind == "BF16":
                continue
            found += 1
            need(np.array_equal(pack.tensor(name).ravel(), file.get_tensor(name).astype(np.float32).ravel()), f"{name} differs")
    return found


def same_gguf(source, path, work, kind):
    """Made from the pack and from the checkpoint, and if planish reads the latter again: keys that it settles itself (their
    order, the type that stands for a mix) are then those of the former too."""
    direct, again, through = (work / f"{name}.gguf" for name in ("direct", "again", "through"))
    asked = ["--type", kind or "f32"]
    kept = [] if kind and kind not in pack_reader.FLOATS else asked
    planish("convert", source, "-o", direct, "--force", *asked)
    planish("convert", direct, "-o", again, "--force", *kept)
    planish("convert", path, "-o", through, "--force", *kept)
    need(through.read_bytes() in (direct.read_bytes(), again.read_bytes()), "another GGUF file through the pack")
    reader, other = gguf.GGUFReader(direct), gguf.GGUFReader(through)
    need([t.name for t in reader.tensors] == [t.name for t in other.tensors], "other tensors in the GGUF file")
    for a, b in zip(reader.tensors, other.tensors):
        need(a.tensor_type == b.tensor_type and np.array_equal(a.data, b.data), f"{a.name} differs in the GGUF files")
    return reader


def same_head(pack, work, direct):
    """The blob model.gguf, and a GGUF file of the same model: all keys but those of types."""
    (work / "model.gguf").write_bytes(pack.file("model.gguf"))
    head = gguf.GGUFReader(work / "model.gguf")
    need(not head.tensors, "model.gguf has tensors")
    keys = {key: field.contents() for key, field in head.fields.items() if not key.startswith("GGUF.")}
    theirs = {key: field.contents() for key, field in direct.fields.items() if not key.startswith("GGUF.")}
    for values in (keys, theirs):
        for key in ("general.file_type", "general.quantization_version"):
            values.pop(key, None)
    need(keys == theirs, f"model.gguf has other keys: {sorted(set(keys) ^ set(theirs))}")
    need("tokenizer.ggml.tokens" in keys, "model.gguf has no vocabulary")


def same_files(pack, source):
    beside = {name: (source / name).read_bytes() for name in BESIDE if (source / name).exists()}
    found = {name: pack.file(name) for name in pack.files if name != "model.gguf"}
    for name, data in beside.items():
        need(found.get(name) == data, f"{name} is not what it was")
    for name, data in found.items():
        need((source / name).read_bytes() == data, f"{name} is not what it was")
    return len(found)


def check(source, work, kind, zstd, exact=False):
    path = work / "model.pl"
    pack = convert(source, path, *(["--type", kind] if kind else []), *(["--zstd", zstd] if zstd else []))
    values = same_values(pack, path, work)
    files = same_files(pack, source) if source.is_dir() else 0
    told = f"{values} values, {files} files"
    if zstd:
        told += f", {(pack.frames['kind'] == 1).sum()} of {len(pack.frames)} frames compressed"
        need(opened(path).index["required"] == ["zstd"], "zstd is not required")
    if exact:
        found = same_as_checkpoint(pack, source)
        told += f", {found} tensors as in the checkpoint"
    # GGUF has no factor for nvfp4 token embeddings, a pack has: they are encoded anew.
    if kind is None or (kind.upper() in gguf.GGMLQuantizationType.__members__ and (source.name, kind) != ("wide", "nvfp4")):
        reader = same_gguf(source, path, work, kind)
        same_head(pack, work, reader)
        told += ", GGUF files equal"
    return told


def damage(work):
    """One bit anywhere: the reader, which knows the definition, misses none."""
    rng = random.Random(1)
    planish("convert", MODELS / "llama", "-o", work / "whole.pl", "--type", "affine4-g32", "--zstd", 1, "--force")
    whole = (work / "whole.pl").read_bytes()
    for at in [0, 8, 63, 64, 4095, len(whole) - 1, len(whole) - 97, *rng.sample(range(len(whole)), 60)]:
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        (work / "bad.pl").write_bytes(data)
        try:
            opened(work / "bad.pl")
        except pack_reader.Refused:
            continue
        raise Failed(f"a bit of byte {at} changed, and nothing is wrong")
    return "67 of 67 seen"


def cases(work):
    names = sorted(path.name for path in MODELS.iterdir() if path.is_dir())
    for name in names:
        folder = MODELS / name
        yield f"{name} as it is", lambda: check(folder, work, None, 0, True)
        yield f"{name} q8_0 zstd", lambda: check(folder, work, "q8_0", 3)
    for kind in SIMPLE + APART:
        yield f"llama {kind}", lambda: check(MODELS / "llama", work, kind, 0)
        yield f"phi3 {kind} zstd", lambda: check(MODELS / "phi3", work, kind, 5)
    for kind in WIDE:
        yield f"wide {kind}", lambda: check(work / "wide", work, kind, 9 if len(kind) % 2 else 0)
    for to, kind in FOLDERS:
        folder = work / "folder"

        def run():
            shutil.rmtree(folder, ignore_errors=True)
            planish("convert", MODELS / "llama", "-o", folder, "--to", to, "--type", kind)
            return check(folder, work, None, 0)
        yield f"llama from {to} {kind}", run
    yield "damage", lambda: damage(work)


def main(work):
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    subprocess.run([sys.executable, ROOT / "tests" / "e2e" / "make_model.py", "--out", work / "wide", "--tokenizer",
                    ROOT / "calib-data" / "stories260k", "--shape", "tiny", "--layers", "1", "--dtype", "F32"], check=True,
                   stdout=subprocess.DEVNULL)
    return run_cases(cases(work), 36, (Failed, pack_reader.Refused))


if __name__ == "__main__":
    sys.exit(1 if main(pathlib.Path(sys.argv[2])) else 0)
