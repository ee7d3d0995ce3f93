"""gguf_facts.py: what a GGUF file says, short enough to commit: keys with types and values, digests of the rest.

An array of more than 64 elements is {"count", "sha256", "first"}; the digest is over its elements as they
stand in the file: numbers little-endian, each string as its length in 8 bytes, little-endian, and its bytes.
"""
import hashlib
import struct

import gguf
import numpy as np

LONG, FIRST = 64, 8
NUMBERS = {"UINT8": "<u1", "INT8": "<i1", "UINT16": "<u2", "INT16": "<i2", "UINT32": "<u4", "INT32": "<i4",
           "FLOAT32": "<f4", "BOOL": "<u1", "UINT64": "<u8", "INT64": "<i8", "FLOAT64": "<f8"}


def elements(kind, values):
    """Bytes of an array's elements as GGUF stores them."""
    if kind == "STRING":
        texts = [v.encode() for v in values]
        return b"".join(struct.pack("<Q", len(t)) + t for t in texts)
    return np.array(values, NUMBERS[kind]).tobytes()


def fact(types, value):
    """One key's value. types: its GGUF types from the outside in."""
    if types[0] != "ARRAY":
        return {"type": types[0].lower(), "value": value}
    kind = types[-1]
    if len(value) > LONG:
        value = {"count": len(value), "sha256": hashlib.sha256(elements(kind, value)).hexdigest(),
                 "first": value[:FIRST]}
    return {"type": f"array of {kind.lower()}", "value": value}


def fields(reader):
    """Keys of an open file with their types and whole values; GGUF.* are the counts in the header."""
    return {key: ([t.name for t in field.types], field.contents())
            for key, field in reader.fields.items() if not key.startswith("GGUF.")}


def tensor_fact(t):
    """Shapes begin with the length of a row. Computed tensors come with their values."""
    out = {"name": t.name, "type": t.tensor_type.name, "shape": [int(n) for n in t.shape],
           "sha256": hashlib.sha256(t.data.tobytes()).hexdigest()}
    return out | ({"values": t.data.tolist()} if t.name.startswith("rope_") else {})


def facts(path):
    """Of a file: its keys, and its tensors in file order."""
    reader = gguf.GGUFReader(path)
    return {"keys": {key: fact(*field) for key, field in fields(reader).items()},
            "tensors": [tensor_fact(t) for t in reader.tensors]}
