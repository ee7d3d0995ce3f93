"""NVFP4 with a factor for the whole matrix: what gguf's reader sees, what its values are, that llama.cpp multiplies.

Usage: nvfp4_factor.py PLANISH WORK_FOLDER. Every checkpoint of tests/tiny becomes an NVFP4 file and that an F32 one; to
llama.cpp both must be the same model but for its 8-bit activations, which a factor left out would not be. Exit code 77
if a package is missing, a failure if PLANISH_NO_SKIP=1.
"""
import json
import math
import os
import pathlib
import sys

from program import planish

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "tiny" / "models"
sys.path.insert(0, str(ROOT / "tests" / "tiny"))

try:
    import gguf
    import numpy as np
    import xllamacpp  # noqa: F401

    import tiny_peer
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)

IDS = [3 + 7 * i % 90 for i in range(12)]
TOLERANCE = 0.1                 # of the largest logit, for activations in 8 bits; without a factor it is above 0.5
NVFP4 = gguf.GGMLQuantizationType.NVFP4


def tensors_of(path):
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def values_equal(packed, floats):
    """Blocks decoded by gguf.quants times the factor are our values; returns how many matrices have one, or None."""
    factors = 0
    for name, tensor in packed.items():
        if tensor.tensor_type != NVFP4:
            continue
        values = gguf.quants.dequantize(tensor.data, NVFP4)
        factor = packed.get(name.removesuffix(".weight") + ".scale")
        if factor is not None:
            scales = np.array(factor.data)
            experts = tensor.shape[2] if len(tensor.shape) > 2 else 1
            if factor.tensor_type != gguf.GGMLQuantizationType.F32 or list(factor.shape) != [experts]:
                return None
            if any(math.frexp(s)[0] != 0.5 for s in scales):            # a power of two
                return None
            values = values.reshape(experts, -1) * scales.reshape(experts, 1)
            factors += experts
        if not np.array_equal(values.ravel(), floats[name].data.ravel()):
            return None
    return factors


def same(some, others):
    return some.keys() == others.keys() and all(np.array_equal(t.data, others[name].data) for name, t in some.items())


def run(path, config):
    if config["model_type"] == "bert":
        return tiny_peer.encoder(path, IDS, config["hidden_size"])
    return tiny_peer.decoder(path, IDS)


def check(folder, work):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    packed, floats, again, plain = (work / f"{folder.name}-{kind}.gguf" for kind in ("nvfp4", "f32", "again", "plain"))
    planish("convert", folder, "-o", packed, "--type", "nvfp4", "--force")
    planish("convert", packed, "-o", floats, "--type", "f32", "--force")
    planish("convert", packed, "-o", again, "--type", "nvfp4", "--force", "--threads", 1)
    planish("convert", folder, "-o", plain, "--type", "nvfp4", "--encoder", "reference", "--force")
    factors = values_equal(tensors_of(packed), tensors_of(floats))
    copied = same(tensors_of(packed), tensors_of(again))
    none = not any(name.endswith(".scale") for name in tensors_of(plain))
    apart, _ = tiny_peer.distance(run(packed, config), run(floats, config))
    good = factors and copied and none and apart <= TOLERANCE
    print(f"{folder.name:14} matrices with a factor: {factors}, llama.cpp apart from the same values in f32: "
          f"{apart:.3f}{'' if good else '  FAILED'}{'' if copied else ', no copy'}{'' if none else ', reference has some'}")
    return good


def main(work):
    work.mkdir(parents=True, exist_ok=True)
    return sum(not check(folder, work) for folder in sorted(MODELS.iterdir()))


if __name__ == "__main__":
    sys.exit(1 if main(pathlib.Path(sys.argv[2])) else 0)
