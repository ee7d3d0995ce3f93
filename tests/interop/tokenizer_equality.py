"""Our ids against those of the Python package tokenizers, and against llama.cpp's on our GGUF files.

    tokenizer_equality.py BUILD_FOLDER WORK_FOLDER

BUILD_FOLDER holds tokenize_tool and planish. Models: calib-data/stories260k, and the SmolLM2 folder that
PLANISH_SMOLLM2 names. What is missing leaves its part out (without tokenizers all of it, exit 77); with
PLANISH_NO_SKIP=1 it is a failure.

Known difference of llama.cpp, the only one here: it does not read invalid UTF-8 as U+FFFD.
"""
import importlib.util
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys

NO_SKIP = os.environ.get("PLANISH_NO_SKIP") == "1"
ROOT = pathlib.Path(__file__).resolve().parents[2]


def left_out(why):
    """A part cannot run: a failure if nothing may be skipped."""
    if NO_SKIP:
        sys.exit(f"missing: {why}")
    print(f"left out, missing: {why}")


def program(build, name):
    return next((p for p in build.rglob(name) if p.is_file()), None)


try:
    import tokenizers
except ImportError:
    left_out("Python package tokenizers")
    sys.exit(77)

FAMILY = "\U0001F468\u200D\U0001F469\u200D\U0001F467\u200D\U0001F466"
FLAG = "\U0001F1EE\U0001F1F9"
NASTY = [s if isinstance(s, bytes) else s.encode() for s in [
    "", " ", "  ", "   ", "\n", "\n\n", "\n\n\n", "\t", " \t \n ", "\r\n", "\r\r\n\n", "a", " a", "a ", "  a  ",
    "a  b   c    d     e", "a\n\nb\n \n c\n  \n", "Hello, world!", " leading", "trailing ", "x" * 300,
    " " * 300, "\n" * 100, " \n" * 50, "=" * 77, "ab" * 200, "aaaaaaaaab", "banana anana nanan",
    "I'm you're we've he'd they'll it's can't 'S 'RE 'LL 'sS ''s '", "I\u2019m you\u2019re",
    "0", "00", "007", "1234567890", "3.14159", "1,000,000", "1 2 3", "a1b22c333", "v1.2.3-rc4", "x²+y³=½",
    "\u0661\u0662\u0663 \u0967\u0968 \u2160\u2161 \u4e00\u4e8c",
    "é", "e\u0301", "n\u0303o\u0302", "a\u0300\u0301\u0302\u0303\u0304\u0305", "Z\u0351\u036b\u0343a\u0365l\u0348g\u0337o",
    "中文字符", "漢字とかな交じり文", "한국어 텍스트", "русский текст", "ελληνικά", "עברית", "العربية", "हिन्दी पाठ", "ไทย",
    "\U0001F600", "\U0001F600\U0001F601 \U0001F602", FAMILY, FAMILY + FLAG, "\u2764\uFE0F", "\U0001F44D\U0001F3FD",
    "\u200b\u200c\u200d\ufeff", "\u00a0\u2003\u3000x", "\u0085\u2028\u2029", "\u180ea\u180e", "\x0b\x0c\x1c\x1d\x1e\x1f",
    "\u00ad", "\ufffd", "\U0010FFFF", "\u0000", "a\u0000b", "\x01\x02\x04\x06\x13\x14\x16\x1d\x7f",
    "\u2581", " \u2581 \u2581\u2581",
    "\u0120\u010a", "<0x0A>", "<0xFF> <0x", "def f(x):\n    return x**2  # squared\n\n\nclass A:\n\tpass\n",
    "{\"key\": [1, 2.5e-3, null]}", "https://example.org/a?b=c&d=%20#e", "\\n \\t \\\\", "%%%$$$###@@@!!!",
    b"\xff", b"\xc0\x80", b"\xe2\x96", b"\xe2\x96A", b"\xf0\x9f\x98", b"\xf0\x9f\x98 \x98", b"\xed\xa0\x80\xed\xb0\x80",
    b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\x80\x81abc\xc3", b"abc\xe9 caf\xe9", b"\xe0\x80\xaf\xf0\x80\x80\xaf",
    b"\xc2\xc2\xa9\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", bytes(range(256)), "ſ 'ſ \u212a K", "Straße ǅ ﬁ",
]]


def special_strings(special):
    """The special tokens of a vocabulary inside text."""
    out = []
    for s in special:
        out += [s, s + s, f"a{s}b", f" {s} ", f"{s}\n{s}", s[:-1], s[1:], f"{s[:-1]} {s}", f"{s[:3]}{s}{s[2:]}"]
    out.append(" ".join(special) + "".join(special))
    return [s.encode() for s in out]


