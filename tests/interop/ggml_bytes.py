"""Our encoders, decoders and type numbers against ggml's: the same bytes, the same floats.

Usage: ggml_bytes.py ENCODE_TOOL WORK_FOLDER. Oracles: libgguf (ggml's reference C) and gguf (its
numpy twin). Exit code 77 without them, a failure if PLANISH_NO_SKIP=1. Every variant that
PLANISH_CPU can pick is tried.
"""
import os
import subprocess
import sys

try:
    import gguf
    import libgguf
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)

TYPES = ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]
SCALES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2]}
READ_ONLY = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S",
             "IQ1_M", "IQ4_NL", "IQ4_XS", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4", "Q1_0"]
NO_TWIN = ["Q1_0"]              # gguf.quants does not decode it
VARIANTS = ["scalar", "avx2", "avx512"]
COUNT = 1 << 18                 # values per set
BLOCKS = COUNT // 32
failures = 0


def fail(sentence):
    global failures
    failures += 1
    print(sentence)


def tool(work, variant, verb, name, data):
    source, target = os.path.join(work, "in.bin"), os.path.join(work, "out.bin")
    data.tofile(source)
    subprocess.run([sys.argv[1], verb, name.lower(), source, target], check=True,
                   env={**os.environ, "PLANISH_CPU": variant})
    return np.fromfile(target, np.uint8)


def value_sets(rng):
    """Names and f32 values; every value is finite."""
    normal = rng.standard_normal(COUNT).astype(np.float32)
    sign = np.where(rng.random((BLOCKS, 32)) < 0.5, np.float32(-1), np.float32(1))

    def scaled(low, high):
        exponent = np.repeat(rng.integers(low, high, BLOCKS), 32)
        x = np.ldexp(normal.astype(np.float64), exponent)
        return np.clip(x, -3.4e38, 3.4e38).astype(np.float32)

    def halves(extreme):                # on ties, or just below, when `extreme` sets the scale
        x = (rng.integers(-2 * extreme, 2 * extreme + 1, (BLOCKS, 32)) / 2).astype(np.float32)
        x = np.where(rng.random((BLOCKS, 32)) < 0.5, np.nextafter(x, np.float32(0)), x)
        x[np.arange(BLOCKS), rng.integers(0, 32, BLOCKS)] = extreme * sign[:, 0]
        return x

    outlier = np.zeros((BLOCKS, 32), np.float32)
    outlier[np.arange(BLOCKS), rng.integers(0, 32, BLOCKS)] = normal[:BLOCKS]
    bits = rng.integers(0, 2**32, COUNT, dtype=np.uint32)
    bits = np.where((bits >> 23 & 255) == 255, bits ^ 0x40000000, bits).astype(np.uint32)
    yield "gaussian", normal * np.float32(0.02)
    yield "gaussian that was f16", (normal * np.float32(0.02)).astype(np.float16).astype(np.float32)
    yield "heavy-tailed", rng.standard_t(2, COUNT).astype(np.float32)
    yield "mixed scales", scaled(-30, 16)
    yield "tiny scales", scaled(-149, -90)
    yield "huge scales", scaled(0, 125)
    yield "any bits", bits.view(np.float32)
    yield "zeros of both signs", sign * np.float32(0)
    yield "one outlier", outlier * sign
    yield "constant", np.repeat(normal[:BLOCKS], 32)
    yield "alternating", sign * np.repeat(normal[:BLOCKS], 32).reshape(BLOCKS, 32)
    for extreme in (8, 16, 127):
        yield f"ties of {extreme}", halves(extreme)


def without_zero_signs(blocks, name):
    """numpy takes any of several equal extremes: the sign of a zero scale or minimum may differ."""
    blocks = blocks.copy()
    for at in SCALES.get(name, []):
        negative = (blocks[:, at] == 0) & (blocks[:, at + 1] == 0x80)
        blocks[negative, at + 1] = 0
    return blocks


