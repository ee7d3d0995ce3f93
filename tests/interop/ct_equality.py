"""Folders in the layouts of compressed-tensors, GPTQ and AWQ against the package compressed-tensors, and against the formulas.

    ct_equality.py PLANISH WORK_FOLDER

bytes      --encoder reference writes the codes and scales that the package computes from the same weights
values     the package decompresses what planish wrote to the numbers that planish reads from it itself
gptq, awq  words taken apart by the formulas of the formats hold the same codes and scales

Models are those of tests/tiny. The first two are left out where torch and compressed-tensors are not installed. Exit code
77 if another package is missing, a failure if PLANISH_NO_SKIP=1.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

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
    from compressed_tensors.compressors.naive_quantized.base import IntQuantizationCompressor
    from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
    from compressed_tensors.quantization import QuantizationConfig
    from compressed_tensors.quantization.utils import calculate_qparams
    torch.set_num_threads(1)
    lacking = None
except ImportError as missing:
    lacking = missing

CASES = [("llama", "int4-g32"), ("llama", "int8"), ("llama", "int3-g64"), ("llama", "int4"), ("phi3", "int2-g32"),
         ("phi3", "int8"), ("phi3", "int8-g32"), ("qwen3_moe", "int4-g32")]
GPTQ = ["int4-g32", "int8-g32", "int3-g32", "int2-g64", "int4"]


class Failed(Exception):
    pass


def need(condition, text):
    if not condition:
        raise Failed(text)


def planish(*args):
    done = subprocess.run([sys.argv[1], *map(str, args)], capture_output=True, text=True)
    need(done.returncode == 0, f"planish {' '.join(map(str, args))}: exit {done.returncode}\n{done.stderr}")


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
            found[stem[:-1]] = {end: tensors[stem + end] for end in ("weight", "weight_packed", "weight_scale",
                                                                    "weight_shape") if stem + end in tensors}
    return found


def compressor_of(out):
    packed = quantization(out)["format"] == "pack-quantized"
    return PackedQuantizationCompressor if packed else IntQuantizationCompressor


def same_bytes(model, kind, work):
    """What the package's rounding makes of every matrix that planish quantized."""
    tensors = convert(MODELS / model, work / "out", "compressed-tensors", kind, "--encoder", "reference")
    modules = modules_of(tensors)
    weights = safetensors.torch.load_file(MODELS / model / "model.safetensors")
    _, scheme = scheme_of(work / "out")
    need(modules, "no codes")
    for path, found in modules.items():
        w = weights[path + ".weight"]
        groups = w.unflatten(-1, (-1, scheme.weights.group_size or w.shape[-1]))
        scale, _ = calculate_qparams(groups.amin(-1), groups.amax(-1), scheme.weights)
        expected = compressor_of(work / "out").compress({"weight": w, "weight_scale": scale}, scheme)
        need(expected.keys() == found.keys(), f"{path}: {sorted(expected)} and {sorted(found)}")
        for end, value in expected.items():
            need(value.dtype == found[end].dtype, f"{path}.{end}: {found[end].dtype}, not {value.dtype}")
            need(torch.equal(value, found[end]), f"{path}.{end} differs in {(value != found[end]).sum()} places")


def same_values(model, kind, work):
    tensors = convert(MODELS / model, work / "out", "compressed-tensors", kind)
    dense = convert(work / "out", work / "dense", "dense", "f32")
    config, scheme = scheme_of(work / "out")
    modules = modules_of(tensors)
    for path, found in modules.items():
        found["weight_scale"] = found["weight_scale"].float()      # or the package would round the products
        value = compressor_of(work / "out").decompress(found, scheme)["weight"]
        need(torch.equal(value, dense[path + ".weight"]), f"{path} has other values")
    linear = {n[:-len(".weight")] for n, t in dense.items() if t.ndim == 2 and "embed" not in n} | {"lm_head"}
    need(set(config.ignore) == linear - set(modules), f"ignore: {config.ignore}")
    again = convert(work / "out", work / "again", "compressed-tensors", kind)
    need(all(torch.equal(again[name], tensors[name]) for name in tensors), "read and written again, bytes change")


