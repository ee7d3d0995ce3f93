"""make_seeds.py: where fuzzing begins: one small good input of every kind that each target knows.

usage: make_seeds.py OUT PLANISH SEEDS     (the two programs of a build)

Checkpoints have the tokenizers and configurations of tests/tiny, with sizes as small as they can be.
"""
import json
import os
import random
import shutil
import struct
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CUT = b"\n>>>>>>\n"
OUT, PLANISH, SEEDS = sys.argv[1:]
TARGETS = ["json", "recipe", "safetensors", "index", "config", "tokenizer", "sp_model", "gguf", "split", "folder",
           "imatrix", "pack"]
TYPES = ["q8_0", "q4_0", "f16", "q5_1", "bf16", "f32"]

RECIPES = [
    '{"type": "q4_0"}',
    '{"type": "q8_0", "method": "rtn", "rules": [{"role": "attn_q", "type": "f16"}, '
    '{"layers": "0-3", "name": "*.down_proj.*", "type": "q5_1", "method": "copy"}, {"role": "output", "type": "bf16"}]}',
    '{"rules": [{"layers": 2, "type": "f32"}, {"layers": [0, 1], "type": "q4_1"}]}',
]
FOLDERS = [("mlx", "affine4-g32"), ("mlx", "affine3-g32"), ("mlx", "mxfp4"), ("mlx", "mxfp8"), ("mlx", "nvfp4"),
           ("compressed-tensors", "int4-g32"), ("compressed-tensors", "uint3-g32"), ("compressed-tensors", "int8"),
           ("compressed-tensors", "fp8"), ("compressed-tensors", "nvfp4"), ("compressed-tensors", "mxfp4"),
           ("gptq", "int4-g32"), ("gptq-v2", "uint4-g32"), ("gptq", "uint3"), ("awq", "int4-g32")]
TEXTS = ["Hello, w\u00f6rld!  <s>123</s>\n\n\t's we'll", "\u2581\u2581a  b", ""]
CARD = """---
license: apache-2.0
language: [en, it]
base_model:
- some/Model-7B-v0.1
datasets:
- a/b
tags: ["x", 'y']
---
# Model
"""


def save(target, name, *parts):
    folder = os.path.join(OUT, target)
    os.makedirs(folder, exist_ok=True)
    data = CUT.join(p.encode() if isinstance(p, str) else p for p in parts)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)
    return data


def read(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def maybe(*path):
    return read(*path) if os.path.exists(os.path.join(*path)) else b"{}"


def safetensors(tensors, metadata=None):
    """name -> (dtype, shape, bytes)"""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


def smallest(config, tokens):
    """The configuration with the smallest sizes; what divides what stays so."""
    small = dict(config)
    rope = small.get("rope_parameters") or small.get("rope_scaling") or {}
    partial = config.get("partial_rotary_factor") or rope.get("partial_rotary_factor")
    wide = 2 if partial else 1                  # an even number of values rotates
    sizes = {"hidden_size": 8 * wide, "n_embd": 8, "intermediate_size": 6, "n_inner": 6, "moe_intermediate_size": 4,
             "shared_expert_intermediate_size": 4, "num_attention_heads": 2, "n_head": 2, "num_key_value_heads": 1,
             "head_dim": 4 * wide, "num_hidden_layers": 2, "n_layer": 2, "num_experts": 2, "num_local_experts": 2,
             "num_experts_per_tok": 1, "max_position_embeddings": 16, "n_positions": 16, "n_ctx": 16,
             "original_max_position_embeddings": 4}
    for key, value in sizes.items():
        if isinstance(small.get(key), int):
            small[key] = value
    if "layer_types" in small:
        small["layer_types"] = small["layer_types"][:2]
    for key in ("long_factor", "short_factor"):              # one for each pair
        if key in rope:
            rope[key] = rope[key][:3]
    small["vocab_size"] = tokens
    return small


def small_tokenizer(doc, keep):
    """A byte-level or SentencePiece-like tokenizer of about `keep` tokens; its special ones come last."""
    model, added = doc["model"], doc.get("added_tokens", [])
    special = {t["content"] for t in added}
    vocab = model["vocab"]
    if not isinstance(vocab, dict):
        return None
    first = [t for t, _ in sorted(vocab.items(), key=lambda x: x[1]) if t not in special][:keep]
    unk = model.get("unk_token")
    words = ([unk] if unk and unk not in special and unk not in first else []) + first
    ids = {t: i for i, t in enumerate(words)}
    for t in added:
        t["id"] = ids.setdefault(t["content"], len(ids))
    model["vocab"] = {t: i for t, i in ids.items() if t in vocab}
    if "merges" in model:
        pairs = [(m, m.split(" ") if isinstance(m, str) else m) for m in model["merges"]]
        model["merges"] = [m for m, (a, b) in pairs if a in ids and b in ids and a + b in ids]
    for step in (doc.get("post_processor") or {}).get("processors", [doc.get("post_processor") or {}]):
        for name, token in step.get("special_tokens", {}).items():
            if name in ids:
                token["ids"] = [ids[name]]
        for end in ("sep", "cls"):
            if end in step:
                step[end] = [step[end][0], ids.get(step[end][0], 0)]
    return doc, len(ids)


def checkpoint(name, work, **sizes):
    """A folder with the smallest checkpoint of this kind, or with these sizes; None if planish does not know it yet."""
    source = os.path.join(ROOT, "tests", "tiny", "models", name)
    folder = os.path.join(work, name + ("-wide" if sizes else ""))
    os.makedirs(folder, exist_ok=True)
    doc, tokens = small_tokenizer(json.loads(read(source, "tokenizer.json")), 12)
    config = smallest(json.loads(read(source, "config.json")), tokens)
    config.update(sizes)
    for key in list(config):
        if key.endswith("_token_id"):
            config[key] = tokens - 1
    with open(os.path.join(folder, "tokenizer.json"), "w") as file:
        json.dump(doc, file, ensure_ascii=False, separators=(",", ":"))
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file, separators=(",", ":"))
    if os.path.exists(os.path.join(source, "tokenizer_config.json")):
        shutil.copy(os.path.join(source, "tokenizer_config.json"), folder)
    done = subprocess.run([SEEDS, folder], capture_output=True, text=True)
    if done.returncode:
        print(f"{name}: no checkpoint: {done.stderr.strip()}")
        return None
    return folder


