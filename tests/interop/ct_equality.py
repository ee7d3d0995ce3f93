"""Folders in the layouts of compressed-tensors, GPTQ and AWQ against the package compressed-tensors, and against the formulas.

    ct_equality.py PLANISH WORK_FOLDER

bytes      --encoder reference writes the codes, scales and zero points that the package computes from the same weights
values     the package decompresses what planish wrote to the numbers that planish reads from it itself
sources    planish reads what the package compressed as the package does
gptq, awq  words taken apart by the formulas of the formats hold the same codes, scales and zero points
foreign    planish reads folders that were put together by these formulas, columns in any order among them

Models are those of tests/tiny. What needs them is left out where torch and compressed-tensors are not installed. Exit code
77 if another package is missing, a failure if PLANISH_NO_SKIP=1.
"""
import json
import os
import pathlib
import shutil
import sys

from program import Failed, need, planish

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "tiny" / "models"

try:
    import numpy as np
    import safetensors.numpy
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)
try:
    import safetensors.torch
    import torch
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationConfig
    from compressed_tensors.quantization.quant_scheme import preset_name_to_scheme
    from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam
    torch.set_num_threads(1)
    lacking = None
except ImportError as missing:
    lacking = missing

CASES = [("llama", "int4-g32"), ("llama", "int8"), ("llama", "int3-g64"), ("llama", "int4"), ("phi3", "int2-g32"),
         ("phi3", "int8"), ("phi3", "int8-g32"), ("qwen3_moe", "int4-g32"),
         ("llama", "uint4-g32"), ("phi3", "uint4-g32"), ("llama", "uint3-g64"), ("phi3", "uint2-g32"), ("llama", "uint8"),
         ("qwen3_moe", "uint8-g32"), ("llama", "fp8"), ("phi3", "fp8"), ("qwen3_moe", "fp8")]
FP4 = [("llama", "nvfp4"), ("phi3", "nvfp4"), ("qwen3_moe", "nvfp4"), ("llama", "mxfp4"), ("phi3", "mxfp4")]
PRESETS = {"int4-g128": "W4A16", "uint4-g128": "W4A16_ASYM", "int8-g128": "W8A16", "int8": "W8A8", "fp8": "FP8_DYNAMIC",
           "nvfp4": "NVFP4A16", "mxfp4": "MXFP4A16"}
GPTQ = ["int4-g32", "int8-g32", "int3-g32", "int2-g64", "int4", "uint4-g32", "uint3-g32", "uint8", "uint2-g32"]
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def make(source, out, to, kind, *more):
    shutil.rmtree(out, ignore_errors=True)
    planish("convert", source, "-o", out, "--to", to, "--type", kind, *more)
    return out / "model.safetensors"


def convert(*args):
    return safetensors.torch.load_file(make(*args))


def convert_numpy(*args):
    return safetensors.numpy.load_file(make(*args))


def quantization(out):
    return json.loads((out / "config.json").read_text())["quantization_config"]


def scheme_of(out):
    config = QuantizationConfig.model_validate(quantization(out))
    need(list(config.config_groups) == ["group_0"], "groups")
    return config, config.config_groups["group_0"]


def modules_of(tensors):
    """Modules with codes and what each consists of."""
    found = {}
    for name in tensors:
        if name.endswith(".weight_scale"):
            stem = name[:-len("weight_scale")]
            found[stem[:-1]] = {name[len(stem):]: value for name, value in tensors.items()
                                if name.startswith(stem + "weight")}
    return found


def compressor_of(out):
    return BaseCompressor.get_value_from_registry(quantization(out)["format"])


def parameters(w, scheme):
    """Scales and more of a weight as the package's minmax observer finds them."""
    args = scheme.weights
    groups = w.unflatten(-1, (-1, args.group_size or w.shape[-1]))
    found = {}
    if args.strategy == "tensor_group":
        found["weight_global_scale"] = generate_gparam(w.amin(), w.amax())
    scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), args,
                                    global_scale=found.get("weight_global_scale"))
    found["weight_scale"] = scale
    if not args.symmetric:
        found["weight_zero_point"] = zero
    return found


def same_bytes(model, kind, work):
    """What the package's rounding makes of every matrix that planish quantized."""
    tensors = convert(MODELS / model, work / "out", "compressed-tensors", kind, "--encoder", "reference")
    modules = modules_of(tensors)
    weights = safetensors.torch.load_file(MODELS / model / "model.safetensors")
    _, scheme = scheme_of(work / "out")
    need(modules, "no codes")
    for path, found in modules.items():
        w = weights[path + ".weight"]
        expected = compressor_of(work / "out").compress({"weight": w, **parameters(w, scheme)}, scheme)
        need(expected.keys() == found.keys(), f"{path}: {sorted(expected)} and {sorted(found)}")
        for end, value in expected.items():
            need(value.dtype == found[end].dtype, f"{path}.{end}: {found[end].dtype}, not {value.dtype}")
            same = value.flatten().clone().view(torch.uint8) == found[end].flatten().view(torch.uint8)
            need(same.all(), f"{path}.{end} differs in {(~same).sum()} bytes")


