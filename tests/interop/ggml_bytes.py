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


def check_decoders(work, rng):
    for name in TYPES:
        number = gguf.GGMLQuantizationType[name]
        block, size = gguf.GGML_QUANT_SIZES[number]
        data = rng.integers(0, 256, (1 << 20) // block * size, dtype=np.uint8).reshape(-1, size)
        data[: len(data) // 8] = 0
        data[-len(data) // 8 :] = 255           # NaN scales included
        with np.errstate(all="ignore"):
            expected = gguf.quants.dequantize(data.reshape(256, -1), number)
        expected = expected.astype(np.float32).ravel()
        for variant in VARIANTS:
            ours = tool(work, variant, "decode", name, data).view(np.float32)
            same = ours.view(np.uint32) == expected.view(np.uint32)
            same |= np.isnan(ours) & np.isnan(expected)
            if not same.all():
                at = np.flatnonzero(~same)[0]
                fail(f"decode {name} {variant}: value {at} is {ours[at]}, expected {expected[at]}")


def check_table():
    answer = subprocess.run([sys.argv[1], "types"], check=True, capture_output=True, text=True)
    names = {}
    for line in answer.stdout.splitlines():
        kind, *rest = line.split()
        if kind == "name":
            names[int(rest[0])] = rest[1]
            continue
        number = gguf.GGMLQuantizationType[rest[0].upper()]
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
