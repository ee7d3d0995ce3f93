"""Checkpoints of 8-bit floats: every value and every byte that comes of them, against numpy.

Usage: fp8_equality.py PLANISH WORK_FOLDER. calib-data/stories260k is stored in every way that scales may
have, as 8-bit floats from their definition; converted, it must give the same bytes as the gguf package makes
of code times scale. Exit code 77 without the packages, a failure if PLANISH_NO_SKIP=1.
"""
import json
import math
import pathlib
import shutil
import subprocess
import sys

import gguf_roundtrip as roundtrip      # says what is missing
import gguf
import numpy as np
from safetensors.numpy import load_file

MODEL = roundtrip.MODEL
BROKEN = "model.layers.2.mlp.down_proj.weight"


def minifloat(code, exponent_bits, bias, nan):
    """Value of a sign, an exponent and a mantissa; codes whose magnitude is `nan` or more are no numbers."""
    mantissa_bits = 7 - exponent_bits
    magnitude = code & 127
    if magnitude >= nan:
        return math.nan
    exponent, mantissa = magnitude >> mantissa_bits, magnitude & ((1 << mantissa_bits) - 1)
    fraction = mantissa / (1 << mantissa_bits)
    value = (1 + fraction) * 2.0 ** (exponent - bias) if exponent else fraction * 2.0 ** (1 - bias)
    return -value if code & 128 else value


CODES = {
    "F8_E4M3": np.array([minifloat(code, 4, 7, 127) for code in range(256)], np.float32),
    "F8_E5M2": np.array([minifloat(code, 5, 15, 124) for code in range(256)], np.float32),
}
FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic"}


def compressed(strategy, **more):
    weights = {"num_bits": 8, "type": "float", "symmetric": True, "dynamic": False, "strategy": strategy}
    return {"quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["lm_head"],
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights | more}}}


# name: codes, rows and columns of a block (None: all), type and suffix of scales, entry of config.json
LAYOUTS = {
    "blocks of 128": ("F8_E4M3", (128, 128), "F32", "_scale_inv", FP8 | {"weight_block_size": [128, 128]}),
    "odd blocks": ("F8_E4M3", (96, 48), "BF16", "_scale_inv", FP8 | {"weight_block_size": [96, 48]}),
    "powers of two": ("F8_E4M3", (96, 48), "F8_E8M0", "_scale_inv",
                      FP8 | {"weight_block_size": [96, 48], "scale_fmt": "ue8m0"}),
    "one scale": ("F8_E5M2", (None, None), "F32", "_scale_inv", FP8 | {"weight_block_size": None}),
    "channels": ("F8_E4M3", (1, None), "BF16", "_scale", compressed("channel")),
    "compressed blocks": ("F8_E5M2", (64, 32), "F32", "_scale", compressed("block", block_structure=[64, 32])),
    "no scales": ("F8_E4M3", None, None, None, None),
}


def encode_scales(scales, dtype):
    """Scales as bytes, none smaller than asked for, and as what they are then."""
    if dtype == "F32":
        return scales.tobytes(), scales
    if dtype == "BF16":
        half = ((scales.view(np.uint32) >> 16) + 1).astype(np.uint16)
        return half.tobytes(), (half.astype(np.uint32) << 16).view(np.float32)
    exponents = np.ceil(np.log2(scales)).astype(np.int32)
    return (exponents + 127).astype(np.uint8).tobytes(), np.exp2(exponents.astype(np.float32))


def encode(weight, table):
    """The nearest code of each value."""
    order = np.argsort(np.where(np.isnan(table), np.inf, table), kind="stable")[:np.isfinite(table).sum()]
    middles = (table[order][1:] + table[order][:-1]) / 2
    return order[np.searchsorted(middles, weight)].astype(np.uint8)


def store(name, weight, layout):
    """Entries of a safetensors file for one matrix, and the values they stand for."""
    codes_type, block, scale_type, suffix, _ = layout
    table = CODES[codes_type]
    if block is None:
        codes = encode(weight, table)
        return {name: (codes_type, weight.shape, codes.tobytes())}, table[codes]
    high, wide = (size or whole for size, whole in zip(block, weight.shape))
    rows, cols = np.arange(weight.shape[0]) // high, np.arange(weight.shape[1]) // wide
    scales = np.zeros((rows[-1] + 1, cols[-1] + 1), np.float32)
    np.maximum.at(scales, (rows[:, None], cols[None, :]), np.abs(weight))
    raw, scales = encode_scales((scales + np.float32(1e-6)) / np.nanmax(table), scale_type)
    spread = scales.reshape(rows[-1] + 1, cols[-1] + 1)[rows][:, cols]
    codes = encode(weight / spread, table)
    shape = () if block == (None, None) else (rows[-1] + 1, cols[-1] + 1)
    return {name: (codes_type, weight.shape, codes.tobytes()),
            name + suffix: (scale_type, shape, raw)}, table[codes] * spread


