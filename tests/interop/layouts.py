"""layouts.py: libplanish-layout against numpy: the laws of the layout algebra on random layouts, each operation's values
counted out; what must fail fails; the library shows its functions alone.

usage: layouts.py LIBRARY NM [TRIALS]
"""
import contextlib
import ctypes
import io
import math
import os
import random
import re
import subprocess
import sys
import textwrap

import numpy as np

LIBRARY, NM = sys.argv[1:3]
TRIALS = int(sys.argv[3]) if len(sys.argv) > 3 else 100000
SEED = int(os.environ.get("PLANISH_SEED", "1"))
WORDS, TEXT = 5 + 4 * 32, 4096
Words = ctypes.c_int64 * WORDS
lib = ctypes.CDLL(os.path.abspath(LIBRARY))
lib.planish_layout_message.restype = lib.planish_layout_version.restype = ctypes.c_char_p
for name in ("eval", "complement"):
    getattr(lib, "planish_layout_" + name).argtypes = {
        "eval": [Words, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p], "complement": [Words, ctypes.c_int64, Words]}[name]
for name in ("pack", "unpack"):
    getattr(lib, "planish_layout_" + name).argtypes = [Words, ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p,
                                                       ctypes.c_int64]
tally = {}


class Refused(Exception):
    pass


def call(name, *arguments):
    if getattr(lib, "planish_layout_" + name)(*arguments):
        message = lib.planish_layout_message().decode()
        assert message, name
        raise Refused(message)


def operate(name, *arguments):
    out = Words()
    call(name, *arguments, out)
    return out


def parse(text):
    return operate("parse", text.encode())


def text_of(words):
    room = ctypes.create_string_buffer(TEXT)
    call("print", words, room, ctypes.c_size_t(TEXT))
    return room.value.decode()


def number(name, words, kind=ctypes.c_int64):
    out = kind()
    call(name, words, ctypes.byref(out))
    return out.value


def values(words):
    """As the library tells them."""
    n = number("size", words)
    out = np.empty(n, np.int64)
    call("eval", words, 0, n, out.ctypes.data)
    return out


def tried(what, operation):
    """The result, None if it was refused."""
    try:
        result = operation()
    except Refused:
        result = None
    tally.setdefault(what, [0, 0])[result is None] += 1
    return result


# ---- the definitions, again ----

def flat_values(shape, stride):
    """Of flat modes, the first the fastest."""
    out = np.zeros(1, np.int64)
    for s, d in zip(shape, stride):
        out = (np.arange(s, dtype=np.int64)[:, None] * d + out[None, :]).reshape(-1)
    return out


def coalesced(shape, stride):
    modes = []
    for s, d in zip(shape, stride):
        if s == 1:
            continue
        if modes and modes[-1][0] * modes[-1][1] == d:
            modes[-1][0] *= s
        else:
            modes.append([s, d])
    return modes or [[1, 0]]


