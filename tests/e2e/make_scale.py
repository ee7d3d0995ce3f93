"""make_scale.py: checkpoints whose metadata is as large as the largest ones have it, and little else.

usage: make_scale.py shards OUT     1,000 shards with 100,001 tensors: experts of a qwen3moe model
       make_scale.py tokens OUT     a vocabulary of 262,144 tokens and 514,906 merges (33 MB), as Gemma 3 has
       make_scale.py sparse OUT [KEY=NUMBER ...]
                                    a qwen3moe model, a shard for each layer: weights of the first layers (key `real`) and
                                    of the token tables, holes for the others; other keys: layers experts hidden inter
                                    heads vocab. Without keys 94 layers of 128 experts: 195 GB, 36,945 tensors, of which
                                    20 GB are there
"""
import json
import os
import random
import struct
import sys

SHARDS, LAYERS, EXPERTS = 1000, 62, 537
SPARSE = {"layers": 94, "experts": 128, "hidden": 2560, "inter": 1024, "heads": 32, "vocab": 151936, "real": 9}
POOL = 1 << 20


def save_json(folder, name, doc, **how):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        json.dump(doc, f, ensure_ascii=False, **how)


def save_tensors(path, tensors, pool=None):
    """(name, shape) of BF16: holes, which are zeros, or windows into a pool of values."""
    header, at = {}, 0
    for name, shape in tensors:
        size = 2
        for n in shape:
            size *= n
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        end = f.tell() + at
        while pool and f.tell() < end:
            first = f.tell() % POOL // 2 * 2
            f.write(pool[first:first + min(end - f.tell(), POOL)])
        f.truncate(end)


def expert_layer(i, experts, hidden=2, inter=2, heads=2, kv_heads=1, head=2):
    at = f"model.layers.{i}."
    for part, shape in (("q_proj", [heads * head, hidden]), ("k_proj", [kv_heads * head, hidden]),
                        ("v_proj", [kv_heads * head, hidden]), ("o_proj", [hidden, heads * head])):
        yield f"{at}self_attn.{part}.weight", shape
    for part, n in (("self_attn.q_norm", head), ("self_attn.k_norm", head), ("input_layernorm", hidden),
                    ("post_attention_layernorm", hidden)):
        yield f"{at}{part}.weight", [n]
    yield f"{at}mlp.gate.weight", [experts, hidden]
    for e in range(experts):
        yield f"{at}mlp.experts.{e}.gate_proj.weight", [inter, hidden]
        yield f"{at}mlp.experts.{e}.up_proj.weight", [inter, hidden]
        yield f"{at}mlp.experts.{e}.down_proj.weight", [hidden, inter]


def expert_model():
    """Tensors of the model, two values in each row."""
    yield "model.embed_tokens.weight", [16, 2]
    yield "model.norm.weight", [2]
    for i in range(LAYERS):
        yield from expert_layer(i, EXPERTS)


def save_expert_config(folder, layers, experts, hidden=2, inter=2, heads=2, kv_heads=1, head=2, vocab=16, tied=True):
    save_json(folder, "config.json", {
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "vocab_size": vocab, "hidden_size": hidden,
        "intermediate_size": inter, "moe_intermediate_size": inter, "num_experts": experts, "num_experts_per_tok": 2,
        "norm_topk_prob": True, "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "head_dim": head, "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "tie_word_embeddings": tied, "decoder_sparse_step": 1, "mlp_only_layers": [], "hidden_act": "silu"})