def write(path, entries):
    header, at = {}, 0
    for name, (dtype, shape, raw) in entries.items():
        header[name] = {"dtype": dtype, "shape": [int(n) for n in shape], "data_offsets": [at, at + len(raw)]}
        at += len(raw)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(raw for _, _, raw in entries.values()))


def make(folder, layout):
    """A checkpoint, and its values under GGUF's names."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(MODEL / name, folder / name)
    config = json.loads((MODEL / "config.json").read_text())
    if layout[4]:
        config["quantization_config"] = layout[4]
    (folder / "config.json").write_text(json.dumps(config))
    entries, values = {}, {}
    for name, weight in load_file(MODEL / "model.safetensors").items():
        if weight.ndim == 1:
            entries[name], values[name] = ("F32", weight.shape, weight.tobytes()), weight
            continue
        added, values[name] = store(name, weight.astype(np.float32), layout)
        entries |= added
        if layout[4]:
            entries[name.removesuffix("weight") + "input_scale"] = ("F32", (), np.float32(0.5).tobytes())
    write(folder / "model.safetensors", entries)
    return entries, roundtrip.gguf_names(values, config)


def run(*args):
    return subprocess.run([sys.argv[1], *map(str, args)], capture_output=True, text=True)


def convert(folder, target, wish, *options):
    done = run("convert", folder, "-o", target, "--type", wish.lower(), "--pure", "--encoder", "reference",
               "--force", *options)
    if done.returncode:
        print(f"{folder.name} to {wish}: exit code {done.returncode}: {done.stderr}")
        sys.exit(1)
    return gguf.GGUFReader(target)


def check_layout(name, layout, work):
    folder = work / name.replace(" ", "-")
    _, weights = make(folder, layout)
    target = folder / "out.gguf"
    for wish in ("F32", "F16", "Q8_0", "Q4_0"):
        reader = convert(folder, target, wish)
        roundtrip.check_tensors(reader, weights, wish)
        whole = target.read_bytes()
        # So little that ranges of rows end inside blocks of scales.
        convert(folder, target, wish, "--memory", "20M", "--threads", "2")
        roundtrip.expect(f"{name}: {wish} within 20 MB", target.read_bytes() == whole, True)
    shown = json.loads(run("inspect", folder, "--json").stdout)["tensors"]
    types = {t["type"] for t in shown if len(t["shape"]) == 2}
    block = layout[1] and {(None, None): " per tensor", (1, None): " per row"}.get(
        layout[1], f" {layout[1][0]}x{layout[1][1]}")
    roundtrip.expect(f"{name}: inspect", types, {layout[0].lower() + (block or "")})


def check_refusals(work):
    layout = LAYOUTS["blocks of 128"]
    folder = work / "broken"

    def refused(what, changes, *sentences):
        entries, _ = make(folder, layout)
        for name, entry in changes(entries).items():
            if entry is None:
                del entries[name]
            else:
                entries[name] = entry
        write(folder / "model.safetensors", entries)
        done = run("convert", folder, "-o", folder / "out.gguf", "--type", "q8_0")
        roundtrip.expect(f"{what}: exit code", done.returncode, 3)
        for sentence in sentences:
            roundtrip.expect(f"{what}: '{sentence}' in '{done.stderr.strip()}'", sentence in done.stderr, True)
        roundtrip.expect(f"{what}: no output", (folder / "out.gguf").exists(), False)

    def bad_code(entries):
        dtype, shape, raw = entries[BROKEN]
        codes = np.frombuffer(raw, np.uint8).copy().reshape(shape)
        codes[7, 11] = 0xff
        return {BROKEN: (dtype, shape, codes.tobytes())}

    def bad_scale(entries):
        dtype, shape, raw = entries[BROKEN + "_scale_inv"]
        scales = np.frombuffer(raw, np.float32).copy().reshape(shape)
        scales[-1, -1] = np.inf
        return {BROKEN + "_scale_inv": (dtype, shape, scales.tobytes())}

    refused("NaN code", bad_code, f"tensor '{BROKEN}' row 7 column 11 is nan")
    refused("infinite scale", bad_scale, f"'{BROKEN}_scale_inv' should be finite", "row 0 column 1")
    refused("no scale", lambda entries: {BROKEN + "_scale_inv": None}, f"'{BROKEN}'", "there is no")
    refused("no weight", lambda entries: {BROKEN: None}, f"'{BROKEN}_scale_inv'", "missing")


def main():
    work = pathlib.Path(sys.argv[2])
    for name, layout in LAYOUTS.items():
        check_layout(name, layout, work)
    check_refusals(work)
    print(f"{roundtrip.failures} differences in {len(LAYOUTS)} ways of storing")
    return roundtrip.failures != 0


if __name__ == "__main__":
    sys.exit(main())
