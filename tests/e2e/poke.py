"""poke.py: changes single bytes of a model's files, so that they stay well-formed.

usage: poke.py FILE AT HEX                        bytes at an offset, if negative from the end
       poke.py FILE TENSOR AT HEX                 of a safetensors file: at an offset in that tensor
       poke.py FILE TENSOR + DTYPE SHAPE HEX      one more tensor, a vector or matrix ("4", "2,2")
"""
import json
import sys


def main():
    path, *rest = sys.argv[1:]
    with open(path, "rb") as f:
        data = bytearray(f.read())
    if len(rest) == 2:
        at, new = int(rest[0]), bytes.fromhex(rest[1])
        at += len(data) if at < 0 else 0
        data[at:at + len(new)] = new
    else:
        size = int.from_bytes(data[:8], "little")
        header, body = json.loads(data[8:8 + size]), data[8 + size:]
        new = bytes.fromhex(rest[-1])
        if rest[1] == "+":
            header[rest[0]] = {"dtype": rest[2], "shape": [int(n) for n in rest[3].split(",")],
                               "data_offsets": [len(body), len(body) + len(new)]}
            body += new
        else:
            at = header[rest[0]]["data_offsets"][0] + int(rest[1])
            body[at:at + len(new)] = new
        text = json.dumps(header).encode()
        data = len(text).to_bytes(8, "little") + text + body
    with open(path, "wb") as f:
        f.write(data)


main()