def planish(*args):
    done = subprocess.run([PLANISH, *args], capture_output=True, text=True)
    if done.returncode:
        print(f"planish {' '.join(args)}: {done.stderr.strip()}")
    return done.returncode == 0


def proto(field, value):
    """One field of a protocol buffer message."""
    def varint(n):
        out = b""
        while n > 127:
            out, n = out + bytes([n & 127 | 128]), n >> 7
        return out + bytes([n])
    if isinstance(value, int):
        return varint(field << 3) + varint(value)
    if isinstance(value, float):
        return varint(field << 3 | 5) + struct.pack("<f", value)
    return varint(field << 3 | 2) + varint(len(value)) + value


def sentence_piece(kind):
    """A SentencePiece model: unigram (1) or BPE (2)."""
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    pieces += [(f"<0x{b:02X}>", 0.0, 6) for b in range(256)]
    pieces += [("\u2581", -1.0, 1), ("a", -2.0, 1), ("b", -3.0, 1), ("ab", -4.0, 1), ("\u2581ab", -5.0, 1),
               ("<mask>", 0.0, 4), ("unused", 0.0, 5)]
    out = b"".join(proto(1, proto(1, t.encode()) + proto(2, s) + proto(3, k)) for t, s, k in pieces)
    trainer = proto(3, kind) + proto(4, len(pieces)) + proto(35, 1) + proto(40, 0) + proto(41, 1) + proto(42, 2)
    normalizer = proto(1, b"identity") + proto(3, 1) + proto(4, 0)
    return out + proto(2, trainer) + proto(3, normalizer)


def weights(work):
    folder = {}
    for name in sorted(os.listdir(os.path.join(ROOT, "tests", "tiny", "models"))):
        folder[name] = checkpoint(name, work)
    return {name: path for name, path in folder.items() if path}


