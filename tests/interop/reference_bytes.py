"""The encoders without a grid of their own, and those with importance, against ggml's: the same bytes.

Usage: reference_bytes.py ENCODE_TOOL WORK_FOLDER. Oracles: libgguf (ggml's reference C) and, for IQ1_M,
the newer ggml inside xllamacpp. Exit code 77 without them, a failure if PLANISH_NO_SKIP=1. Every variant that
PLANISH_CPU can pick is tried. With PLANISH_GGML_LIB=libggml-base.so another build of ggml is asked as well; with
PLANISH_THOROUGH=1 four times as many blocks are compared.
"""
import ctypes
import glob
import os
import subprocess
import sys

try:
    import gguf
    import libgguf
    import numpy as np
    import xllamacpp
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)

K_TYPES = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
IQ_TYPES = ["IQ4_NL", "IQ4_XS"]
GRID_TYPES = ["IQ2_XXS", "IQ2_XS", "IQ2_S"]
LONG_TYPES = ["IQ3_XXS", "IQ3_S", "IQ1_S", "IQ1_M"]                 # grid types that get one importance per set
NEEDING = ["IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M"]                   # importance: ggml has no rule without; ours is that of ones
# Above this the sums of a grid type's searches overflow: ggml stops at an assertion (no neighbour, a negative scale).
GRID_LIMIT = np.float32(2**40)
WEIGHTED = ["Q4_0", "Q4_1", "Q5_0", "Q5_1"]
BLIND = ["TQ1_0", "TQ2_0", "MXFP4", "NVFP4", "Q1_0", "Q2_0"]        # to importance
Q2_0 = 42                       # the packages do not have it: a formula of ours stands in for libgguf
VARIANTS = ["scalar", "avx2", "avx512"]
THOROUGH = os.environ.get("PLANISH_THOROUGH") == "1"
ROWS, COLS = 683 if THOROUGH else 171, 768      # odd numbers of blocks of 256, three to a row: lanes do not come out even
COUNT = ROWS * COLS
WEIGHTED_ROWS = 227 if THOROUGH else 57         # for three importances per set
GRID_ROWS = 91 if THOROUGH else 23              # of types that take long
NEWER = glob.glob(os.path.join(os.path.dirname(xllamacpp.__file__), "xllamacpp*.so"))[0]     # ggml
failures = compared = 0


def number_of(name):
    return Q2_0 if name == "Q2_0" else gguf.GGMLQuantizationType[name].value


def shape_of(name):
    return (64, 18) if name == "Q2_0" else gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]