def random_strings(count, special):
    rng = random.Random(20261123)
    ranges = [(0x20, 0x7e), (0xa1, 0x24f), (0x300, 0x36f), (0x370, 0x5ff), (0x600, 0x6ff), (0x900, 0x97f),
              (0x1e00, 0x1fff), (0x2000, 0x206f), (0x2190, 0x23ff), (0x3040, 0x30ff), (0x4e00, 0x9fff),
              (0xac00, 0xd7a3), (0x1f300, 0x1f64f), (0x10000, 0x100ff)]
    words = ["the", "Once", "upon", "time", "naïve", "don't", "we'll", "'s", "'re", "3", "42", "1999", "!?", "...",
             FAMILY, FLAG, "\u200d", "\ufe0f", "\u2581", "<", "|", ">", "0x41", "\ufffd"]
    gaps = ["", "", " ", " ", "  ", "\n", "\n\n", "\t", " \n", "\r\n", "\u00a0", "\u3000", "    "]

    def piece():
        kind = rng.random()
        if kind < 0.4:
            return rng.choice(words)
        if kind < 0.5:
            return rng.choice(special)
        if kind < 0.6:
            return "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 6)))
        low, high = rng.choice(ranges)
        return "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 6)))

    out = []
    for _ in range(count):
        text = "".join(piece() + rng.choice(gaps) for _ in range(rng.randint(1, 12))).encode()
        if rng.random() < 0.1:              # a byte is lost or changed
            at = rng.randrange(len(text))
            text = text[:at] + bytes([rng.randrange(256)]) * rng.randint(0, 1) + text[at + 1:]
        out.append(text)
    return out


def ours(tool, model, texts, mode, work):
    path = work / "texts.bin"
    path.write_bytes(b"".join(struct.pack("<I", len(t)) + t for t in texts))
    done = subprocess.run([tool, model, path, mode], capture_output=True)
    if done.returncode:
        sys.exit(f"tokenize_tool {model}: exit {done.returncode}: {done.stderr.decode(errors='replace')}")
    ids, pieces = done.stdout.decode().split("-\n")
    return ([[int(x) for x in line.split()] for line in ids.split("\n")[:-1]],
            [bytes.fromhex(line) for line in pieces.split("\n")[:-1]])


class Failures:
    def __init__(self):
        self.count = 0

    def compare(self, what, texts, got, want):
        wrong = [i for i in range(len(texts)) if got[i] != want[i]]
        print(f"{what}: {len(texts)} texts, {sum(map(len, want))} ids, {len(wrong)} differ")
        for i in wrong[:5]:
            at = next((k for k, (a, b) in enumerate(zip(got[i], want[i])) if a != b), min(len(got[i]), len(want[i])))
            near = slice(max(0, at - 2), at + 6)
            print(f"  {texts[i][:80]!r} at id {at}: got {got[i][near]}, want {want[i][near]}")
        self.count += len(wrong)


def reference(folder, special):
    """The tokenizers package on a folder; without `special`, control tokens are plain text."""
    doc = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    if not special:
        doc["added_tokens"] = [t for t in doc["added_tokens"] if not t["special"]]
    return tokenizers.Tokenizer.from_str(json.dumps(doc))


def expected(folder, texts, special):
    decoded = [t.decode("utf-8", "replace") for t in texts]
    if special:
        return [e.ids for e in reference(folder, True).encode_batch(decoded)]
    front = reference(folder, True).encode("").ids      # these models put nothing behind a text
    return [front + e.ids for e in reference(folder, False).encode_batch(decoded, add_special_tokens=False)]


def corpus(special):
    texts = [p.read_bytes() for p in sorted((ROOT / "calib-data").glob("*.txt"))]
    if len(texts) < 5:
        sys.exit("calib-data holds fewer than 5 texts")
    return texts + NASTY + special_strings(special) + random_strings(2000, special)


def bytes_without_token(doc):
    """A byte-level vocabulary may lack the characters of some bytes; they vanish from texts."""
    if doc["model"]["byte_fallback"]:
        return set()
    printing = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b]
    others = [b for b in range(256) if b not in printing]
    spelling = {b: chr(b) for b in printing} | {b: chr(256 + i) for i, b in enumerate(others)}
    return {b for b, c in spelling.items() if c not in doc["model"]["vocab"]}