def models(work):
    names = sorted(os.listdir(os.path.join(ROOT, "tests", "tiny", "models")))
    for i, (name, folder) in enumerate(weights(work).items()):
        parts = [read(folder, n) for n in ("config.json", "model.safetensors", "tokenizer.json")]
        save("folder", name, *parts, maybe(folder, "tokenizer_config.json"))
        save("safetensors", name, parts[1])
        save("folder", name + "-bare", *parts[:2])          # without a vocabulary
        file = os.path.join(work, name + ".gguf")
        if planish("convert", folder, "-o", file, "--type", TYPES[i % len(TYPES)], "--pure", "--force"):
            save("gguf", name, read(file))
    for name in names:
        source = os.path.join(ROOT, "tests", "tiny", "models", name)
        config = read(source, "config.json")
        save("config", name, json.dumps(json.loads(config), separators=(",", ":")))
        save("json", name, config)
        doc, _ = small_tokenizer(json.loads(read(source, "tokenizer.json")), 60)
        save("tokenizer", name, json.dumps(doc, ensure_ascii=False, separators=(",", ":")),
             maybe(source, "tokenizer_config.json"), maybe(source, "generation_config.json"), TEXTS[0])
    first = os.path.join(work, "llama")
    split = os.path.join(work, "split.gguf")
    if os.path.exists(first) and planish("convert", first, "-o", split, "--type", "q8_0", "--max-shard-size", "1100",
                                         "--force"):
        shards = sorted(f for f in os.listdir(work) if f.startswith("split-"))
        save("split", "llama", *[read(work, f) for f in shards[:6]])


