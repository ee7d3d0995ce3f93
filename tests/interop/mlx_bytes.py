"""Affine types, mxfp4, mxfp8 and nvfp4 against mlx.core.quantize on the CPU: the same codes, scales and biases for f32,
f16 and bf16 weights, and the same values when MLX decodes what the search wrote.

Usage: mlx_bytes.py GROUPS_TOOL WORK_FOLDER. Exit code 77 without mlx, a failure if PLANISH_NO_SKIP=1. Every variant that
PLANISH_CPU can pick is tried. With PLANISH_SMOLLM2 or PLANISH_MINILM set, rows of these checkpoints are compared too.
"""
import os
import subprocess
import sys

try:
    import mlx.core as mx
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)

mx.set_default_device(mx.cpu)
AFFINE = [(bits, group) for bits in (2, 3, 4, 5, 6, 8) for group in (32, 64, 128)]
MICRO = {"mxfp4": (4, 32), "nvfp4": (4, 16), "mxfp8": (8, 32)}
FLOATS = {"f32": mx.float32, "f16": mx.float16, "bf16": mx.bfloat16}
VARIANTS = ["scalar", "avx2", "avx512"]
ROWS, COLS = 67, 384                            # groups do not come out even
failures = compared = 0


def bytes_of(array):
    if array.dtype in (mx.float16, mx.bfloat16):
        array = array.view(mx.uint16)
    return np.array(array).view(np.uint8).ravel()


def run_tool(work, verb, kind, floats, values, variant):
    source, target = os.path.join(work, "in.bin"), os.path.join(work, "out.bin")
    values.tofile(source)
    subprocess.run([sys.argv[1], verb, kind, floats, str(values.shape[1]), source, target], check=True,
                   stdout=subprocess.DEVNULL, env={**os.environ, "PLANISH_CPU": variant})
    found = np.fromfile(target, np.uint8)
    return found[: -4 * values.size], found[-4 * values.size:].view(np.float32).reshape(values.shape)


def options_of(kind):
    if kind in MICRO:
        return {"mode": kind, "bits": MICRO[kind][0], "group_size": MICRO[kind][1]}
    bits, group = kind[6:].split("-g")
    return {"mode": "affine", "bits": int(bits), "group_size": int(group)}


def report(what):
    global failures
    failures += 1
    if failures <= 40:
        print(what)


def decoded_by_mlx(parts, kind, floats, shape):
    """The parts as MLX's own arrays, decoded in f32."""
    options = options_of(kind)
    bits, group = options["bits"], options["group_size"]
    codes, rest = np.split(parts, [shape[0] * shape[1] * bits // 8])
    arrays = [mx.array(codes.view(np.uint32).reshape(shape[0], -1))]
    if kind in MICRO:
        arrays.append(mx.array(rest.reshape(shape[0], -1)))
    else:
        for half in np.split(rest, 2):
            half = mx.array(half.view(np.float32 if floats == "f32" else np.uint16).reshape(shape[0], shape[1] // group))
            arrays.append(half if floats == "f32" else half.view(FLOATS[floats]).astype(mx.float32))
    return np.array(mx.dequantize(*arrays, dtype=mx.float32, **options) if kind in MICRO
                    else mx.dequantize(*arrays, **options))


def compare(work, kind, floats, label, values, variants):
    """values: f32 array; what `floats` holds of it is compared."""
    global compared
    weights = mx.array(values).astype(FLOATS[floats])
    exact = np.array(weights.astype(mx.float32))
    with np.errstate(all="ignore"):
        expected = np.concatenate([bytes_of(part) for part in mx.quantize(weights, **options_of(kind))])
    for variant in variants:
        found, decoded = run_tool(work, "reference", kind, floats, exact, variant)
        compared += exact.size
        wrong = np.flatnonzero(found != expected) if found.size == expected.size else [-1]
        if len(wrong):
            at = wrong[0]
            report(f"{kind} {floats} {variant}, {label}: {len(wrong)} of {expected.size} bytes differ, the first at {at}: "
                   f"{found[at]:02x}, not {expected[at]:02x}")
    found, decoded = run_tool(work, "best", kind, floats, exact, variants[-1])
    theirs = decoded_by_mlx(found, kind, floats, exact.shape)
    if not np.array_equal(decoded, theirs):
        report(f"{kind} {floats}, {label}: MLX decodes the search's parts to other values")


def value_sets(rng):
    """Names and f32 values that all three float types hold as finite ones."""
    shape, count = (ROWS, COLS), ROWS * COLS
    normal = rng.standard_normal(count)
    per32 = np.repeat(rng.standard_normal(count // 32), 32)
    exponent = np.repeat(rng.integers(-13, 8, count // 32), 32)
    sets = {
        "gaussian": normal * 0.02,
        "heavy-tailed": np.clip(rng.standard_t(2, count) * 0.05, -200, 200),
        "all positive": np.abs(normal) + 0.5,
        "all negative": -np.abs(normal) * 3 - 0.1,
        "scales of all sizes": np.ldexp(normal, exponent),
        "values of all sizes": np.clip(np.ldexp(normal, rng.integers(-20, 8, count)), -900, 900),
        "on a grid, with ties": rng.integers(-40, 41, count) / 8.0,
        "constant groups": per32,
        "one magnitude": np.where(rng.random(count) < 0.5, -1, 1) * per32,
        "mostly zeros": np.where(rng.random(count) < 0.02, normal, 0),
        "zeros": np.zeros(count),
        "far from zero": 100 + normal * 0.3,
        "tiny": normal * 1e-6,
        "around one step": normal * 1e-7,
    }
    return {name: x.astype(np.float32).reshape(shape) for name, x in sets.items()}


def powers(floats, most):
    """Groups whose scale lies around a power of two, where the exponent changes."""
    digits = {"f32": 23, "f16": 10, "bf16": 7}[floats]
    exponents = np.arange(-9, 6) if floats == "f16" else np.arange(-100, 100)
    near = 1 + np.arange(-20, 60) / 2.0**digits
    return np.repeat((near[None, :] * 2.0 ** exponents[:, None]).ravel() * most, 32).astype(np.float32).reshape(-1, 32)


def real(rng):
    for name in ("PLANISH_SMOLLM2", "PLANISH_MINILM"):
        folder = os.environ.get(name)
        if not folder:
            continue
        tensors = mx.load(os.path.join(folder, "model.safetensors"))
        matrices = sorted(k for k, v in tensors.items() if v.ndim == 2 and v.shape[1] % 128 == 0)
        for k in rng.choice(matrices, 6, replace=False):
            rows = np.array(tensors[k][:48].astype(mx.float32))
            yield f"{name[8:].lower()} {k}", rows


def main():
    work = sys.argv[2]
    os.makedirs(work, exist_ok=True)
    rng = np.random.default_rng(31)
    kinds = [f"affine{bits}-g{group}" for bits, group in AFFINE] + list(MICRO)
    sets = list(value_sets(rng).items())
    for floats in FLOATS:
        for number, (label, values) in enumerate(sets):
            for place, kind in enumerate(kinds):
                compare(work, kind, floats, label, values,
                        VARIANTS if (number + place) % 3 == 0 else VARIANTS[-1:])
        for kind, most in (("mxfp4", 6), ("mxfp8", 448)):
            compare(work, kind, floats, "powers of two", powers(floats, most), VARIANTS)
    for label, values in real(rng):
        for floats in FLOATS:
            for kind in kinds:
                compare(work, kind, floats, label, values, VARIANTS[-1:])
    print(f"{compared} values compared, {failures} deviations (mlx {mx.__version__})")
    return failures != 0


sys.exit(main())