def make_shards(folder):
    save_expert_config(folder, LAYERS, EXPERTS)
    tensors, where = list(expert_model()), {}
    for i in range(SHARDS):
        name = f"model-{i + 1:05d}-of-{SHARDS:05d}.safetensors"
        part = tensors[len(tensors) * i // SHARDS:len(tensors) * (i + 1) // SHARDS]
        save_tensors(os.path.join(folder, name), part)
        where.update({tensor: name for tensor, _ in part})
    save_json(folder, "model.safetensors.index.json", {"metadata": {}, "weight_map": where}, indent=2)
    print(f"{len(tensors)} tensors in {SHARDS} shards")


def make_sparse(folder, *keys):
    """Shard 0 has the tables, shard i + 1 layer i."""
    n = dict(SPARSE)
    for key in keys:
        name, number = key.split("=")
        n[name] = int(number)
    shape = {"hidden": n["hidden"], "inter": n["inter"], "heads": n["heads"], "kv_heads": max(1, n["heads"] // 8), "head": 128}
    save_expert_config(folder, n["layers"], n["experts"], vocab=n["vocab"], tied=False, **shape)
    normal = random.Random(1).gauss
    pool = b"".join(struct.pack("<f", normal(0, 0.02))[2:] for _ in range(POOL))
    tables = [(name, [n["vocab"], n["hidden"]]) for name in ("model.embed_tokens.weight", "lm_head.weight")]
    where, total = {}, 0
    for i in range(n["layers"] + 1):
        name = f"model-{i + 1:05d}-of-{n['layers'] + 1:05d}.safetensors"
        tensors = list(expert_layer(i - 1, n["experts"], **shape)) if i else [*tables, ("model.norm.weight", [n["hidden"]])]
        save_tensors(os.path.join(folder, name), tensors, pool if i <= n["real"] else None)
        where.update({tensor: name for tensor, _ in tensors})
        total += os.path.getsize(os.path.join(folder, name))
    save_json(folder, "model.safetensors.index.json", {"metadata": {}, "weight_map": where}, indent=2)
    print(f"{len(where)} tensors, {total} bytes in {n['layers'] + 1} shards")


def make_words(count, wanted):
    """All words of up to three letters and some of four, and pairs of them that together are such a word."""
    letters = [chr(0x430 + i) for i in range(32)]
    words = [""]
    for length in range(4):
        words += [w + c for w in words[-len(letters) ** length:] for c in letters]
    words = words[1:count + 1]
    merges = [[w[:cut], w[cut:]] for w in words for cut in range(1, len(w))]
    assert len(words) == count and len(merges) >= wanted
    return words, merges[:wanted]


def make_tokens(folder):
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    byte = [f"<0x{b:02X}>" for b in range(256)]
    count = 262144
    words, merges = make_words(count - len(special) - len(byte), 514906)
    tokens = special + byte + words
    save_json(folder, "tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True} for i, t in enumerate(special)],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": {t: i for i, t in enumerate(tokens)}, "merges": merges}}, indent=2)
    save_json(folder, "tokenizer_config.json", {"add_bos_token": True, "add_eos_token": False, "bos_token": "<bos>",
                                                "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"})
    save_json(folder, "config.json", {
        "architectures": ["LlamaForCausalLM"], "vocab_size": count, "hidden_size": 2, "intermediate_size": 2,
        "num_hidden_layers": 1, "num_attention_heads": 1, "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True, "bos_token_id": 2, "eos_token_id": 1})
    at = "model.layers.0."
    save_tensors(os.path.join(folder, "model.safetensors"), [("model.embed_tokens.weight", [count, 2])] + [
        (f"{at}{part}.weight", shape) for part, shape in (
            ("self_attn.q_proj", [2, 2]), ("self_attn.k_proj", [2, 2]), ("self_attn.v_proj", [2, 2]),
            ("self_attn.o_proj", [2, 2]), ("mlp.gate_proj", [2, 2]), ("mlp.up_proj", [2, 2]), ("mlp.down_proj", [2, 2]),
            ("input_layernorm", [2]), ("post_attention_layernorm", [2]))] + [("model.norm.weight", [2])])
    size = os.path.getsize(os.path.join(folder, "tokenizer.json"))
    print(f"{len(tokens)} tokens, {len(merges)} merges, {size / 1e6:.0f} MB")


os.mkdir(sys.argv[2])
{"shards": make_shards, "tokens": make_tokens, "sparse": make_sparse}[sys.argv[1]](sys.argv[2], *sys.argv[3:])