def check_encoders(work, set_name, values):
    values = np.ascontiguousarray(values.reshape(-1, 1024))
    for name in TYPES:
        number = gguf.GGMLQuantizationType[name]
        size = gguf.GGML_QUANT_SIZES[number][1]
        reference = libgguf.quantize_rows(values, number).view(np.uint8).reshape(-1, size)
        with np.errstate(all="ignore"):
            twin = gguf.quants.quantize(values, number).view(np.uint8).reshape(-1, size)
        for variant in VARIANTS:
            ours = tool(work, variant, "encode", name, values).reshape(-1, size)
            wrong = np.flatnonzero((ours != reference).any(axis=1))
            if wrong.size:
                at = wrong[0]
                fail(f"{name} {variant}, {set_name}: {wrong.size} blocks differ from libgguf, "
                     f"first {at}: {bytes(ours[at]).hex()}, not {bytes(reference[at]).hex()}")
        a, b = without_zero_signs(ours, name), without_zero_signs(twin, name)
        differ = int((a != b).any(axis=1).sum())
        if differ:
            fail(f"{name}, {set_name}: {differ} blocks differ from gguf.quants")


def same_floats(a, b):
    return (a.view(np.uint32) == b.view(np.uint32)) | (np.isnan(a) & np.isnan(b))


def check_decoders(work, rng):
    for name in TYPES + READ_ONLY:
        number = gguf.GGMLQuantizationType[name]
        block, size = gguf.GGML_QUANT_SIZES[number]
        data = rng.integers(0, 256, (1 << 20) // block * size, dtype=np.uint8).reshape(-1, size)
        data[: len(data) // 8] = 0
        data[-len(data) // 8 :] = 255           # NaN scales included
        if name == "MXFP4":
            data[data[:, 0] == 255, 0] = 254    # NaN as the format is defined and for us, 2^128 for ggml
        rows = data.reshape(256, -1)
        oracles = {}
        with np.errstate(all="ignore"):
            if name not in NO_TWIN:
                oracles["gguf.quants"] = gguf.quants.dequantize(rows, number).astype(np.float32)
        if block > 1:
            oracles["libgguf"] = libgguf.dequantize_rows(rows, number)
        for variant in VARIANTS:
            ours = tool(work, variant, "decode", name, data).view(np.float32)
            for oracle, expected in oracles.items():
                same = same_floats(ours, expected.ravel())
                if not same.all():
                    at = np.flatnonzero(~same)[0]
                    fail(f"decode {name} {variant}: value {at} is {ours[at]}, {oracle} has {expected.ravel()[at]}")


def check_table():
    answer = subprocess.run([sys.argv[1], "types"], check=True, capture_output=True, text=True)
    names = {}
    for line in answer.stdout.splitlines():
        kind, *rest = line.split()
        if kind == "name":
            names[int(rest[0])] = rest[1]
            continue
        number = gguf.GGMLQuantizationType.__members__.get(rest[0].upper())
        if number is None:          # newer than the package
            continue
        found = (int(rest[1]), int(rest[2]), int(rest[3]))
        if found != (number.value, *gguf.GGML_QUANT_SIZES[number]):
            fail(f"type {rest[0]}: number, block, bytes {found}, expected "
                 f"{(number.value, *gguf.GGML_QUANT_SIZES[number])}")
    for number in gguf.GGMLQuantizationType:
        if names.get(number.value) != number.name.lower():
            fail(f"type number {number.value} is {names.get(number.value)}, expected {number.name}")


def main():
    work = sys.argv[2]
    os.makedirs(work, exist_ok=True)
    rng = np.random.default_rng(20)
    check_table()
    check_decoders(work, rng)
    for set_name, values in value_sets(rng):
        check_encoders(work, set_name, values)
    print(f"{failures} deviations")
    return failures != 0


sys.exit(main())
