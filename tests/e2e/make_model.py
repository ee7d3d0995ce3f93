"""make_model.py: a synthetic llama checkpoint of real shapes for speed and memory work; its text is noise.

usage: make_model.py --out DIR --tokenizer DIR [--shape tiny|small|medium|1b|2b] [--dtype F16|BF16|F32]
                     [--layers N] [--shards N] [--seed N]

Weights are seeded Gaussian values of a size that keeps activations finite. --tokenizer copies the
tokenizer of another model's folder; its vocabulary gives the number of tokens. Standard library only.
"""
import argparse
import json
import math
import os
import random
import shutil
import struct

SHAPES = {  # hidden, layers, heads, key/value heads, ffn
    "tiny": (256, 2, 4, 2, 512),        # 1 M: the smallest that blocks of 256 values fit
    "small": (512, 8, 8, 4, 1536),      # 25 M parameters without the vocabulary
    "medium": (1024, 8, 16, 16, 2816),  # 103 M
    "1b": (2048, 16, 32, 8, 8192),
    "2b": (2048, 32, 32, 8, 8192),
}
SIZES = {"F32": 4, "F16": 2, "BF16": 2}
POOL = 1 << 20


def tensors(hidden, layers, heads, kv_heads, ffn, vocab):
    head = hidden // heads
    yield "model.embed_tokens.weight", (vocab, hidden)
    for i in range(layers):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (hidden,)
        yield p + "mlp.down_proj.weight", (hidden, ffn)
        yield p + "mlp.gate_proj.weight", (ffn, hidden)
        yield p + "mlp.up_proj.weight", (ffn, hidden)
        yield p + "post_attention_layernorm.weight", (hidden,)
        yield p + "self_attn.k_proj.weight", (kv_heads * head, hidden)
        yield p + "self_attn.o_proj.weight", (hidden, hidden)
        yield p + "self_attn.q_proj.weight", (hidden, hidden)
        yield p + "self_attn.v_proj.weight", (kv_heads * head, hidden)
    yield "model.norm.weight", (hidden,)


def encode(values, dtype):
    if dtype == "F16":
        return struct.pack(f"<{len(values)}e", *values)
    data = struct.pack(f"<{len(values)}f", *values)
    if dtype == "F32":
        return data
    short = bytearray(len(data) // 2)
    short[0::2], short[1::2] = data[2::4], data[3::4]
    return bytes(short)


def write_shard(path, items, dtype, pool):
    size = SIZES[dtype]
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in items:
        n = math.prod(shape) * size
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    start = 0
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for _, shape in items:
            n = math.prod(shape)
            if len(shape) == 1:
                f.write(encode([1.0] * n, dtype))
                continue
            while n:                        # windows into the pool, never aligned alike
                take = min(n, POOL - start)
                f.write(pool[start * size:(start + take) * size])
                start = (start + take + 7919) % (POOL // 2)
                n -= take
    return list(header)[1:], at


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--out", required=True)
    ap.add_argument("--tokenizer", required=True)
    ap.add_argument("--shape", choices=SHAPES, default="2b")
    ap.add_argument("--layers", type=int, help="instead of the shape's own number")
    ap.add_argument("--dtype", choices=SIZES, default="F16")
    ap.add_argument("--shards", type=int, default=1)
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    hidden, layers, heads, kv_heads, ffn = SHAPES[a.shape]
    layers = a.layers or layers
    os.makedirs(a.out, exist_ok=True)
    with open(os.path.join(a.tokenizer, "tokenizer.json"), encoding="utf-8") as f:
        tokenizer = json.load(f)
    vocab = 1 + max([*tokenizer["model"]["vocab"].values(), *(t["id"] for t in tokenizer["added_tokens"])])
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if os.path.exists(os.path.join(a.tokenizer, name)):
            shutil.copy(os.path.join(a.tokenizer, name), a.out)
    normal = random.Random(a.seed).gauss
    pool = encode([normal(0, 0.02) for _ in range(POOL)], a.dtype)
    todo = list(tensors(hidden, layers, heads, kv_heads, ffn, vocab))
    per = -(-len(todo) // a.shards)
    where, total = {}, 0
    for i in range(a.shards):
        name = "model.safetensors" if a.shards == 1 else f"model-{i + 1:05}-of-{a.shards:05}.safetensors"
        names, n = write_shard(os.path.join(a.out, name), todo[i * per:(i + 1) * per], a.dtype, pool)
        where.update({t: name for t in names})
        total += n
    if a.shards > 1:
        with open(os.path.join(a.out, "model.safetensors.index.json"), "w", encoding="utf-8") as f:
            json.dump({"metadata": {"total_size": total}, "weight_map": where}, f)
    with open(os.path.join(a.out, "config.json"), "w", encoding="utf-8") as f:
        json.dump({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
                   "hidden_size": hidden, "intermediate_size": ffn, "num_hidden_layers": layers,
                   "num_attention_heads": heads, "num_key_value_heads": kv_heads,
                   "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
                   "vocab_size": vocab, "bos_token_id": 1, "eos_token_id": 2,
                   "tie_word_embeddings": True}, f, indent=1)
    print(f"{a.out}: {total:,} bytes of weights, vocabulary {vocab}")


if __name__ == "__main__":
    main()
