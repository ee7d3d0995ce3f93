"""Packs whose matrices are stored in other layouts (docs/pack-format.md), each against its rule written out here.

    pack_layouts.py PLANISH WORK_FOLDER

stored     the bytes in the file are those that the rule makes of the same matrix without a layout
values     what the reader (pack_reader.py), which knows only the descriptor in the file, decodes is the same
llama.cpp  the rules of rows4 and rows8 make the bytes that its own repacking functions make
back       a GGUF file made of it, and a pack without layouts, are those made of the pack without layouts

The model is random, with rows of 256 values. Exit code 77 if a package is missing, a failure if PLANISH_NO_SKIP=1.
"""
import ctypes
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

from program import Failed, need, planish, run_cases

ROOT = pathlib.Path(__file__).resolve().parents[2]

try:
    import numpy as np
    import pack_reader
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)

CASES = [("marlin", "int4-g128"), ("marlin", "int4-g32"), ("marlin", "int4"), ("marlin", "int8-g64"), ("marlin", "int8"),
         ("rows4", "q4_0"), ("rows4", "q8_0"), ("rows4", "iq4_nl"), ("rows4", "mxfp4"), ("rows8", "q4_0"), ("rows8", "q8_0"),
         ("rows8", "iq4_nl"), ("rows8", "mxfp4"), ("nvfp4-atom", "nvfp4"), ("nvfp4-atom", "mxfp4"), ("nvfp4-atom", "mxfp8")]
GGUF = ["q4_0", "q8_0", "iq4_nl", "mxfp4", "nvfp4"]
UNTOUCHED = [("marlin", "uint4-g128"), ("marlin", "q4_0"), ("rows8", "q4_k"), ("nvfp4-atom", "int4-g32")]