def decompressed(found, scheme, compressor):
    """As the package has it, without rounding products to the scales' floats."""
    found = dict(found)
    if found["weight_scale"].dtype in (torch.bfloat16, torch.float16):
        found["weight_scale"] = found["weight_scale"].float()
    return compressor.decompress(found, scheme)["weight"].float()


def same_values(model, kind, work):
    tensors = convert(MODELS / model, work / "out", "compressed-tensors", kind)
    dense = convert(work / "out", work / "dense", "dense", "f32")
    config, scheme = scheme_of(work / "out")
    modules = modules_of(tensors)
    need(modules, "no codes")
    for path, found in modules.items():
        value = decompressed(found, scheme, compressor_of(work / "out"))
        need(torch.equal(value, dense[path + ".weight"]), f"{path} has other values")
        joined = [modules[path.rsplit(".", 1)[0] + "." + name] for name in ("q_proj", "k_proj", "v_proj")
                  if path.endswith("q_proj")]
        need(len({m["weight_global_scale"].item() for m in joined if "weight_global_scale" in m}) <= 1, "Q, K, V apart")
    linear = {n[:-len(".weight")] for n, t in dense.items() if t.ndim == 2 and "embed" not in n} | {"lm_head"}
    need(set(config.ignore) == linear - set(modules), f"ignore: {config.ignore}")
    again = convert(work / "out", work / "again", "compressed-tensors", kind)
    need(all(torch.equal(again[name], tensors[name]) for name in tensors), "read and written again, bytes change")


def same_scheme(kind, work):
    """What config.json says is what the package's preset of that name is."""
    planish("convert", ROOT / "calib-data" / "stories260k", "-o", work / "out", "--to", "compressed-tensors", "--type",
            kind.replace("g128", "g32"))
    _, scheme = scheme_of(work / "out")
    expected, found = (s.model_dump() for s in (preset_name_to_scheme(PRESETS[kind], ["Linear"]), scheme))
    for numbers in (expected["weights"], expected["input_activations"] or {}, found["weights"],
                    found["input_activations"] or {}):
        for key in ("observer", "zp_dtype", "observer_kwargs"):
            numbers.pop(key, None)
    if "g128" in kind:
        expected["weights"]["group_size"] = 32
    need(expected["weights"] == found["weights"], f"{found['weights']}, not {expected['weights']}")
    need(expected["input_activations"] == found["input_activations"], f"{found['input_activations']}")


def source(model, kind, work):
    """Weights compressed by the package, in a folder of planish's with the tensors replaced."""
    tensors = convert(MODELS / model, work / "out", "compressed-tensors", kind)
    weights = safetensors.torch.load_file(MODELS / model / "model.safetensors")
    _, scheme = scheme_of(work / "out")
    modules = modules_of(tensors)
    for path in modules:
        w = weights[path + ".weight"].float() * 1.37           # numbers of whole matrices are no powers of two
        found = compressor_of(work / "out").compress({"weight": w, **parameters(w, scheme)}, scheme)
        for end, value in found.items():
            tensors[f"{path}.{end}"] = value.contiguous()
        modules[path] = found
    safetensors.torch.save_file(tensors, work / "out" / "model.safetensors", {"format": "pt"})
    dense = convert(work / "out", work / "dense", "dense", "f32")
    for path, found in modules.items():
        value = decompressed(found, scheme, compressor_of(work / "out"))
        ours = dense[path + ".weight"]
        if "weight_global_scale" in found:                     # the package rounds the products
            ours = ours.bfloat16().float()
        need(torch.equal(value, ours), f"{path} has other values")


def fields(words, bits, count):
    """Codes of streams along the last axis, lowest bits first."""
    bytes_ = np.ascontiguousarray(words).view(np.uint8)
    stream = np.unpackbits(bytes_, axis=-1, bitorder="little")[..., :count * bits]
    return (stream.reshape(*stream.shape[:-1], count, bits) << np.arange(bits)).sum(-1)


def streams(codes, bits):
    """The reverse: words of codes along the last axis."""
    stream = (codes[..., None] >> np.arange(bits) & 1).astype(np.uint8).reshape(*codes.shape[:-1], -1)
    stream = np.pad(stream, [(0, 0)] * (codes.ndim - 1) + [(0, -stream.shape[-1] % 32)])
    return np.packbits(stream, axis=-1, bitorder="little").view(np.int32)