def q2_0(values):
    blocks = values.reshape(-1, 64)
    scale = np.abs(blocks).max(axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        ratio = blocks * np.where(scale > 0, np.float32(1) / scale, np.float32(0))
        half = scale.astype(np.float16)
    away = np.sign(ratio) * np.floor(np.abs(ratio.astype(np.float64)) + 0.5)
    codes = np.where(np.isfinite(ratio), away + 1, 0).astype(np.uint8).reshape(-1, 16, 4)
    packed = (codes << np.array([0, 2, 4, 6], np.uint8)).sum(axis=2, dtype=np.uint8)
    return np.concatenate([half.view(np.uint8), packed], axis=1).ravel()


def run_tool(work, variant, name, values, importance):
    source, target, weights = (os.path.join(work, file) for file in ("in.bin", "out.bin", "h.bin"))
    values.tofile(source)
    if importance is not None:
        importance.tofile(weights)
    subprocess.run([sys.argv[1], "encode", name.lower(), source, target] + [weights] * (importance is not None),
                   check=True, env={**os.environ, "PLANISH_CPU": variant})
    return np.fromfile(target, np.uint8)


def reference(name, values, importance):
    block, size = shape_of(name)
    if importance is None and name in NEEDING:
        importance = np.ones(values.shape[1], np.float32)
    out = np.empty(values.size // block * size, np.uint8)
    if name == "Q2_0":
        yield "numpy", q2_0(values)
    elif name != "IQ1_M":       # its sums were added up in another order when libgguf was made
        libgguf.quantize_rows_into_raw(number_of(name), values, out, *values.shape, importance)
        yield "libgguf", out
    library = os.environ.get("PLANISH_GGML_LIB", NEWER if name == "IQ1_M" else None)
    if library:
        pointer = ctypes.POINTER(ctypes.c_float)
        quantize = ctypes.CDLL(library).ggml_quantize_chunk
        quantize.restype = ctypes.c_size_t
        quantize.argtypes = [ctypes.c_int, pointer, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [pointer]
        other = np.empty_like(out)
        quantize(number_of(name), values.ctypes.data_as(pointer), other.ctypes.data, 0, *values.shape,
                 None if importance is None else importance.ctypes.data_as(pointer))
        yield "libggml", other


def compare(work, name, label, values, importance):
    global failures, compared
    size = shape_of(name)[1]
    ours = {variant: run_tool(work, variant, name, values, importance).reshape(-1, size) for variant in VARIANTS}
    for peer, expected in reference(name, values, importance):
        expected = expected.reshape(-1, size)
        compared += len(expected)
        for variant in VARIANTS:
            wrong = np.flatnonzero((ours[variant] != expected).any(axis=1))
            if wrong.size:
                failures += 1
                at = wrong[0]
                print(f"{name} {variant}, {label}: {wrong.size} blocks differ from {peer}, first {at}:\n"
                      f"  {bytes(ours[variant][at]).hex()}, not\n  {bytes(expected[at]).hex()}")


def value_sets(rng):
    """Names and f32 values; every value is finite."""
    normal = rng.standard_normal(COUNT).astype(np.float32)
    sign = np.where(rng.random(COUNT) < 0.5, np.float32(-1), np.float32(1))
    per16 = np.repeat(rng.standard_normal(COUNT // 16), 16).astype(np.float32)

    def scaled(low, high, every):
        exponent = np.repeat(rng.integers(low, high, COUNT // every), every)
        return np.clip(np.ldexp(normal.astype(np.float64), exponent), -3.4e38, 3.4e38).astype(np.float32)

    sparse = np.where(rng.random(COUNT) < 0.02, normal, np.float32(0))
    spike = np.zeros((COUNT // 256, 256), np.float32)
    spike[np.arange(len(spike)), rng.integers(0, 256, len(spike))] = normal[: len(spike)]
    outliers = np.where(rng.random(COUNT) < 0.004, normal * np.float32(40), normal) * np.float32(0.02)
    integers = rng.integers(-40, 41, COUNT).astype(np.float32) / np.float32(4)
    bits = rng.integers(0, 2**32, COUNT, dtype=np.uint32)
    bits = np.where((bits >> 23 & 255) == 255, bits ^ 0x40000000, bits).astype(np.uint32)
    yield "gaussian", normal * np.float32(0.02)
    yield "gaussian that was f16", (normal * np.float32(0.02)).astype(np.float16).astype(np.float32)
    yield "heavy-tailed", rng.standard_t(2, COUNT).astype(np.float32)
    yield "outliers", outliers
    yield "all positive", np.abs(normal) + np.float32(0.5)
    yield "all negative", -np.abs(normal)
    yield "mixed scales of sub-blocks", scaled(-12, 4, 16)
    yield "mixed scales of values", scaled(-30, 10, 1)
    yield "around f16's smallest", scaled(-30, -18, 256)
    yield "around what counts as zero", scaled(-60, -44, 16)
    yield "tiny", scaled(-120, -60, 256)
    yield "huge", scaled(40, 124, 256)
    yield "huge beside tiny", scaled(-120, 124, 1)
    yield "denormals", (bits & 0x807FFFFF).astype(np.uint32).view(np.float32)
    yield "any bits", bits.view(np.float32)
    yield "zeros", np.zeros(COUNT, np.float32)
    yield "zeros of both signs", sign * np.float32(0)
    yield "mostly zeros", sparse
    yield "one spike", spike.ravel()
    yield "constant", np.repeat(normal[: COUNT // 256], 256)
    yield "constant sub-blocks", per16
    yield "one magnitude", sign * np.repeat(np.abs(normal[: COUNT // 256]), 256)
    yield "on a grid, with ties", integers
    yield "ternary", rng.integers(-1, 2, COUNT).astype(np.float32) * np.float32(0.037)
    yield "just below powers of two", np.ldexp(1 - rng.integers(0, 60, COUNT) / 2.0**24,
                                               np.repeat(rng.integers(-124, 127, COUNT // 32), 32)).astype(np.float32)


def importances(rng):
    activations = rng.chisquare(1, COLS).astype(np.float32)
    yield "random importance", activations
    yield "importance over decades", np.exp(rng.standard_normal(COLS) * 4).astype(np.float32)
    yield "importance with zeros", np.where(rng.random(COLS) < 0.4, 0, activations).astype(np.float32)
    yield "importance with zero blocks", np.repeat(rng.integers(0, 2, COLS // 32), 32).astype(np.float32)
    yield "importance zero", np.zeros(COLS, np.float32)
    yield "importance one", np.ones(COLS, np.float32)


def check(work, rng, number, set_name, values):
    for name in K_TYPES + IQ_TYPES + list(BLIND):
        if name == "MXFP4":     # the reference wraps to a NaN scale below its smallest exponent
            largest = np.abs(values).reshape(-1, 32).max(axis=1, keepdims=True)
            kept = np.where((largest > 0) & (largest < 2.0**-125), np.float32(0), values.reshape(-1, 32))
            compare(work, name, set_name, np.ascontiguousarray(kept.reshape(ROWS, COLS)), None)
        else:
            compare(work, name, set_name, values, None)
    small = np.where(np.abs(values.reshape(-1, 256)).max(axis=1, keepdims=True) > GRID_LIMIT, np.float32(0),
                     values.reshape(-1, 256)).reshape(ROWS, COLS)[:GRID_ROWS]
    for name in GRID_TYPES:
        compare(work, name, set_name, small, None)
    every = list(importances(rng))
    label, importance = every[number % len(every)]
    for name in LONG_TYPES:
        compare(work, name, set_name, small, None)
        compare(work, name, f"{set_name}, {label}", small, importance)
    for label, importance in every[:3] if number % 2 else every[3:]:
        for name in K_TYPES + IQ_TYPES + WEIGHTED:
            compare(work, name, f"{set_name}, {label}", values[:WEIGHTED_ROWS], importance)
        for name in GRID_TYPES:
            compare(work, name, f"{set_name}, {label}", small, importance)
    compare(work, "TQ1_0", f"{set_name}, importance ignored", values, np.ones(COLS, np.float32))


def main():
    work = sys.argv[2]
    os.makedirs(work, exist_ok=True)
    rng = np.random.default_rng(21)
    for number, (set_name, values) in enumerate(value_sets(rng)):
        check(work, rng, number, set_name, np.ascontiguousarray(values.reshape(ROWS, COLS)))
    print(f"{compared} blocks compared, {failures} deviations")
    return failures != 0


sys.exit(main())
