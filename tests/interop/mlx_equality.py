"""MLX folders, ours and mlx-lm's: each is read by the other, and decodes to the same numbers.

    mlx_equality.py BUILD_FOLDER WORK_FOLDER [MODEL...]

ours       the checkpoints of tests/tiny as MLX folders of several types: mlx-lm loads them, and computes with them what
           it computes with what planish makes of them again in full floats; so does planish
theirs     the same quantized by mlx-lm: every value that planish decodes is the one that mlx decodes
files      safetensors' own reader opens the files, in shards too, and finds what the index says

BUILD_FOLDER holds planish and logits_tool. Exit code 77 if a package is missing, a failure if PLANISH_NO_SKIP=1.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

from program import Failed, need, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "tiny" / "models"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

try:
    import mlx.core as mx
    import mlx_lm.utils
    import numpy as np
    from mlx.utils import tree_flatten
    from safetensors import safe_open
    from safetensors.numpy import load_file
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)

BAR = 2e-4          # of the largest logit: sums of 64 to 512 products in two orders
OURS = ["affine4-g32", "affine3-g32", "mxfp4", "bf16"]
# Every way of mlx-lm, on a model without experts, on one with; others get two.
THEIRS = [(2, 32, "affine"), (3, 32, "affine"), (4, 64, "affine"), (5, 32, "affine"), (6, 64, "affine"), (8, 32, "affine"),
          (4, 32, "mxfp4"), (8, 32, "mxfp8"), (4, 16, "nvfp4")]
FEW = [(4, 32, "affine"), (4, 32, "mxfp4")]
LACKS = {"bert"}    # mlx-lm has no such model
# What mlx-lm computes with is float32 here, so that nothing hides behind rounding.


def planish(build, *args, code=0):
    return run(build / "cli" / "planish", *args, code=code)


def checkpoint(model, work):
    """The tiny checkpoint, with keys of config.json as they were before transformers 5, which mlx-lm insists on."""
    folder = work / "model"
    if folder.exists():
        return folder
    shutil.copytree(MODELS / model, folder)
    config = json.loads((folder / "config.json").read_text())
    rope = config.get("rope_parameters", {})
    config["rope_theta"] = rope.get("full_attention", rope).get("rope_theta", 10000.0)
    if rope.get("rope_type") == "llama3":
        config["rope_scaling"] = {key: value for key, value in rope.items() if key != "rope_theta"}
        del config["rope_parameters"]
    if "num_local_experts" in config:
        config["num_experts"] = config["num_local_experts"]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def ids_of(model):
    return load_file(MODELS / model / "expected.safetensors")["ids"].astype(np.int32)


def mlx_logits(folder, ids):
    model, _ = mlx_lm.utils.load_model(folder)
    model.set_dtype(mx.float32)
    return np.array(model(mx.array(ids)[None])[0].astype(mx.float32))


def our_logits(build, folder, ids, work):
    ids.tofile(work / "ids")
    done = subprocess.run([build / "tests" / "interop" / "logits_tool", folder, work / "ids", work / "logits"],
                          capture_output=True, text=True)
    need(done.returncode == 0, f"logits_tool {folder}: {done.stderr}")
    return np.fromfile(work / "logits", np.float32).reshape(len(ids), -1)


def distance(a, b):
    need(a.shape == b.shape, f"shapes {a.shape} and {b.shape}")
    need(np.isfinite(a).all() and np.isfinite(b).all(), "logits that are not finite")
    return float(np.abs(a - b).max() / np.abs(b).max())


def ours(build, work, model, kind):
    """The folder and its dense re-expansion give the same logits, in mlx-lm and in planish."""
    out, dense = work / "out", work / "dense"
    planish(build, "convert", checkpoint(model, work), "-o", out, "--to", "mlx", "--type", kind)
    planish(build, "convert", out, "-o", dense, "--to", "dense", "--type", "f32")
    ids = ids_of(model)
    worst = distance(mlx_logits(out, ids), mlx_logits(dense, ids))
    again = our_logits(build, dense, ids, work)
    worst = max(worst, distance(our_logits(build, out, ids, work), again))
    if kind == "bf16":      # nothing was lost, but where a checkpoint of f16 was rounded
        reference = load_file(MODELS / model / "expected.safetensors")["logits"]
        loss = max(distance(again, reference), distance(mlx_logits(out, ids), reference))
        need(loss < (2e-2 if model == "gpt2" else BAR), f"{model}: {loss:.1e} from transformers")
    need(worst < BAR, f"{model} {kind}: {worst:.1e}")
    config = json.loads((out / "config.json").read_text())
    need(("quantization" in config) == (kind != "bf16"), f"{model} {kind}: config.json")
    need(config.get("quantization") == config.get("quantization_config"), f"{model} {kind}: two entries differ")
    return worst


def quantize(build, model, bits, group, mode, work, out):
    """What mlx_lm.convert does, without its tokenizer."""
    folder = checkpoint(model, work)
    if model == "gpt2":         # mlx-lm knows its names without the prefix only
        planish(build, "convert", folder, "-o", work / "plain", "--to", "dense", "--type", "f16")
        folder = work / "plain"
    net, config = mlx_lm.utils.load_model(folder, lazy=True)
    net, config = mlx_lm.utils.quantize_model(net, config, group, bits, mode)
    out.mkdir()
    mlx_lm.utils.save_model(out, net)
    mlx_lm.utils.save_config(config, out / "config.json")
    for file in (MODELS / model).iterdir():
        if "token" in file.name and file.name != "tokens.json":
            shutil.copy(file, out)
    return net


def dense_values(net):
    """Every parameter as mlx decodes it, by mlx-lm's names."""
    values = dict(tree_flatten(net.parameters()))
    modules = dict(net.named_modules())
    for name in [n for n in values if n.endswith(".scales")]:
        path = name[:-len(".scales")]
        module = modules[path]
        values[path + ".weight"] = mx.dequantize(
            values[path + ".weight"], values.pop(name), values.pop(path + ".biases", None), module.group_size,
            module.bits, module.mode, dtype=mx.float32 if module.mode != "affine" else None)
    return {name: np.array(value.astype(mx.float32)) for name, value in values.items()}


