"""A reader of planish's packed container (`.pl`), written from docs/pack-format.md alone.

    pack_reader.py FILE.pl      checks every byte and shows what is in it

It trusts nothing: sizes, digests and zeros are checked before a number is used. Needs numpy, xxhash, zstandard, and the
package gguf for GGML's block types.
"""
import hashlib
import json
import mmap
import re
import struct
import sys

import numpy as np
import xxhash
import zstandard

HEAD, TAIL = struct.Struct("<8sI52s"), struct.Struct("<8s5Q16s32s")
FRAME = np.dtype([("offset", "<u8"), ("stored", "<u4"), ("content", "<u4"), ("kind", "<u4"), ("zero", "<u4"),
                  ("xxh3", "<u8"), ("sha256", "V32")])
MAGIC, TAIL_MAGIC = bytes.fromhex("89706C0D0A1A0A00"), b"plindex\0"
PAGE, BLOB, MOST = 4096, 64, 4 << 20
UNDERSTOOD = {"zstd", "layout"}
FLOATS = {"f32": "<f4", "f16": "<f2", "bf16": "<u2", "f8_e4m3": "u1", "f8_e5m2": "u1", "f8_e8m0": "u1", "f4_e2m1": "u1"}


class Refused(Exception):
    pass


def need(condition, text):
    if not condition:
        raise Refused(text)