def fields(words, bits, count):
    """Codes of streams along the last axis, lowest bits first."""
    bytes_ = np.ascontiguousarray(words).view(np.uint8)
    stream = np.unpackbits(bytes_, axis=-1, bitorder="little")[..., :count * bits]
    return (stream.reshape(*stream.shape[:-1], count, bits) << np.arange(bits)).sum(-1)


def gptq(kind, work):
    """phi3 has f16 weights, so compressed-tensors' layout has the same scales."""
    make(MODELS / "phi3", work / "ct", "compressed-tensors", kind)
    dense = convert_numpy(work / "ct", work / "dense", "dense", "f32")
    tensors = convert_numpy(MODELS / "phi3", work / "out", "gptq", kind)
    config, checked = quantization(work / "out"), 0
    bits = config["bits"]
    for name in [n for n in tensors if n.endswith(".qweight")]:
        path = name[:-len(".qweight")]
        qweight, qzeros, scales, group = (tensors[f"{path}.{end}"] for end in ("qweight", "qzeros", "scales", "g_idx"))
        need(scales.dtype == np.float16 and qweight.dtype == qzeros.dtype == group.dtype == np.int32, f"{path}: types")
        columns, outputs = len(group), scales.shape[1]
        width = config["group_size"] if config["group_size"] > 0 else columns
        need((group == np.arange(columns) // width).all(), f"{path}: g_idx")
        codes = fields(qweight.T, bits, columns).T
        zeros = fields(qzeros, bits, outputs) + 1                  # checkpoint_format gptq
        need((zeros == 2 ** (bits - 1)).all(), f"{path}: zeros")
        value = (scales[group].astype(np.float32) * (codes - zeros[group]).astype(np.float32)).T
        need(np.array_equal(value, dense[path + ".weight"]), f"{path} has other values")
        checked += 1
    need(checked, "no codes")
    need(config["checkpoint_format"] == "gptq" and config["sym"] is True and config["desc_act"] is False, "config")


def awq(kind, work):
    make(MODELS / "phi3", work / "ct", "compressed-tensors", kind)
    dense = convert_numpy(work / "ct", work / "dense", "dense", "f32")
    tensors = convert_numpy(MODELS / "phi3", work / "out", "awq", kind)
    config, checked = quantization(work / "out"), 0
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    for name in [n for n in tensors if n.endswith(".qweight")]:
        path = name[:-len(".qweight")]
        qweight, qzeros, scales = (tensors[f"{path}.{end}"] for end in ("qweight", "qzeros", "scales"))
        need(scales.dtype == np.float16 and qweight.dtype == qzeros.dtype == np.int32, f"{path}: types")
        codes, zeros = (np.empty((len(words), scales.shape[1]), np.int64) for words in (qweight, qzeros))
        for field, output in enumerate(order):
            codes[:, output::8] = qweight >> (4 * field) & 15
            zeros[:, output::8] = qzeros >> (4 * field) & 15
        group = np.arange(len(codes)) // (config["group_size"] if config["group_size"] > 0 else len(codes))
        value = (scales[group].astype(np.float32) * (codes - zeros[group]).astype(np.float32)).T
        need(np.array_equal(value, dense[path + ".weight"]), f"{path} has other values")
        checked += 1
    need(checked, "no codes")
    need(config["version"] == "gemm" and config["zero_point"] is True and config["bits"] == 4, "config")


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
        print(f"left out: bytes and values ({lacking})")
    for model, kind in CASES if not lacking else []:
        good &= attempt(f"bytes {model} {kind}", lambda work: same_bytes(model, kind, work))
        good &= attempt(f"values {model} {kind}", lambda work: same_values(model, kind, work))
    for kind in GPTQ:
        good &= attempt(f"gptq {kind}", lambda work: gptq(kind, work))
    for kind in ["int4-g32", "int4"]:
        good &= attempt(f"awq {kind}", lambda work: awq(kind, work))
    return 0 if good else 1


sys.exit(main())