def compose_modes(modes, s, d):
    """The rule of composition for one mode, without a check that modes do not carry; None: indivisible."""
    if s == 1 or d == 0:
        return [(s, 0)]
    out = []
    for a, b in modes[:-1]:
        if s == 1:
            break
        if a % d and d % a:
            return None
        n = min(max(1, a // d), s)
        if s % n:
            return None
        if n > 1:
            out.append((n, d * b))
        s, d = s // n, -(-d // a)
    if s > 1:
        out.append((s, d * modes[-1][1]))
    return out


def compose_by_rule(a, b):
    """Values of a o b by the rule, None if it is indivisible."""
    modes, shape, stride = coalesced(*a), [], []
    for s, d in zip(*b):
        part = compose_modes(modes, s, d)
        if part is None:
            return None
        shape += [p[0] for p in part]
        stride += [p[1] for p in part]
    return flat_values(shape, stride)


def distinct(places):
    """np.unique is slow on short arrays."""
    places = np.sort(places, axis=None)
    return places[np.concatenate(([True], np.diff(places) != 0))]


def tiles(shape, stride):
    """Does each stride go on a whole number of times behind what the smaller ones cover?"""
    covered = 1
    for s, d in sorted(coalesced(shape, stride), key=lambda m: (m[1], m[0])):
        if s == 1 or d == 0:
            continue
        if d % covered:
            return False
        covered = s * d
    return True


# ---- random layouts ----

def nested(modes, rng):
    """Text of flat modes with parentheses around random groups."""
    groups = [(str(s), str(d)) for s, d in modes]
    while len(groups) > 1 and rng.random() < 0.5:
        at = rng.randrange(len(groups))
        n = rng.randint(1, len(groups) - at)
        if n == len(groups):
            break
        part = groups[at:at + n]
        groups[at:at + n] = [tuple("(" + ",".join(p[k] for p in part) + ")" for k in (0, 1))]
    if len(groups) == 1:
        return groups[0][0] + ":" + groups[0][1]
    return "(" + ",".join(g[0] for g in groups) + "):(" + ",".join(g[1] for g in groups) + ")"


def random_modes(rng):
    shape = [rng.choice((1, 2, 2, 2, 3, 3, 4, 4, 5, 6, 8)) for _ in range(rng.randint(1, 4))]
    kind, n = rng.random(), len(shape)
    if kind < 0.6:                                          # compact in some order, with gaps and repeats
        stride, place = [0] * n, 1
        for k in rng.sample(range(n), n):
            stride[k] = place
            place *= shape[k]
            draw = rng.random()
            if draw < 0.1:
                place *= rng.choice((2, 3))
            elif draw < 0.15:
                place += 1
            elif draw < 0.2:
                stride[k] = 0
    else:
        stride = [rng.choice((0, 1, 1, 2, 3, 4, 5, 6, 8, 12, 16, 24)) for _ in range(n)]
    return shape, stride


def factors(size, rng):
    """Modes that together count 0 .. size-1, in random order."""
    modes, place = [], 1
    while size > 1:
        p = rng.choice([p for p in range(2, size + 1) if size % p == 0])
        modes.append((p, place))
        place, size = place * p, size // p
    rng.shuffle(modes)
    return modes


# ---- laws ----

def check_shape(a, modes, va):
    out = operate("coalesce", a, 0)
    assert (values(out) == va).all()
    assert text_of(out).count(",") == 2 * (len(coalesced(*modes)) - 1), text_of(out)
    out = operate("coalesce", a, 1)
    assert (values(out) == va).all() and number("rank", out) == number("rank", a)
    unique = distinct(va)
    assert number("cosize", a) == va.max() + 1
    injective, bijective = len(unique) == len(va), len(unique) == len(va) == va.max() + 1
    assert number("injective", a, ctypes.c_int) == injective and number("bijective", a, ctypes.c_int) == bijective
    return unique, injective, bijective


def check_composition(a, modes, va, rng):
    sure = rng.random() < 0.4
    if sure:                # each digit of a's own index at most once: always possible
        own = []
        place = 1
        for s, _ in coalesced(*modes):
            own += [(p, place * q) for p, q in factors(s, rng)]
            place *= s
        rng.shuffle(own)
        other = own[:rng.randint(1, max(1, len(own)))] or [(1, 0)]
    else:
        other = list(zip(*random_modes(rng)))
    b = parse(nested(other, rng))
    shape, stride = [m[0] for m in other], [m[1] for m in other]
    vb = flat_values(shape, stride)
    rule = compose_by_rule(modes, (shape, stride)) if vb.max() < len(va) else None
    possible = rule is not None and (rule == va[vb]).all()
    out = tried("composition", lambda: operate("compose", a, b))
    assert (out is not None) == possible and (possible or not sure), (text_of(a), text_of(b))
    if out is not None:
        assert (values(out) == va[vb]).all() and number("rank", out) >= 1
        assert number("rank", b) == number("rank", out) or number("depth", b) == 0


def check_complement(a, modes, va, unique, rng):
    m = rng.randint(1, 2 * int(va.max()) + 2)
    out = tried("complement", lambda: operate("complement", a, m))
    assert (out is not None) == tiles(*modes), text_of(a)
    if out is None:
        return
    vc = values(out)
    both = (unique[:, None] + vc[None, :]).reshape(-1)
    assert (np.diff(vc) > 0).all()                                          # ordered
    assert (np.bincount(both, minlength=1) == 1).all() and len(both) >= m    # disjoint, and all there is
    if m > va.max() + 1:
        assert len(both) < m + max(va.max() + 1, len(unique)) * 2


def check_inverses(a, modes, va, injective, bijective):
    right = values(operate("right_inverse", a))
    assert (va[right] == np.arange(len(right))).all()
    assert not bijective or len(right) == len(va)
    out = tried("left inverse", lambda: operate("left_inverse", a))
    assert (out is not None) == (injective and tiles(*modes)), text_of(a)
    if out is not None:
        assert (values(out)[va] == np.arange(len(va))).all()


def check_division(a, modes, va, rng):
    size = len(va)
    tile = factors(size, rng)
    tile = tile[:rng.randint(0, len(tile))] or [(1, 0)]
    if rng.random() < 0.2:
        tile = list(zip(*random_modes(rng)))
    b = parse(nested(tile, rng))
    vb = flat_values([m[0] for m in tile], [m[1] for m in tile])
    out = tried("division", lambda: operate("divide", 0, a, b, 0))
    if out is not None:
        gaps = values(operate("complement", b, size))
        v = values(out)
        assert number("rank", out) == 2 and (v == va[(vb[None, :] + gaps[:, None]).reshape(-1)]).all()
        for kind in (1, 2, 3):
            assert (values(operate("divide", kind, a, b, 0)) == v).all()
    # by modes
    rank = number("rank", a)
    if rank < 2:
        return
    tiler = [factors(s, rng)[:1] or [(1, 0)] for s in (2, 3)]
    words = (Words * 2)(*(parse(nested(t, rng)) for t in tiler))
    out = tried("division by modes", lambda: [operate("divide", kind, a, words, 2) for kind in range(4)])
    if out is not None:
        logical, zipped, tiled, flat = (values(o) for o in out)
        assert (np.sort(logical) == np.sort(va)).all() and (zipped == tiled).all() and (zipped == flat).all()
        assert (np.sort(zipped) == np.sort(va)).all()
        together = operate("compose_modes", a, words, 2)
        n = math.prod(t[0][0] for t in tiler)
        if rank == 2:
            assert (zipped[:n] == values(together)).all()


def check_product(a, va, rng):
    other = random_modes(rng)
    b = parse(nested(list(zip(*other)), rng))
    vb = flat_values(*other)
    out = tried("product", lambda: operate("product", 0, a, b))
    if out is None:
        return
    v = values(out).reshape(len(vb), len(va))
    places = values(operate("complement", a, len(va) * (int(vb.max()) + 1)))[vb]
    assert (v == va[None, :] + places[:, None]).all() and number("rank", out) == 2
    assert len(distinct(v)) == len(distinct(va)) * len(distinct(vb))
    for kind in (1, 2):
        again = tried("products by modes", lambda: operate("product", kind, a, b))
        if again is not None:
            assert (np.sort(values(again)) == np.sort(v.reshape(-1))).all()


def check_packing(text, va, injective, rng):
    """Of composed layouts too; elements as rows of bits."""
    swizzle = rng.random() < 0.3
    if swizzle:
        offset, spec = rng.randint(0, 9), rng.choice(((2, 0, 2), (1, 1, -2), (2, 1, 3)))
        text = "S<%d,%d,%d> o %d o %s" % (*spec, offset, text)
        bits, base, shift = spec
        x = va + offset
        mask = (2 ** bits - 1) << (base + max(shift, 0))
        va = x ^ ((x & mask) >> shift if shift >= 0 else (x & mask) << -shift)
    words = parse(text)
    assert (values(words) == va).all() and text_of(words) == text
    width, n = rng.choice((1, 2, 3, 4, 4, 5, 8, 8, 12, 16, 32, 64)), len(va)
    reach = int(va.max()) + 64
    source = np.frombuffer(rng.randbytes((reach * width + 7) // 8), np.uint8)
    packed = np.full((n * width + 7) // 8, 0x5a, np.uint8)
    call("pack", words, width, source.ctypes.data, source.size, packed.ctypes.data, packed.size)
    elements = np.unpackbits(source, bitorder="little")[:reach * width].reshape(reach, width)
    assert (packed == np.packbits(elements[va].reshape(-1), bitorder="little")).all(), (text, width)
    back = np.frombuffer(rng.randbytes(source.size), np.uint8).copy()
    expected = np.unpackbits(back, bitorder="little")
    arguments = words, width, packed.ctypes.data, packed.size, back.ctypes.data, back.size
    done = tried("unpacking", lambda: call("unpack", *arguments) or True)
    assert (done is not None) == injective
    if done:
        expected[:reach * width].reshape(reach, width)[va] = elements[va]
        assert (back == np.packbits(expected, bitorder="little")).all(), (text, width)


def check_coordinates(a, va, rng):
    """Places at coordinates of the outermost modes."""
    sizes = []
    text = text_of(a).split(":")[0]
    if text[0] != "(":
        return
    depth, start = 0, 1
    for i, c in enumerate(text):                        # sizes of the modes, by their text
        depth += (c == "(") - (c == ")")
        if (c == "," and depth == 1) or depth == 0:
            sizes.append(math.prod(int(w) for w in text[start:i].replace("(", "").replace(")", "").split(",")))
            start = i + 1
    at, index, place = [], 0, 1
    for s in sizes:
        at.append(rng.randrange(s))
        index += at[-1] * place
        place *= s
    out = ctypes.c_int64()
    call("at", a, ("(" + ",".join(map(str, at)) + ")").encode(), ctypes.byref(out))
    assert out.value == va[index]


def check_symbols():
    listing = subprocess.run([NM, "-D", "--defined-only", LIBRARY], check=True, capture_output=True, text=True).stdout
    shown = {line.split()[-1].split("@")[0] for line in listing.splitlines() if line.split()[-2] in "TDBR"}
    strange = {s for s in shown if not s.startswith("planish_layout_")}
    assert not strange and len(shown) == 23, (strange, len(shown))
    assert lib.planish_layout_version()


def check_refusals():
    broken = Words()
    for at, value in ((0, 33), (0, -1), (1, 99), (4, -1), (5, 0), (37, -1), (69, 1), (69, 300), (101, 2)):
        good = parse("4:1")
        good[at] = value
        try:
            operate("coalesce", good, 0)
            raise AssertionError((at, value))
        except Refused:
            pass
    for name, arguments in (("parse", (b"(4,",)), ("parse", (b"nothing",)), ("complement", (parse("4:1"), 0)),
                            ("coalesce", (parse("S<2,0,3> o 0 o 8:1"), 0)), ("divide", (4, parse("4:1"), parse("2:1"), 0)),
                            ("product", (3, parse("4:1"), parse("2:1"))), ("divide", (0, parse("4:1"), parse("2:1"), 9)),
                            ("compose_modes", (parse("4:1"), parse("2:1"), 0)), ("coalesce", (broken, 0))):
        try:
            operate(name, *arguments)
            raise AssertionError((name, arguments))
        except Refused:
            pass
    room = ctypes.create_string_buffer(4)
    assert lib.planish_layout_print(parse("(4,2):(1,4)"), room, ctypes.c_size_t(4)) and room.value == b""
    assert text_of(parse("q4_k")) == "(2,32,4):(32,1,64)"


def check_example():
    """The Python example of docs/layouts.md, as it stands there."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(os.path.join(root, "docs", "layouts.md"), encoding="utf-8") as file:
        block = re.search(r"From Python:\n\n((?:    .*\n|\n)+)", file.read()).group(1)
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(textwrap.dedent(block).replace('"libplanish-layout.so.0"', repr(os.path.abspath(LIBRARY))), names)
    assert printed.getvalue() == "((2,2),3):((24,2),8)\n", printed.getvalue()
    # low nibbles 0 .. 15, then as many high ones, all 0
    assert names["codes"].raw == bytes(2 * i | (2 * i + 1) << 4 for i in range(8)) + bytes(8)


def main():
    rng = random.Random(SEED)
    check_symbols()
    check_refusals()
    check_example()
    for trial in range(TRIALS):
        modes = random_modes(rng)
        text = nested(list(zip(*modes)), rng)
        a, va = parse(text), flat_values(*modes)
        try:
            assert text_of(a) == text and (values(a) == va).all()
            unique, injective, bijective = check_shape(a, modes, va)
            check_composition(a, modes, va, rng)
            check_complement(a, modes, va, unique, rng)
            check_inverses(a, modes, va, injective, bijective)
            check_division(a, modes, va, rng)
            check_product(a, va, rng)
            check_coordinates(a, va, rng)
            if trial % 4 == 0:
                check_packing(text, va, injective, rng)
        except Exception:
            print(f"trial {trial}: {text}", file=sys.stderr)
            raise
    print(f"{TRIALS} layouts; done, refused:", ", ".join(f"{k} {v[0]}, {v[1]}" for k, v in tally.items()))
    # each of them often succeeds, and often has something to refuse
    if TRIALS >= 1000:
        assert all(min(v) > TRIALS / 200 for k, v in tally.items() if k != "products by modes"), tally


main()