def round_up(number, to):
    return -(-number // to) * to


def unique(pairs):
    need(len({key for key, _ in pairs}) == len(pairs), "a key stands twice in the index")
    return dict(pairs)


def small_float(codes, exponent_bits, mantissa_bits, bias):
    """sign, exponent, mantissa in one small number; subnormals as usual, no infinities."""
    codes = codes.astype(np.int64)
    mantissa = codes & ((1 << mantissa_bits) - 1)
    exponent = codes >> mantissa_bits & ((1 << exponent_bits) - 1)
    sign = np.where(codes >> (mantissa_bits + exponent_bits) & 1, -1.0, 1.0)
    whole = np.where(exponent > 0, mantissa + (1 << mantissa_bits), mantissa).astype(np.float64)
    return sign * np.ldexp(whole, np.maximum(exponent, 1) - bias - mantissa_bits)


def floats(data, kind):
    """Bytes of a float type as f32 numbers, one behind the other."""
    raw = np.frombuffer(data, FLOATS[kind])
    if kind in ("f32", "f16"):
        return raw.astype(np.float32)
    if kind == "bf16":
        return (raw.astype("<u4") << 16).view("<f4")
    if kind == "f8_e5m2":
        return (raw.astype("<u2") << 8).view("<f2").astype(np.float32)
    if kind == "f8_e4m3":
        return np.where(raw & 0x7f == 0x7f, np.nan, small_float(raw, 4, 3, 7)).astype(np.float32)
    if kind == "f8_e8m0":
        return np.where(raw == 0xff, np.nan, np.ldexp(1.0, raw.astype(int) - 127)).astype(np.float32)
    return small_float(np.stack([raw & 15, raw >> 4], axis=1).ravel(), 2, 1, 1).astype(np.float32)


def blocks(data, kind, rows):
    """GGML's block types (and plain floats) as f32 [rows][cols]."""
    if kind in FLOATS:
        return floats(data, kind).reshape(rows, -1)
    import gguf
    number = gguf.GGMLQuantizationType[kind.upper()]
    return gguf.dequantize(np.frombuffer(data, np.uint8).reshape(rows, -1), number)


def codes_of(data, rows, cols, bits):
    """Whole numbers of `bits` bits, each row a stream of bits in u32, the lowest first."""
    words = np.frombuffer(data, np.uint8).reshape(rows, -1)
    stream = np.unpackbits(words, axis=1, bitorder="little")[:, :cols * bits].reshape(rows, cols, bits)
    return stream @ (1 << np.arange(bits))


def spread(scales, rows, cols, group_rows, group):
    """[groups of rows][groups of columns] to [rows][cols]; 0 means one group of all."""
    down, right = np.arange(rows) // (group_rows or rows), np.arange(cols) // (group or cols)
    return scales.reshape(down[-1] + 1, right[-1] + 1)[down[:, None], right[None, :]]


def places(order):
    """order(p) for p = 0, 1, 2 ...: digits of p times strides, the first digit the fastest."""
    shape, stride = ([int(number) for number in re.findall(r"\d+", side)] for side in order.split(":"))
    need(len(shape) == len(stride), f"no layout: {order}")
    p, found = np.arange(np.prod(shape, dtype=np.int64)), 0
    for size, step in zip(shape, stride):
        found = found + p % size * step
        p //= size
    return found


def restored(data, layout):
    """A part from what is stored of it in another order. Checks that every bit is stored just once."""
    stored = np.frombuffer(data, np.uint8).reshape(-1, layout["unit"])
    original, times = np.zeros(8 * stored.size, np.uint8), np.zeros(8 * stored.size, np.uint8)
    at = 0
    for field in layout["fields"]:
        width, order = field["bits"], places(field["order"])
        length = len(order) * width // 8 // len(stored)
        need(length * len(stored) * 8 == len(order) * width, "a field is not evenly spread over its units")
        piece = stored[:, at:at + length] ^ field.get("flip", 0)
        at += length
        elements = np.unpackbits(np.ascontiguousarray(piece).ravel(), bitorder="little").reshape(-1, width)
        to = 8 * field.get("from", 0) + order[:, None] * width + np.arange(width)
        need(to.max() < len(original), "a layout reaches beyond its part")
        original[to] = elements
        np.add.at(times, to.ravel(), 1)
    need(at == layout["unit"] and (times == 1).all(), "a layout is no bijection")
    return np.packbits(original, bitorder="little").tobytes()


class Pack:
    def __init__(self, path):
        with open(path, "rb") as stream:
            self.data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self.read_ends()
        self.index = json.loads(self.text.decode(), object_pairs_hook=unique)
        need(self.index["format"] == "planish-pack" and self.index["version"] == 1, "not a pack of version 1")
        unknown = set(self.index["required"]) - UNDERSTOOD
        need(not unknown, f"needs a reader that knows {sorted(unknown)}")
        self.tensors = {tensor["name"]: tensor for tensor in self.index["tensors"]}
        self.files = {entry["name"]: entry for entry in self.index["files"]}
        need(len(self.tensors) == len(self.index["tensors"]), "a tensor stands twice in the index")
        need(next(iter(self.files)) == "model.gguf", "the first file is not model.gguf")

    def read_ends(self):
        size = len(self.data)
        need(size >= PAGE + TAIL.size, "too short")
        magic, version, zeros = HEAD.unpack(self.data[:HEAD.size])
        need(magic == MAGIC and version == 1 and not any(zeros), "not the head of a pack")
        magic, index, length, table, count, whole, zeros, digest = TAIL.unpack(self.data[-TAIL.size:])
        need(magic == TAIL_MAGIC and not any(zeros) and whole == size, "not the tail of this file")
        need(index % PAGE == 0 and index >= PAGE and table == round_up(index + length, BLOB)
             and table + count * FRAME.itemsize == size - TAIL.size, "index and table do not lie where they should")
        need(hashlib.sha256(self.data[:HEAD.size] + self.data[index:-32]).digest() == digest, "SHA-256 of the index")
        self.digest, self.index_at, self.text, self.table_at = digest.hex(), index, self.data[index:index + length], table
        self.frames = np.frombuffer(self.data[table:-TAIL.size], FRAME)

    def frame(self, number):
        """Content of one frame, checked."""
        entry = self.frames[number]
        begin, stored = int(entry["offset"]), int(entry["stored"])
        need(PAGE <= begin and begin + stored <= self.index_at and 0 < stored <= MOST, f"frame {number}: out of bounds")
        data = self.data[begin:begin + stored]
        need(xxhash.xxh3_64_intdigest(data) == entry["xxh3"], f"frame {number}: XXH3 differs")
        if entry["kind"] == 1:
            need("zstd" in self.index["required"], f"frame {number}: compressed, but zstd is not required")
            data = zstandard.ZstdDecompressor().decompress(data, max_output_size=int(entry["content"]),
                                                           allow_extra_data=False)
        need(entry["kind"] <= 1 and entry["zero"] == 0 and len(data) == entry["content"], f"frame {number}: not as told")
        return data

    def blob(self, entry):
        length, step = entry["bytes"], entry["frame"]
        if not length:
            return b""
        count = round_up(length, step) // step
        pieces = [self.frame(entry["first"] + i) for i in range(count)]
        need(all(len(piece) == step for piece in pieces[:-1]), "a frame in the middle of a blob is not full")
        need(sum(map(len, pieces)) == length, "frames do not add up to the blob")
        return b"".join(pieces)

    def part(self, entry):
        """Bytes as the type has them."""
        if "layout" not in entry:
            return self.blob(entry)
        need("layout" in self.index["required"], "a layout, but none is required")
        return restored(self.blob(entry), entry["layout"])

    def file(self, name):
        entry = self.files[name]
        count = round_up(entry["bytes"], entry["frame"]) // entry["frame"] if entry["bytes"] else 0
        need(not self.frames["kind"][entry["first"]:entry["first"] + count].any(), f"{name} is compressed")
        return self.blob(entry)

    def tensor(self, name):
        """A tensor as f32 [rows][cols]."""
        entry = self.tensors[name]
        rows, cols, kind = entry["rows"], entry["cols"], entry["type"]
        parts = {part["role"]: (self.part(part), part["dtype"]) for part in entry["parts"]}
        scheme, group = kind["scheme"], kind.get("group", 0)
        if scheme == "plain":
            need(set(parts) == {"codes"} and parts["codes"][1] == kind["element"], f"{name}: wrong parts")
            values = blocks(*parts["codes"], rows)
        elif scheme == "affine":
            need(set(parts) == {"codes", "scales", "biases"}, f"{name}: wrong parts")
            codes = codes_of(parts["codes"][0], rows, cols, kind["bits"])
            scales, biases = (spread(floats(*parts[role]), rows, cols, 1, group) for role in ("scales", "biases"))
            values = codes.astype(np.float32) * scales + biases
        elif scheme == "ints":
            symmetric = kind.get("symmetric", False)
            need(set(parts) == {"codes", "scales"} | (set() if symmetric else {"zeros"}), f"{name}: wrong parts")
            codes = codes_of(parts["codes"][0], rows, cols, kind["bits"])
            zeros = 1 << (kind["bits"] - 1)
            if not symmetric:
                zeros = spread(np.frombuffer(parts["zeros"][0], np.uint8).astype(int), rows, cols, 1, group)
            values = (codes - zeros).astype(np.float32) * spread(floats(*parts["scales"]), rows, cols, 1, group)
        elif scheme == "scaled":
            whole = kind.get("global", False)
            need(set(parts) == {"codes", "scales"} | ({"global"} if whole else set()), f"{name}: wrong parts")
            scales = floats(*parts["scales"])
            if whole:
                scales = scales / floats(*parts["global"])[0]
            values = blocks(*parts["codes"], rows) * spread(scales, rows, cols, kind.get("group_rows", 0), group)
        else:
            raise Refused(f"{name}: no scheme {scheme}")
        need(values.shape == (rows, cols) and values.dtype == np.float32, f"{name}: {values.shape}, not {rows} x {cols}")
        return values

    def verify(self):
        """Every byte: SHA-256 of every frame, zeros between them, that frames, blobs and segments fit each other."""
        at = HEAD.size
        for number, entry in enumerate(self.frames):
            begin, stored = int(entry["offset"]), int(entry["stored"])
            need(begin >= at, f"frame {number} begins before its forerunner's end")
            need(not any(self.data[at:begin]), f"bytes before frame {number} are not zero")
            at = begin + stored
            self.frame(number)
            need(hashlib.sha256(self.data[begin:at]).digest() == bytes(entry["sha256"]), f"frame {number}: SHA-256")
        need(not any(self.data[at:self.index_at]), "bytes before the index are not zero")
        need(not any(self.data[self.index_at + len(self.text):self.table_at]), "bytes behind the index are not zero")
        used = np.zeros(len(self.frames), int)
        for segment in self.index["segments"]:
            need(self.frames["offset"][segment["first"]] % PAGE == 0, f"segment {segment['name']} is not aligned")
            used[segment["first"]:segment["first"] + segment["frames"]] += 1
        need((used == 1).all(), "a frame belongs to no segment, or to several")
        blobs = [("head", entry) for entry in self.index["files"]]
        blobs += [(self.index["segments"][tensor["segment"]]["name"], part)
                  for tensor in self.index["tensors"] for part in tensor["parts"]]
        spans = {segment["name"]: range(segment["first"], segment["first"] + segment["frames"])
                 for segment in self.index["segments"]}
        for segment, entry in blobs:
            if entry["bytes"]:
                count = round_up(entry["bytes"], entry["frame"]) // entry["frame"]
                used[entry["first"]:entry["first"] + count] += 1
                need(self.frames["offset"][entry["first"]] % BLOB == 0, "a blob is not aligned")
                need(entry["first"] in spans[segment] and entry["first"] + count - 1 in spans[segment],
                     f"a blob lies outside of segment {segment}")
        need((used == 2).all(), "a frame belongs to no blob, or to several")


def main():
    pack = Pack(sys.argv[1])
    pack.verify()
    print(f"{sys.argv[1]}: sha256 {pack.digest}, {len(pack.frames)} frames, every byte is as it should be")
    for name in pack.files:
        print(f"  {name}: {len(pack.file(name))} bytes")
    for name, entry in pack.tensors.items():
        values = pack.tensor(name)
        print(f"  {name}: {entry['type']}, {entry['rows']} x {entry['cols']}, standard deviation {values.std():.4g}")


if __name__ == "__main__":
    main()
