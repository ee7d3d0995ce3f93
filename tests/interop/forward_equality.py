"""Our forward pass against one in numpy: the perplexity of the first windows of a text.

Usage: forward_equality.py PLANISH WORK_FOLDER. Model and text: calib-data/stories260k, tinystories.txt.
Ids come from the tokenizers package, arithmetic is float64, so that nothing of ours takes part. Exit code
77 if a package is missing, a failure if PLANISH_NO_SKIP=1.
"""
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL, TEXT = ROOT / "calib-data" / "stories260k", ROOT / "calib-data" / "tinystories.txt"
CTX, WINDOWS, TOLERANCE = 512, 4, 1e-4

try:
    import numpy as np
    import tokenizers
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)


def read_weights(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8:8 + length]), data[8 + length:]
    header.pop("__metadata__", None)
    weights = {}
    for name, t in header.items():
        assert t["dtype"] == "F32", f"{name} is {t['dtype']}, expected F32"
        first, end = t["data_offsets"]
        weights[name] = np.frombuffer(body[first:end], "<f4").reshape(t["shape"]).astype(np.float64)
    return weights


def norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * weight


def rotate(x, base):
    """x [tokens][heads][dim]: pairs (j, j + dim/2) turn by position * base^(-2j/dim)."""
    half = x.shape[-1] // 2
    angle = np.arange(x.shape[0])[:, None] * base ** (-np.arange(half) / half)
    cos, sin = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def attention(x, w, config):
    n, heads, groups = x.shape[0], config["num_attention_heads"], config["num_key_value_heads"]
    q, k, v = ((x @ w(f"self_attn.{p}_proj").T).reshape(n, h, -1)
               for p, h in (("q", heads), ("k", groups), ("v", groups)))
    base = config.get("rope_theta", 10000.0)
    q, k = rotate(q, base), rotate(k, base)
    k, v = (np.repeat(y, heads // groups, axis=1) for y in (k, v))
    scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(q.shape[-1])
    scores = np.where(np.tril(np.ones((n, n), bool)), scores, -np.inf)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    scores /= scores.sum(axis=-1, keepdims=True)
    return np.einsum("hij,jhd->ihd", scores, v).reshape(n, -1) @ w("self_attn.o_proj").T


def feed_forward(x, w):
    gate = x @ w("mlp.gate_proj").T
    return (gate / (1 + np.exp(-gate)) * (x @ w("mlp.up_proj").T)) @ w("mlp.down_proj").T


def logits(ids, weights, config):
    eps, embedding = config["rms_norm_eps"], weights["model.embed_tokens.weight"]
    x = embedding[ids]
    for i in range(config["num_hidden_layers"]):
        def w(name):
            return weights[f"model.layers.{i}.{name}.weight"]
        x = x + attention(norm(x, w("input_layernorm"), eps), w, config)
        x = x + feed_forward(norm(x, w("post_attention_layernorm"), eps), w)
    return norm(x, weights["model.norm.weight"], eps) @ weights.get("lm_head.weight", embedding).T


def perplexity():
    config = json.loads((MODEL / "config.json").read_text())
    weights = read_weights(MODEL / "model.safetensors")
    tokenizer = tokenizers.Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    ids = tokenizer.encode(TEXT.read_text(encoding="utf-8"), add_special_tokens=False).ids
    nll = []
    for i in range(WINDOWS):
        window = np.array([config["bos_token_id"]] + ids[i * (CTX - 1):(i + 1) * (CTX - 1)])
        x = logits(window, weights, config)[:-1]
        x = x - x.max(axis=-1, keepdims=True)
        x = x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
        nll.append(-x[np.arange(CTX - 1), window[1:]])
    return float(np.exp(np.mean(nll)))


def main():
    planish, work = sys.argv[1], pathlib.Path(sys.argv[2])
    work.mkdir(parents=True, exist_ok=True)
    report = work / "report.json"
    subprocess.run([planish, "check", MODEL, "--text", TEXT, "--ctx", str(CTX), "--chunks", str(WINDOWS),
                    "--protocol", "full", "--bos", "always", "--json", report], check=True)
    ours, expected = json.loads(report.read_text())["ppl"], perplexity()
    print(f"ours {ours:.8f}, numpy {expected:.8f}, ratio - 1 = {ours / expected - 1:.2e}")
    sys.exit(abs(ours / expected - 1) > TOLERANCE)


main()