def theirs(build, work, model, bits, group, mode):
    """Values in float32 are one multiplication and one addition from the codes, so they may differ in the last place."""
    out, dense, back = work / "out", work / "dense", work / "back"
    net = quantize(build, model, bits, group, mode, work, out)
    net.set_dtype(mx.float32)
    expected = dense_values(net)
    planish(build, "convert", out, "-o", dense, "--to", "dense", "--type", "f32")
    found, _ = mlx_lm.utils.load_model(dense)       # brings the names into mlx-lm's form
    found = {name: np.array(value) for name, value in tree_flatten(found.parameters())}
    need(found.keys() == expected.keys(), f"{model}: names {sorted(found.keys() ^ expected.keys())[:4]}")
    worst = 0.0
    for name, value in expected.items():
        need(value.shape == found[name].shape, f"{model}: shape of {name}")
        scale = np.abs(value).max() or 1
        worst = max(worst, float(np.abs(value - found[name]).max() / scale))
    need(worst < 1e-6, f"{model} {mode}{bits}-{group}: values differ by {worst:.1e}")
    # What is not to change goes through unchanged.
    kind = mode if mode != "affine" else f"affine{bits}-g{group}"
    planish(build, "convert", out, "-o", back, "--to", "mlx", "--type", kind)
    before, after = mx.load(str(out / "model.safetensors")), mx.load(str(back / "model.safetensors"))
    for name in (n for n in before if n.endswith((".scales", ".biases"))):
        if name in after:
            need(mx.array_equal(before[name], after[name]).item(), f"{model}: {name} changed")
    return worst


def files(build, work, model):
    out = work / "out"
    planish(build, "convert", checkpoint(model, work), "-o", out, "--to", "mlx", "--type", "affine4-g32",
            "--max-shard-size", "40K")
    index = json.loads((out / "model.safetensors.index.json").read_text())
    seen, total = {}, 0
    for path in sorted(out.glob("*.safetensors")):
        need(path.stat().st_size <= 40000, f"{path.name} has {path.stat().st_size} bytes")
        with safe_open(path, "numpy") as f:
            need(f.metadata() == {"format": "mlx"}, f"metadata {f.metadata()}")
            for name in f.keys():
                seen[name] = path.name
        header = json.loads(path.read_bytes()[8:8 + int.from_bytes(path.read_bytes()[:8], "little")])
        total += sum(e["data_offsets"][1] - e["data_offsets"][0] for n, e in header.items() if n != "__metadata__")
    need(seen == index["weight_map"], "the index does not say where the tensors are")
    need(total == index["metadata"]["total_size"], "total_size")
    ids = ids_of(model)
    whole = work / "whole"
    planish(build, "convert", checkpoint(model, work), "-o", whole, "--to", "mlx", "--type", "affine4-g32")
    need((mlx_logits(out, ids) == mlx_logits(whole, ids)).all(), "shards compute something else")
    need((our_logits(build, out, ids, work) == our_logits(build, whole, ids, work)).all(), "shards read as something else")


def attempt(label, work, call):
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        result = call()
        print(f"ok    {label}" + (f"  {result:.1e}" if isinstance(result, float) else ""))
        return True
    except Failed as failure:
        print(f"FAIL  {label}: {failure}")
        return False


def main():
    build, work = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    chosen = sys.argv[3:] or sorted(p.name for p in MODELS.iterdir() if p.name not in LACKS)
    good = True
    for model in chosen:
        kinds = OURS if model in ("llama", "qwen3_moe", "gpt2") else OURS[:1]
        for kind in kinds:
            good &= attempt(f"ours {model} {kind}", work, lambda: ours(build, work, model, kind))
        for way in THEIRS if model in ("llama", "qwen3_moe") else FEW:
            good &= attempt(f"theirs {model} {way}", work, lambda: theirs(build, work, model, *way))
    if "llama" in chosen:
        good &= attempt("files", work, lambda: files(build, work, "llama"))
    return 0 if good else 1


sys.exit(main())
