"""break_model.py: copies a small checkpoint and damages it in one way.

usage: break_model.py MODEL WAY OUT
"""
import json
import os
import shutil
import struct
import sys

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"


class Model:
    """The copy in `folder`: its safetensors header and data, its JSON files."""

    def __init__(self, source, folder):
        shutil.copytree(source, folder)
        self.folder = folder
        with open(self.path(WEIGHTS), "rb") as f:
            size = int.from_bytes(f.read(8), "little")
            self.header = json.loads(f.read(size))
            self.data = bytearray(f.read())

    def path(self, name):
        return os.path.join(self.folder, name)

    def save(self, name=WEIGHTS, header=None, data=None):
        text = json.dumps(self.header if header is None else header).encode()
        with open(self.path(name), "wb") as f:
            f.write(len(text).to_bytes(8, "little") + text + (self.data if data is None else data))

    def raw(self, change):
        with open(self.path(WEIGHTS), "rb") as f:
            data = f.read()
        with open(self.path(WEIGHTS), "wb") as f:
            f.write(change(data))

    def json(self, name, change):
        with open(self.path(name), encoding="utf-8") as f:
            value = json.load(f)
        change(value)
        with open(self.path(name), "w", encoding="utf-8") as f:
            json.dump(value, f)

    def rename(self, old, new):
        self.header[new] = self.header.pop(old)
        self.save()

    def poison(self, tensor, row, column, value):
        entry = self.header[tensor]
        at = entry["data_offsets"][0] + 4 * (row * entry["shape"][1] + column)
        self.data[at:at + 4] = struct.pack("<f", value)
        self.save()

    def shard(self, listed=None):
        """Two shards by order of offsets; `listed`: another file name for the second in the index."""
        names = sorted((n for n in self.header if n != "__metadata__"),
                       key=lambda n: self.header[n]["data_offsets"][0])
        where = {}
        for i, part in enumerate((names[:20], names[20:])):
            first, last = self.header[part[0]]["data_offsets"][0], self.header[part[-1]]["data_offsets"][1]
            file = f"model-0000{i + 1}-of-00002.safetensors"
            header = {n: {**self.header[n], "data_offsets": [o - first for o in self.header[n]["data_offsets"]]}
                      for n in part}
            self.save(file, header, self.data[first:last])
            where.update({n: listed if listed and i else file for n in part})
        os.remove(self.path(WEIGHTS))
        with open(self.path("model.safetensors.index.json"), "w", encoding="utf-8") as f:
            json.dump({"metadata": {"total_size": len(self.data)}, "weight_map": where}, f)


def config(key, value):
    return lambda m: m.json(CONFIG, lambda c: c.__setitem__(key, value))


def entry(tensor, key, value):
    def change(m):
        m.header[tensor][key] = value
        m.save()
    return change


def lost_shard(m):
    m.shard()
    os.remove(m.path("model-00002-of-00002.safetensors"))


def text(name, content):
    def change(m):
        with open(m.path(name), "w", encoding="utf-8") as f:
            f.write(content)
    return change


Q3, NORM = "model.layers.3.self_attn.q_proj.weight", "model.norm.weight"
WAYS = {
    "empty": lambda m: m.raw(lambda d: b""),
    "cut": lambda m: m.raw(lambda d: d[:-1000]),
    "longer": lambda m: m.raw(lambda d: d + b"12345678"),
    "header-cut": lambda m: m.raw(lambda d: d[:100]),
    "header-huge": lambda m: m.raw(lambda d: b"\xff" * 7 + b"\x7f" + d[8:]),
    "header-text": lambda m: m.raw(lambda d: d[:8] + b"hello" + d[13:]),
    "dtype": entry(Q3, "dtype", "F8_E9M0"),
    "integers": entry(Q3, "dtype", "I32"),
    "shape": entry(Q3, "shape", [64, 63]),
    "shape-type": entry(Q3, "shape", "64x64"),
    "offsets": entry(Q3, "data_offsets", [0, 1 << 60]),
    "unknown-tensor": lambda m: m.rename(Q3, "model.layers.3.self_attn.q_proj.lora_A"),
    "missing-tensor": lambda m: m.json(CONFIG, lambda c: c.__setitem__("num_hidden_layers", 6)),
    "extra-layer": lambda m: m.json(CONFIG, lambda c: c.__setitem__("num_hidden_layers", 4)),
    "nan": lambda m: m.poison(Q3, 17, 5, float("nan")),
    "infinity": lambda m: m.poison("model.embed_tokens.weight", 511, 63, float("-inf")),
    "huge": lambda m: m.poison(Q3, 17, 5, 1e30),
    "lost-shard": lost_shard,
    "wrong-shard": lambda m: m.shard("model-00001-of-00002.safetensors"),
    "shards": lambda m: m.shard(),
    "outside-shard": lambda m: m.shard("../model-00002-of-00002.safetensors"),
    "architecture": lambda m: m.json(CONFIG, lambda c: c.update(
        architectures=["MambaForCausalLM"], model_type="mamba")),
    "hidden-text": config("hidden_size", "64"),
    "hidden-zero": config("hidden_size", 0),
    "heads": config("num_attention_heads", 7),
    "huge-vocab": config("vocab_size", 1 << 40),
    "config-syntax": text(CONFIG, '{"model_type": "llama", }'),
    "config-missing": lambda m: os.remove(m.path(CONFIG)),
    "tokenizer-missing": lambda m: os.remove(m.path(TOKENIZER)),
    "tokenizer-type": lambda m: m.json(TOKENIZER, lambda t: t["model"].__setitem__("vocab", [])),
    "weights-missing": lambda m: os.remove(m.path(WEIGHTS)),
}


def main():
    source, way, folder = sys.argv[1:]
    WAYS[way](Model(source, folder))


main()