def awq_words(codes):
    """Eight of the last axis in a word."""
    words = sum(codes[:, output::8].astype(np.int64) << (4 * field) for field, output in enumerate(AWQ_ORDER))
    return words.astype(np.uint32).view(np.int32)


def value_of(codes, zeros, scales, group):
    return (scales[group].astype(np.float32) * (codes - zeros[group]).astype(np.float32)).T


def gptq(kind, to, work):
    """phi3 has f16 weights, so compressed-tensors' layout has the same scales."""
    make(MODELS / "phi3", work / "ct", "compressed-tensors", kind)
    dense = convert_numpy(work / "ct", work / "dense", "dense", "f32")
    tensors = convert_numpy(MODELS / "phi3", work / "out", to, kind)
    again = convert_numpy(work / "out", work / "again", "dense", "f32")
    config, checked, less = quantization(work / "out"), 0, 1 if to == "gptq" else 0
    bits = config["bits"]
    for name in [n for n in tensors if n.endswith(".qweight")]:
        path = name[:-len(".qweight")]
        qweight, qzeros, scales, group = (tensors[f"{path}.{end}"] for end in ("qweight", "qzeros", "scales", "g_idx"))
        need(scales.dtype == np.float16 and qweight.dtype == qzeros.dtype == group.dtype == np.int32, f"{path}: types")
        columns, outputs = len(group), scales.shape[1]
        width = config["group_size"] if config["group_size"] > 0 else columns
        need((group == np.arange(columns) // width).all(), f"{path}: g_idx")
        codes = fields(qweight.T, bits, columns).T
        zeros = fields(qzeros, bits, outputs) + less
        need((zeros == 2 ** (bits - 1)).all() == config["sym"], f"{path}: zeros")
        need((zeros < 2 ** bits).all() or not less, f"{path}: a zero point that wraps")
        value = value_of(codes, zeros, scales, group)
        need(np.array_equal(value, dense[path + ".weight"]), f"{path} has other values")
        need(np.array_equal(value, again[path + ".weight"]), f"{path} is read as other values")
        checked += 1
    need(checked, "no codes")
    need(config["checkpoint_format"] == to.replace("-", "_") and config["desc_act"] is False, "config")
    copy = convert_numpy(work / "out", work / "copy", to, kind)
    need(all(np.array_equal(copy[name], tensors[name]) for name in tensors), "read and written again, bytes change")


def awq(kind, more, work):
    wished = kind if more else "u" + kind
    make(MODELS / "phi3", work / "ct", "compressed-tensors", wished)
    dense = convert_numpy(work / "ct", work / "dense", "dense", "f32")
    tensors = convert_numpy(MODELS / "phi3", work / "out", "awq", kind, *more)
    again = convert_numpy(work / "out", work / "again", "dense", "f32")
    config, checked, others = quantization(work / "out"), 0, 0
    for name in [n for n in tensors if n.endswith(".qweight")]:
        path = name[:-len(".qweight")]
        qweight, qzeros, scales = (tensors[f"{path}.{end}"] for end in ("qweight", "qzeros", "scales"))
        need(scales.dtype == np.float16 and qweight.dtype == qzeros.dtype == np.int32, f"{path}: types")
        codes, zeros = (np.empty((len(words), scales.shape[1]), np.int64) for words in (qweight, qzeros))
        for field, output in enumerate(AWQ_ORDER):
            codes[:, output::8] = qweight >> (4 * field) & 15
            zeros[:, output::8] = qzeros >> (4 * field) & 15
        group = np.arange(len(codes)) // (config["group_size"] if config["group_size"] > 0 else len(codes))
        value = value_of(codes, zeros, scales, group)
        need(np.array_equal(value, dense[path + ".weight"]), f"{path} has other values")
        need(np.array_equal(value, again[path + ".weight"]), f"{path} is read as other values")
        checked += 1
        others += (zeros != 8).sum()
    need(checked, "no codes")
    need(bool(others) != bool(more), "zero points")
    need(config["version"] == "gemm" and config["zero_point"] is True and config["bits"] == 4, "config")
    copy = convert_numpy(work / "out", work / "copy", "awq", "u" + kind)
    need(all(np.array_equal(copy[name], tensors[name]) for name in tensors), "read and written again, bytes change")


def foreign(label, bits, config, work):
    """Random codes, scales, zero points and orders of columns; biases of zeros, which phi3 does not have."""
    rng = np.random.default_rng(len(label) + bits)
    make(MODELS / "phi3", work / "out", "awq" if config["quant_method"] == "awq" else "gptq", f"int{bits}-g32")
    tensors = safetensors.numpy.load_file(work / "out" / "model.safetensors")
    less = 1 if config.get("checkpoint_format", "gptq") == "gptq" else 0
    top, values = 2 ** bits, {}
    width = config["group_size"]
    for name in [n for n in tensors if n.endswith(".qweight")]:
        path = name[:-len(".qweight")]
        outputs = tensors[path + ".scales"].shape[1]
        columns = tensors[name].shape[0] if config["quant_method"] == "awq" else tensors[path + ".g_idx"].shape[0]
        groups = 1 if width < 0 else columns // width
        group = np.arange(columns) // (columns if width < 0 else width)
        codes = rng.integers(0, top, (columns, outputs))
        zeros = rng.integers(less if less else 0, top, (groups, outputs))
        if config.get("sym"):
            zeros[:] = top // 2
        scales = rng.normal(0, 0.1, (groups, outputs)).astype(np.float16)
        if config.get("desc_act"):
            group = rng.permutation(group).astype(np.int32)
        if config["quant_method"] == "awq":
            tensors[name], tensors[path + ".qzeros"] = awq_words(codes), awq_words(zeros)
        else:
            tensors[name] = np.ascontiguousarray(streams(codes.T, bits).T)
            tensors[path + ".qzeros"] = streams(zeros - less, bits)
            tensors[path + ".g_idx"] = group.astype(np.int32)
            tensors[path + ".bias"] = np.zeros(outputs, np.float16)
            if not config.get("desc_act") and config.get("sym"):
                del tensors[path + ".g_idx"]
        tensors[path + ".scales"] = scales
        values[path] = value_of(codes, zeros, scales, group)
    safetensors.numpy.save_file(tensors, work / "out" / "model.safetensors", {"format": "pt"})
    whole = json.loads((work / "out" / "config.json").read_text())
    whole["quantization_config"] = {"bits": bits, **config}
    (work / "out" / "config.json").write_text(json.dumps(whole))
    dense = convert_numpy(work / "out", work / "dense", "dense", "f32")
    need(values, "no codes")
    for path, value in values.items():
        need(np.array_equal(value, dense[path + ".weight"]), f"{path} is read as other values")
    planish("convert", work / "out", "-o", work / "out.gguf", "--type", "q8_0")


FOREIGN = [("gptq v1", bits, {"quant_method": "gptq", "group_size": 32, "desc_act": False, "sym": False}) for bits in
           (2, 3, 4, 8)]
FOREIGN += [("gptq v2", bits, {"quant_method": "gptq", "group_size": 32, "desc_act": False, "sym": False,
                               "checkpoint_format": "gptq_v2"}) for bits in (3, 4)]
FOREIGN += [("gptq sym", 4, {"quant_method": "gptq", "group_size": 32, "desc_act": False, "sym": True}),
            ("gptq rows", 4, {"quant_method": "gptq", "group_size": -1, "desc_act": True, "sym": False}),
            ("gptq desc_act", 4, {"quant_method": "gptq", "group_size": 32, "desc_act": True, "sym": False}),
            ("gptq desc_act sym", 3, {"quant_method": "gptq", "group_size": 32, "desc_act": True, "sym": True}),
            ("awq", 4, {"quant_method": "awq", "group_size": 32, "zero_point": True, "version": "gemm"}),
            ("awq rows", 4, {"quant_method": "awq", "group_size": -1, "zero_point": True, "version": "GEMM"})]


def attempt(label, call):
    work = pathlib.Path(sys.argv[2])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        call(work)
        print(f"ok    {label}")
        return True
    except Failed as failure:
        print(f"FAIL  {label}: {failure}")
        return False


def main():
    good = True
    if lacking:
        print(f"left out: bytes, values, schemes and sources ({lacking})")
    for model, kind in CASES if not lacking else []:
        good &= attempt(f"bytes {model} {kind}", lambda work: same_bytes(model, kind, work))
    for model, kind in CASES + FP4 if not lacking else []:
        good &= attempt(f"values {model} {kind}", lambda work: same_values(model, kind, work))
        good &= attempt(f"source {model} {kind}", lambda work: source(model, kind, work))
    for kind in PRESETS if not lacking else []:
        good &= attempt(f"scheme {kind}", lambda work: same_scheme(kind, work))
    for kind in GPTQ:
        for to in ("gptq", "gptq-v2"):
            good &= attempt(f"{to} {kind}", lambda work: gptq(kind, to, work))
    for kind in ["int4-g32", "int4"]:
        for more in ((), ("--sym",)):
            good &= attempt(f"awq {kind} {' '.join(more)}", lambda work: awq(kind, more, work))
    for case in FOREIGN:
        good &= attempt(f"foreign {case[0]} {case[1]} bits", lambda work: foreign(*case, work))
    return 0 if good else 1


sys.exit(main())