def check_spelling(model, doc, texts, pieces, failures):
    """The ids spell the text again; SentencePiece-style ones with <s> in front and more spaces."""
    spm = doc["model"]["byte_fallback"]

    def plain(text):
        return text.replace(b" ", b"").replace("\u2581".encode(), b"") if spm else text

    lost = bytes_without_token(doc)
    whole = [text.decode("utf-8", "replace").encode() for text in texts]
    checked = [i for i in range(len(texts)) if not lost & set(whole[i])]
    assert len(checked) > 0.95 * len(texts)
    bad = [texts[i] for i in checked if plain(pieces[i]) != plain(spm * b"<s>" + whole[i])]
    print(f"{model}: of {len(checked)} texts {len(bad)} are not spelled again by their ids",
          *[repr(t[:80]) for t in bad[:5]], sep="\n  ")
    failures.count += len(bad)


def check_model(model, folder, tool, planish, work, failures):
    doc = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    texts = corpus([t["content"] for t in doc["added_tokens"]])
    got = {}
    for mode in ("special", "plain"):
        got[mode], pieces = ours(tool, folder, texts, mode, work)
        failures.compare(f"{model} tokenizers {mode}", texts, got[mode], expected(folder, texts, mode == "special"))
    check_spelling(model, doc, texts, pieces, failures)
    if not planish:
        return
    gguf = work / f"{model}.gguf"
    done = subprocess.run([planish, "convert", folder, "-o", gguf, "--type", "f16", "--force"], capture_output=True)
    if done.returncode:
        sys.exit(f"planish convert {folder}: exit {done.returncode}: {done.stderr.decode(errors='replace')}")
    engine = None
    if importlib.util.find_spec("xllamacpp"):
        from llama_cpp import LlamaCpp
        engine = LlamaCpp(gguf)
    else:
        left_out("Python package xllamacpp")
    for mode in ("special", "plain"):
        failures.compare(f"{model} from GGUF {mode}", texts, ours(tool, gguf, texts, mode, work)[0], got[mode])
        if engine:
            failures.compare(f"{model} llama.cpp {mode}", texts, got[mode],
                             [engine.encode(t, mode == "special") for t in texts])


USER_TOKENS = ["<user>", "<us", "  \n", "the", "\u00e9\u00e9", "Once upon"]
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")


def gpt2(doc):
    doc["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


def llama3(doc):
    doc["model"]["ignore_merges"] = True
    doc["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}


def no_prefix(doc):
    doc["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    doc["pre_tokenizer"] = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious",
                            "invert": False}


def check_variant(name, folder, change, tool, work, failures):
    """A model's vocabulary with other rules for text, user-defined tokens, and merges in their other spelling."""
    variant = work / name
    shutil.rmtree(variant, ignore_errors=True)
    variant.mkdir()
    doc = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    change(doc)
    doc["model"]["merges"] = [m.split(" ") if isinstance(m, str) else " ".join(m) for m in doc["model"]["merges"]]
    known = len(doc["model"]["vocab"])
    for i, text in enumerate(t for t in USER_TOKENS if t not in doc["model"]["vocab"]):
        doc["added_tokens"].append({"id": known + i, "content": text, "single_word": False, "lstrip": False,
                                    "rstrip": False, "normalized": False, "special": False})
    (variant / "tokenizer.json").write_text(json.dumps(doc), encoding="utf-8")
    (variant / "config.json").write_text(json.dumps({"vocab_size": known + 10}), encoding="utf-8")
    texts = corpus([t["content"] for t in doc["added_tokens"]])
    for mode in ("special", "plain"):
        failures.compare(f"variant {name} {mode}", texts, ours(tool, variant, texts, mode, work)[0],
                         expected(variant, texts, mode == "special"))


def main():
    build, work = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    work.mkdir(parents=True, exist_ok=True)
    tool = program(build, "tokenize_tool") or sys.exit(f"no tokenize_tool in {build}")
    planish = program(build, "planish") or left_out("program planish")
    smollm2 = os.environ.get("PLANISH_SMOLLM2") or left_out("PLANISH_SMOLLM2")
    failures = Failures()
    stories260k = ROOT / "calib-data" / "stories260k"
    check_model("stories260k", stories260k, tool, planish, work, failures)
    check_variant("prefix", stories260k, lambda doc: None, tool, work, failures)
    check_variant("no-prefix", stories260k, no_prefix, tool, work, failures)
    if smollm2:
        smollm2 = pathlib.Path(smollm2)
        check_model("smollm2", smollm2, tool, planish, work, failures)
        check_variant("gpt-2", smollm2, gpt2, tool, work, failures)
        check_variant("llama-bpe", smollm2, llama3, tool, work, failures)
    return 1 if failures.count else 0


if __name__ == "__main__":
    sys.exit(main())