def marlin_order(width):
    """Where the lanes of a warp want the codes of a tile of 16 x 64: (k, n) for each place. A lane holds, of an operand of
    16 x 8, column lane / 4 and rows 2 (lane % 4) + {0, 1, 8, 9}; of two such operands side by side, of four such pairs. Within
    a register the codes are interleaved."""
    interleaved = {4: [0, 2, 4, 6, 1, 3, 5, 7], 8: [0, 2, 1, 3, 4, 6, 5, 7]}[width]
    order = []
    for lane in range(32):
        for tile in range(4):
            held = [(2 * (lane % 4) + row, tile * 16 + half * 8 + lane // 4) for half in (0, 1) for row in (0, 1, 8, 9)]
            order += [held[i] for i in interleaved]
    return order


def marlin(parts, entry):
    rows, cols, width = entry["rows"], entry["cols"], entry["type"]["bits"]
    codes = pack_reader.codes_of(parts["codes"], rows, cols, width).T               # [k][n]
    tiles = codes.reshape(cols // 16, 16, rows // 64, 64).transpose(0, 2, 1, 3)     # [k / 16][n / 64][16][64]
    k, n = np.array(marlin_order(width)).T
    stream = tiles[:, :, k, n].ravel().astype(np.uint8)
    stored = stream if width == 8 else stream[0::2] | stream[1::2] << 4
    scales = np.frombuffer(parts["scales"], "<u2").reshape(rows, -1).T              # [group][n]
    if len(scales) > 1:         # scales of 64 columns as 8 x 8, turned
        turned = scales.reshape(len(scales), rows // 64, 8, 8).transpose(0, 1, 3, 2)
    else:
        order = [2 * i + j for i in range(4) for j in (0, 1, 8, 9, 16, 17, 24, 25)]
        turned = scales.reshape(1, rows // 32, 32)[:, :, order]
    return {"codes": stored.tobytes(), "scales": np.ascontiguousarray(turned).tobytes()}


def side_by_side(many, parts, entry):
    rows, kind = entry["rows"], entry["type"]["element"]
    head, size = {"q4_0": (2, 18), "iq4_nl": (2, 18), "q8_0": (2, 34), "mxfp4": (1, 17)}[kind]
    blocks = np.frombuffer(parts["codes"], np.uint8).reshape(rows, -1, size)
    out = bytearray()
    for first in range(0, rows, many):
        for column in range(blocks.shape[1]):
            group = blocks[first:first + many, column]
            out += group[:, :head].tobytes()
            codes = group[:, head:] ^ (0x88 if kind == "q4_0" else 0)
            for at in range(0, size - head, many):          # rows of four: four bytes in turn, of eight: eight
                for row in range(many):
                    out += codes[row, at:at + many].tobytes()
    return {"codes": bytes(out)}


def atoms(scales):
    """One scale after the other by its place: 32 rows apart lie side by side, atoms of four blocks follow each other."""
    rows, blocks = scales.shape
    m, k = np.mgrid[0:rows, 0:blocks]
    place = m % 32 * 16 + m // 32 % 4 * 4 + k % 4 + 512 * (k // 4 + m // 128 * (blocks // 4))
    out = np.empty(scales.size, np.uint8)
    out[place.ravel()] = scales.ravel()
    return out.tobytes()


def atom(parts, entry):
    rows, cols, kind = entry["rows"], entry["cols"], entry["type"]["element"]
    if kind not in ("nvfp4", "mxfp4"):
        scales = np.frombuffer(parts["scales"], np.uint8).reshape(rows, -1)
        return {**parts, "scales": atoms(scales)}
    half, heads = {"nvfp4": (8, 4), "mxfp4": (16, 1)}[kind]    # so many low nibbles, then as many high ones; bytes of scales
    size = heads + {"nvfp4": 32, "mxfp4": 16}[kind]
    blocks = np.frombuffer(parts["codes"], np.uint8).reshape(rows, -1, size)
    nibbles = blocks[:, :, heads:].reshape(rows, -1, half)
    codes = np.stack([nibbles & 15, nibbles >> 4], axis=2).reshape(rows, cols)
    scales = np.ascontiguousarray(blocks[:, :, :heads]).reshape(rows, -1)
    return {**parts, "codes": (codes[:, 0::2] | codes[:, 1::2] << 4).tobytes() + atoms(scales)}


RULES = {"marlin": marlin, "rows4": lambda *a: side_by_side(4, *a), "rows8": lambda *a: side_by_side(8, *a), "nvfp4-atom": atom}
BAND = {"marlin": 64, "rows4": 4, "rows8": 8, "nvfp4-atom": 128}


def opened(path):
    pack = pack_reader.Pack(path)
    pack.verify()
    return pack


def convert(source, out, *more):
    planish("convert", source, "-o", out, "--force", *more)
    return opened(out) if out.suffix == ".pl" else out.read_bytes()


def check(work, layout, kind, *more):
    model, plain, turned = work / "model", work / "plain.pl", work / "turned.pl"
    was = convert(model, plain, "--type", kind, "--pure", "-j", 1)
    now = convert(model, turned, "--type", kind, "--pure", "--layout", layout, "-j", 2, *more)
    found = 0
    for name, entry in now.tensors.items():
        parts = {part["role"]: was.blob(part) for part in was.tensors[name]["parts"]}
        has = any("layout" in part for part in entry["parts"])
        need(has == (entry["cols"] > 1 and entry["rows"] % BAND[layout] == 0), f"{name}: {'a' if has else 'no'} layout")
        expected = RULES[layout](parts, entry) if has else parts
        found += has
        for part in entry["parts"]:
            need(now.blob(part) == expected.get(part["role"], parts[part["role"]]), f"{name}: other {part['role']} are stored")
        need(np.array_equal(now.tensor(name).view(np.uint32), was.tensor(name).view(np.uint32)), f"{name}: other values")
    need(found > 3 and "layout" in now.index["required"], f"{found} matrices with a layout")
    for target in ("back.pl", "back.gguf") if kind in GGUF else ("back.pl",):
        first, second = (convert(source, work / target) for source in (plain, turned))
        if target == "back.pl":
            need(list(first.tensors) == list(second.tensors), "other tensors")
            first, second = ([pack.part(part) for t in pack.tensors.values() for part in t["parts"]] for pack in (first, second))
        need(first == second, f"{target} is not what it is without a layout")
    return f"{found} of {len(now.tensors)} tensors"


def untouched(work, layout, kind):
    pack = convert(work / "model", work / "plain.pl", "--type", kind, "--pure", "--layout", layout)
    need(pack.index["required"] == [], "a layout where none fits")
    return "none fits"


class GgmlOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]


def like_llama_cpp(kind, many):
    """Blocks of random bytes, through tensor_traits<block_KIND, MANY, MANY, GGML_TYPE_Q8_0>::repack of the wheel's library."""
    number, size = {"q4_0": (2, 18), "q8_0": (8, 34), "iq4_nl": (20, 18), "mxfp4": (39, 17)}[kind]
    library = ctypes.CDLL(importlib.util.find_spec("xllamacpp.xllamacpp").origin)
    name = f"block_{kind}"
    repack = getattr(library, f"_ZN4ggml3cpu6repack13tensor_traitsI{len(name)}{name}Ll{many}ELl{many}EL9ggml_type8EE6repack"
                              "EP11ggml_tensorPKvm")
    library.ggml_init.restype = library.ggml_new_tensor_2d.restype = library.ggml_get_data.restype = ctypes.c_void_p
    rows, cols = 48, 160
    data = np.random.default_rng(1).integers(0, 256, rows * cols // 32 * size, dtype=np.uint8)
    context = ctypes.c_void_p(library.ggml_init(GgmlOptions(1 << 20, None, False)))
    tensor = ctypes.c_void_p(library.ggml_new_tensor_2d(context, number, ctypes.c_int64(cols), ctypes.c_int64(rows)))
    need(repack(None, tensor, ctypes.c_void_p(data.ctypes.data), ctypes.c_size_t(data.nbytes)) == 0, "it was refused")
    theirs = ctypes.string_at(library.ggml_get_data(tensor), data.nbytes)
    ours = side_by_side(many, {"codes": data.tobytes()}, {"rows": rows, "type": {"element": kind}})["codes"]
    need(ours == theirs, "other bytes than the rule's")
    return f"{data.nbytes} bytes"


def cases(work):
    for kind, many in [("q4_0", 4), ("q4_0", 8), ("q8_0", 4), ("iq4_nl", 4), ("iq4_nl", 8), ("mxfp4", 4), ("mxfp4", 8)]:
        yield f"llama.cpp {kind} {many}", lambda: like_llama_cpp(kind, many)
    for layout, kind in CASES:
        yield f"{layout} {kind}", lambda: check(work, layout, kind)
        yield f"{layout} {kind} zstd", lambda: check(work, layout, kind, "--zstd", 3)
    for layout, kind in UNTOUCHED:
        yield f"{layout} {kind}", lambda: untouched(work, layout, kind)


def main(work):
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    subprocess.run([sys.executable, ROOT / "tests" / "e2e" / "make_model.py", "--out", work / "model", "--tokenizer",
                    ROOT / "calib-data" / "stories260k", "--shape", "tiny", "--layers", "1", "--dtype", "F16"], check=True,
                   stdout=subprocess.DEVNULL)
    return run_cases(cases(work), 28, (Failed, pack_reader.Refused))


if __name__ == "__main__":
    sys.exit(1 if main(pathlib.Path(sys.argv[2])) else 0)