def scaled(work):
    """8-bit floats with scales, as a folder."""
    folder = os.path.join(work, "llama")
    if not os.path.exists(os.path.join(folder, "model.safetensors")):
        return
    raw = read(folder, "model.safetensors")
    size = struct.unpack("<Q", raw[:8])[0]
    tensors = {}
    for name, t in json.loads(raw[8:8 + size]).items():
        begin, end = (8 + size + x for x in t["data_offsets"])
        values = raw[begin:end]
        if "_proj" in name:
            tensors[name] = ("F8_E4M3", t["shape"], values[::2].replace(b"\xff", b"\x30").replace(b"\x7f", b"\x30"))
            tensors[name + "_scale_inv"] = ("F32", [-(-t["shape"][0] // 4), -(-t["shape"][1] // 4)],
                                            struct.pack("<f", 0.5) * (-(-t["shape"][0] // 4) * -(-t["shape"][1] // 4)))
        else:
            tensors[name] = (t["dtype"], t["shape"], values)
    config = json.loads(read(folder, "config.json"))
    config["quantization_config"] = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
                                     "weight_block_size": [4, 4]}
    save("folder", "fp8", json.dumps(config), safetensors(tensors), read(folder, "tokenizer.json"))
    save("config", "fp8", json.dumps(config), CARD)


def quantized(work):
    """Folders of codes as planish writes them, for the readers of these."""
    folder = checkpoint("llama", work, hidden_size=32, intermediate_size=32, num_key_value_heads=2, head_dim=16,
                        num_hidden_layers=1)
    for to, kind in FOLDERS if folder else []:
        out = os.path.join(work, f"{to}-{kind}")
        if not planish("convert", folder, "-o", out, "--to", to, "--type", kind):
            continue
        config, tensors, tokenizer = (read(out, n) for n in ("config.json", "model.safetensors", "tokenizer.json"))
        small = json.dumps(json.loads(config), separators=(",", ":"))
        save("folder", f"{to}-{kind}", small, tensors, tokenizer)
        save("config", f"{to}-{kind}", small, CARD)
        if to == "gptq":
            save("folder", f"{to}-{kind}-any-order", small.replace('"desc_act":false', '"desc_act":true'), tensors, tokenizer)


def packs(work):
    """Index, table, and what lies before them."""
    folder = checkpoint("llama", work, hidden_size=32, intermediate_size=32, num_key_value_heads=2, head_dim=16,
                        num_hidden_layers=1)
    kinds = [(kind, "plain") for kind in ("q8_0", "affine4-g32", "int4-g32", "uint3-g32", "mxfp8", "nvfp4", "f16")]
    for kind, layout in kinds + [("q4_0", "rows8"), ("mxfp4", "rows4")] if folder else ():
        for level in ("0", "9"):
            out = os.path.join(work, "out.pl")
            if not planish("convert", folder, "-o", out, "--type", kind, "--zstd", level, "--layout", layout, "--force"):
                continue
            data = read(out)
            index, length, table, frames, size = struct.unpack("<5Q", data[-88:-48])
            text = json.dumps(json.loads(data[index:index + length]), separators=(",", ":"))
            name = "-".join([kind, level] if layout == "plain" else [kind, layout, level])
            save("pack", name, text, data[table:table + 64 * frames], data[4096:index].rstrip(b"\0"))


def by_hand():
    for i, text in enumerate(RECIPES):
        save("recipe", f"recipe{i}", text)
        save("json", f"recipe{i}", text)
    save("json", "all", '{"a":[1,-2.5e-3,true,false,null,"\\u00e9\\ud83d\\ude42\\n\\"\\\\"],"b":{"c":{}, "d":[]},"":0}')
    save("json", "many", json.dumps({f"key{i}": i for i in range(40)}))
    dtypes = [("F4", 4, 1), ("F8_E5M2", 2, 2), ("I64", 1, 8), ("BOOL", 3, 3), ("F16", 2, 4), ("U8", 0, 0)]
    tensors = {d: (d, [n], bytes(size)) for d, n, size in dtypes}
    save("safetensors", "types", safetensors(tensors, {"format": "pt"}))
    save("safetensors", "scalar", safetensors({"s": ("F32", [], bytes(4)), "m": ("F32", [2, 0, 3], b"")}))
    a = safetensors({"x": ("F32", [2], bytes(8)), "y": ("I32", [1], bytes(4))})
    b = safetensors({"z": ("BF16", [2, 2], bytes(8))})
    shards = {"x": "a.safetensors", "y": "a.safetensors", "z": "b.safetensors"}
    save("index", "two", json.dumps({"metadata": {"total_size": 20}, "weight_map": shards}), a, b)
    save("index", "outside", json.dumps({"weight_map": {"x": "../a.safetensors"}}), a)
    save("config", "card", '{"_name_or_path":"some/Model-7B-chat"}', CARD)
    for kind in (1, 2):
        save("sp_model", f"kind{kind}", sentence_piece(kind), '{"add_bos_token":true,"add_eos_token":false,'
             '"added_tokens_decoder":{"266":{"content":"<x>","special":true}}}', '{"<x>":266}', TEXTS[1])


def statistics():
    """For the model of target_imatrix.c."""
    sizes = {"blk.0.attn_q.weight": (4, 1), "blk.1.ffn_down_exps.weight": (6, 2), "blk.1.ffn_gate_inp.weight": (4, 1),
             "output.weight": (4, 1)}
    values = {name: [0.5 * i for i in range(cols * n)] for name, (cols, n) in sizes.items()}
    dat = struct.pack("<i", len(sizes))
    infos, data = b"", b""
    for name, (cols, n) in sizes.items():
        dat += struct.pack(f"<i{len(name)}sii{cols * n}f", len(name), name.encode(), 3, cols * n, *values[name])
        for ending, dims, floats in ((".in_sum2", (cols, n), values[name]), (".counts", (1, n), [7.0] + [0.0] * (n - 1))):
            full = (name + ending).encode()
            infos += struct.pack(f"<Q{len(full)}sIQQIQ", len(full), full, 2, *dims, 0, len(data))
            data += struct.pack(f"<{len(floats)}f", *floats)
            data += bytes(-len(data) % 32)

    def text(s):
        return struct.pack(f"<Q{len(s)}s", len(s), s.encode())

    keys = text("general.type") + struct.pack("<I", 8) + text("imatrix")
    keys += text("imatrix.datasets") + struct.pack("<IIQ", 9, 8, 1) + text("a.txt")
    keys += text("imatrix.chunk_count") + struct.pack("<II", 4, 2) + text("imatrix.chunk_size") + struct.pack("<II", 4, 512)
    head = b"GGUF" + struct.pack("<IQQ", 3, 2 * len(sizes), 4) + keys + infos
    save("imatrix", "gguf", head + bytes(-len(head) % 32) + data)
    save("imatrix", "dat", dat + struct.pack("<ii5s", 2, 5, b"a.txt"))
    save("imatrix", "dat-bare", dat)


def failing():
    """The other targets' inputs, with the number of an allocation in front."""
    random.seed(1)
    for number, target in enumerate(TARGETS[:10]):
        folder = os.path.join(OUT, target)
        for name in sorted(os.listdir(folder) if os.path.isdir(folder) else [])[:6]:
            data = read(folder, name)
            if len(data) < 20000:
                save("memory", f"{target}-{name}", struct.pack("<HB", random.randrange(60), number) + data)


def main():
    work = os.path.join(OUT, ".work")
    os.makedirs(work, exist_ok=True)
    by_hand()
    models(work)
    scaled(work)
    quantized(work)
    packs(work)
    statistics()
    failing()
    shutil.rmtree(work)
    for target in TARGETS + ["memory"]:
        folder = os.path.join(OUT, target)
        print(target, len(os.listdir(folder)) if os.path.isdir(folder) else 0, "seeds")


main()
