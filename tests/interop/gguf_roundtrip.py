"""Our GGUF files through the gguf package: the same bytes as its own quantizers give, the same keys.

Usage: gguf_roundtrip.py PLANISH WORK_FOLDER. Model: calib-data/stories260k. Every storage type is written
from the Hugging Face folder and again from our own f32 GGUF file. Exit code 77 without the packages, a
failure if PLANISH_NO_SKIP=1.
"""
import json
import os
import pathlib
import subprocess
import sys

try:
    import gguf
    import numpy as np
    from safetensors.numpy import load_file
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "calib-data" / "stories260k"
TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]
FILE_TYPES = {"F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7, "Q4_0": 2, "Q4_1": 3, "Q5_0": 8, "Q5_1": 9}
BLOCK = 32
OUTER = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
         "lm_head.weight": "output.weight"}
INNER = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down"}
failures = 0


def expect(what, found, expected):
    global failures
    if found != expected:
        failures += 1
        print(f"{what}: expected {expected!r}, found {found!r}")


def interleave(weight, heads):
    """Rows 2j and 2j+1 of a head from rows j and h/2 + j."""
    size = weight.shape[0] // heads
    row = np.arange(weight.shape[0])
    within = row % size
    return weight[row - within + within % 2 * (size // 2) + within // 2]


def gguf_names(tensors, config):
    """The checkpoint's tensors under GGUF's names, rows in GGUF's order, in f32."""
    out = {}
    for name, weight in tensors.items():
        if name in OUTER:
            out[OUTER[name]] = weight.astype(np.float32)
            continue
        _, _, layer, inner = name.split(".", 3)
        inner = inner.removesuffix(".weight")
        if inner == "self_attn.q_proj":
            weight = interleave(weight, config["num_attention_heads"])
        if inner == "self_attn.k_proj":
            weight = interleave(weight, config["num_key_value_heads"])
        out[f"blk.{layer}.{INNER[inner]}.weight"] = weight.astype(np.float32)
    return out


def stored_type(weight, wish):
    if weight.ndim == 1:
        return "F32"
    if wish not in ("F32", "F16", "BF16") and weight.shape[1] % BLOCK:
        return "F16"
    return wish


def check_tensors(reader, weights, wish):
    expect(f"{wish}: names", sorted(t.name for t in reader.tensors), sorted(weights))
    end = reader.data_offset
    for t in reader.tensors:
        weight = weights[t.name]
        where = f"{wish}: {t.name}"
        dtype = gguf.GGMLQuantizationType[stored_type(weight, wish)]
        expect(f"{where}: type", t.tensor_type.name, dtype.name)
        expect(f"{where}: shape", [int(n) for n in t.shape], list(weight.shape[::-1]))
        expect(f"{where}: place", t.data_offset, end)
        end = (t.data_offset + int(t.n_bytes) + BLOCK - 1) // BLOCK * BLOCK
        if t.tensor_type != dtype:
            continue
        theirs = gguf.quants.quantize(weight, dtype)
        expect(f"{where}: same bytes", t.data.tobytes() == theirs.tobytes(), True)
        values = gguf.quants.dequantize(t.data, dtype).reshape(weight.shape)
        if dtype == gguf.GGMLQuantizationType.F32:
            expect(f"{where}: same values", np.array_equal(values, weight), True)
        # A crude bound that needs no quantizer: a step is at most range/15 of the row, which is twice
        # the largest value or less, and Q4_0 may clip one end by another step.
        bound = np.abs(weight).max() * 2 / 15 * 1.5 + 1e-6
        expect(f"{where}: error within a step", bool(np.abs(values - weight).max() <= bound), True)
    return end


def check_keys(fields, config, tokenizer, wish):
    arch = {
        "block_count": config["num_hidden_layers"], "embedding_length": config["hidden_size"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": config["num_key_value_heads"],
        "context_length": config["max_position_embeddings"], "vocab_size": config["vocab_size"],
        "rope.dimension_count": config["hidden_size"] // config["num_attention_heads"],
        "rope.freq_base": config["rope_theta"],
        "attention.layer_norm_rms_epsilon": float(np.float32(config["rms_norm_eps"])),
    }
    expected = {f"llama.{key}": value for key, value in arch.items()}
    expected |= {
        "general.architecture": "llama", "general.type": "model",
        "general.file_type": FILE_TYPES[wish], "general.quantization_version": 2,
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.bos_token_id": config["bos_token_id"],
        "tokenizer.ggml.eos_token_id": config["eos_token_id"],
        "tokenizer.ggml.unknown_token_id": 0, "tokenizer.ggml.add_bos_token": True,
    }
    for key, value in expected.items():
        expect(f"{wish}: {key}", fields.get(key), value)
    tokens = fields["tokenizer.ggml.tokens"]
    expect(f"{wish}: tokens", len(tokens), config["vocab_size"])
    for token, at in tokenizer["model"]["vocab"].items():
        expect(f"{wish}: token {at}", tokens[at], token)
    for array in ("scores", "token_type"):
        expect(f"{wish}: {array}", len(fields[f"tokenizer.ggml.{array}"]), len(tokens))
    # A runtime merges the pair with the highest score first: that must be the order of the merges.
    score = dict(zip(tokens, fields["tokenizer.ggml.scores"]))
    merges = [m if isinstance(m, list) else m.split(" ") for m in tokenizer["model"]["merges"]]
    first = list(dict.fromkeys(left + right for left, right in merges))
    falling = all(score[a] > score[b] for a, b in zip(first, first[1:]))
    expect(f"{wish}: scores fall in the order of the merges", falling, True)


def convert(source, target, wish):
    done = subprocess.run([sys.argv[1], "convert", str(source), "-o", str(target), "--type",
                           wish.lower(), "--pure", "--encoder", "reference", "--force"], capture_output=True, text=True)
    if done.returncode:
        print(f"{wish}: planish convert {source} failed with {done.returncode}: {done.stderr}{done.stdout}")
        sys.exit(1)
    return gguf.GGUFReader(target)


def main():
    work = pathlib.Path(sys.argv[2])
    work.mkdir(parents=True, exist_ok=True)
    config = json.loads((MODEL / "config.json").read_text())
    tokenizer = json.loads((MODEL / "tokenizer.json").read_text())
    weights = gguf_names(load_file(MODEL / "model.safetensors"), config)
    for wish in TYPES:
        direct = work / f"{wish}.gguf"
        reader = convert(MODEL, direct, wish)
        fields = {key: field.contents() for key, field in reader.fields.items()}
        expect(f"{wish}: alignment", reader.alignment, 32)
        end = check_tensors(reader, weights, wish)
        expect(f"{wish}: size of the file", direct.stat().st_size, end)
        check_keys(fields, config, tokenizer, wish)
        again = work / f"{wish}-again.gguf"
        convert(work / "F32.gguf", again, wish)
        expect(f"{wish}: the same file by way of F32", again.read_bytes() == direct.read_bytes(), True)
    print(f"{failures} differences in {len(TYPES)} types")
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
