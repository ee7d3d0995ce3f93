"""Our ids against those of the Python package tokenizers, and against llama.cpp's on our GGUF files.

    tokenizer_equality.py BUILD_FOLDER WORK_FOLDER

BUILD_FOLDER holds tokenize_tool and planish. Models: calib-data/stories260k, those of tests/tiny/models, and the
folders that PLANISH_SMOLLM2 and PLANISH_MINILM name. What is missing leaves its part out (without tokenizers all
of it, exit 77); with PLANISH_NO_SKIP=1 it is a failure.

Known differences of llama.cpp: it does not read invalid UTF-8 as U+FFFD, knows no normalization form, puts a space
in front of every stretch where Metaspace says otherwise, and cuts runs of U+2581 into single ones.
Known difference from tokenizers: a user-defined token of spaces is found in text as SentencePiece finds it, before
anything merges, so U+2581 beside spaces may be cut otherwise; and BERT's categories are those of Unicode 8 there.
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
import unicodedata

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


def compare_engine(name, gguf, texts, got, failures, special=True):
    """Against llama.cpp, if it is there, on texts that it reads as we do."""
    if not importlib.util.find_spec("xllamacpp"):
        return left_out("Python package xllamacpp")
    from llama_cpp import LlamaCpp
    engine = LlamaCpp(gguf)
    failures.compare(f"{name} llama.cpp", texts, got, [engine.encode(t, special) for t in texts])
    engine.close()


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
    doc["truncation"] = doc["padding"] = None
    if not special:
        doc["added_tokens"] = [t for t in doc["added_tokens"] if not t["special"]]
    return tokenizers.Tokenizer.from_str(json.dumps(doc))


def expected(folder, texts, special):
    decoded = [t.decode("utf-8", "replace") for t in texts]
    if special:
        return [e.ids for e in reference(folder, True).encode_batch(decoded)]
    front = reference(folder, True).encode("").ids      # these models put nothing behind a text
    return [front + e.ids for e in reference(folder, False).encode_batch(decoded, add_special_tokens=False)]


def corpus(special, bytes_each=None, count=2000):
    """The calibration texts, whole or their beginnings, and strings that are hard in one way or another."""
    texts = [p.read_bytes()[:bytes_each] for p in sorted((ROOT / "calib-data").glob("*.txt"))]
    if len(texts) < 5:
        sys.exit("calib-data holds fewer than 5 texts")
    return texts + NASTY + special_strings(special) + random_strings(count, special)


def old_unicode(texts):
    """Without the one character of random_strings that became punctuation after Unicode 8."""
    return [t for t in texts if "\u061d".encode() not in t]


def write_llama(folder, rows, **config):
    """config.json and weights of a llama of one small layer, all zeros."""
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32, "intermediate_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": rows,
        "rms_norm_eps": 1e-5, "max_position_embeddings": 64, "hidden_act": "silu", "tie_word_embeddings": True}
        | config))
    layer = "model.layers.0."
    shapes = {"model.embed_tokens.weight": [rows, 32], "model.norm.weight": [32],
              layer + "input_layernorm.weight": [32], layer + "post_attention_layernorm.weight": [32]}
    shapes |= {f"{layer}self_attn.{x}_proj.weight": [32, 32] for x in "qkvo"}
    shapes |= {f"{layer}mlp.{x}_proj.weight": [32, 32] for x in ("gate", "up", "down")}
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))


def convert(planish, folder, out):
    done = subprocess.run([planish, "convert", folder, "-o", out, "--type", "f32", "--force"], capture_output=True)
    if done.returncode:
        sys.exit(f"planish convert {folder}: exit {done.returncode}: {done.stderr.decode(errors='replace')}")


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
    """A vocabulary, whole texts: from its folder, and from a GGUF file of a small model with it."""
    doc = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    special = [t["content"] for t in doc["added_tokens"]]
    for mode, texts in (("plain", corpus(special, 20000)), ("special", corpus(special))):
        got, pieces = ours(tool, folder, texts, mode, work)
        failures.compare(f"{model} tokenizers {mode}", texts, got, expected(folder, texts, mode == "special"))
    check_spelling(model, doc, texts, pieces, failures)
    small, gguf = work / f"{model}-small", work / f"{model}.gguf"
    small.mkdir(exist_ok=True)
    for path in folder.glob("*token*.json"):
        shutil.copy(path, small)
    config = json.loads((folder / "config.json").read_text())
    write_llama(small, config["vocab_size"], **{k: v for k, v in config.items() if k.endswith("_token_id")})
    convert(planish, small, gguf)
    failures.compare(f"{model} from GGUF", texts, ours(tool, gguf, texts, "special", work)[0], got)
    compare_engine(model, gguf, texts, got, failures)
    texts = corpus(special, 20000, 300)
    compare_engine(f"{model} plain", gguf, texts, ours(tool, gguf, texts, "plain", work)[0], failures, False)


# Of the tiny models: what llama.cpp does not do as their tokenizer.json says.
NORMALIZED, METASPACE, STRIPPED = ("qwen", "bert"), ("mistral",), ("phi3",)


def llama_cpp_agrees(model, text, special):
    if model.startswith(NORMALIZED) and unicodedata.normalize("NFC", text) != text:
        return False
    if model.startswith(METASPACE) and (text[:1] in (" ", "\u2581") or any(t in text for t in special)):
        return False
    if model.startswith(STRIPPED) and any(t in text for t in special):
        return False                    # it goes by the model's name
    if model.startswith("bert") and (any(ord(c) > 0x24f for c in text) or max(map(len, text.split()), default=0) > 100):
        return False                    # its categories of characters are others, and no word is too long for it
    return not (model.startswith("gemma") and "\u2581" in text)


def check_tiny(folder, tool, planish, work, failures):
    """A tiny model: its table of ids, more strings through tokenizers, GGUF and llama.cpp."""
    name = folder.name
    table = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))
    for mode, key in (("special", "ids"), ("plain", "literal")):
        rows = [row for row in table if row[key] is not None and None not in row[key]]
        got = ours(tool, folder, [row["text"].encode() for row in rows], mode, work)[0]
        failures.compare(f"{name} table {mode}", [row["text"] for row in rows], got, [row[key] for row in rows])
    doc = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    special = [t["content"] for t in doc["added_tokens"]]
    texts = corpus(special, 6000, 400)
    if name == "bert":
        texts = old_unicode(texts)
    if name.startswith("gemma"):
        texts = [t for t in texts if "\u2581".encode() not in t]
    got = ours(tool, folder, texts, "special", work)[0]
    failures.compare(f"{name} tokenizers", texts, got, expected(folder, texts, True))
    gguf = work / f"{name}.gguf"
    convert(planish, folder, gguf)
    texts = [t for t in texts if llama_cpp_agrees(name, t.decode("utf-8", "replace"), special)]
    got = ours(tool, folder, texts, "special", work)[0]
    failures.compare(f"{name} from GGUF", texts, ours(tool, gguf, texts, "special", work)[0], got)
    compare_engine(name, gguf, texts, got, failures)


def check_word_pieces(folder, tool, work, failures):
    """A BERT's real vocabulary, and the same with case and accents."""
    for lower in (True, False):
        variant = work / f"minilm-{'lower' if lower else 'cased'}"
        variant.mkdir(exist_ok=True)
        doc = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        doc["truncation"] = doc["padding"] = None
        doc["normalizer"]["lowercase"] = lower
        (variant / "tokenizer.json").write_text(json.dumps(doc), encoding="utf-8")
        (variant / "config.json").write_text(json.dumps({"vocab_size": len(doc["model"]["vocab"])}))
        special = [t["content"] for t in doc["added_tokens"]]
        texts = old_unicode(corpus(special, None if lower else 20000))
        failures.compare(f"{variant.name} tokenizers", texts, ours(tool, variant, texts, "special", work)[0],
                         expected(variant, texts, True))


def check_sentence_piece(folder, tool, work, failures):
    """tokenizer.model alone, against SentencePiece itself."""
    if not importlib.util.find_spec("sentencepiece"):
        return left_out("Python package sentencepiece")
    import sentencepiece
    alone = work / f"{folder.name}-alone"
    alone.mkdir(exist_ok=True)
    shutil.copy(folder / "tokenizer.model", alone)
    sp = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    (alone / "config.json").write_text(json.dumps({"vocab_size": sp.get_piece_size()}))
    names = [sp.id_to_piece(i) for i in range(sp.get_piece_size()) if sp.is_control(i) or sp.is_unknown(i)]
    texts = [t.decode("utf-8", "replace") for t in corpus(["<x>"], 20000, 600)]
    texts = [t for t in texts if t and "\0" not in t and not any(n in t for n in names)]
    failures.compare(f"{folder.name} sentencepiece", texts,
                     ours(tool, alone, [t.encode() for t in texts], "plain", work)[0],
                     [[sp.bos_id()] + sp.encode(t) for t in texts])


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
    texts = corpus([t["content"] for t in doc["added_tokens"]], 20000, 800)
    for mode in ("special", "plain"):
        failures.compare(f"variant {name} {mode}", texts, ours(tool, variant, texts, mode, work)[0],
                         expected(variant, texts, mode == "special"))


def main():
    build, work = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    work.mkdir(parents=True, exist_ok=True)
    tool = program(build, "tokenize_tool") or sys.exit(f"no tokenize_tool in {build}")
    planish = program(build, "planish") or sys.exit(f"no planish in {build}")
    smollm2 = os.environ.get("PLANISH_SMOLLM2") or left_out("PLANISH_SMOLLM2")
    minilm = os.environ.get("PLANISH_MINILM") or left_out("PLANISH_MINILM")
    failures = Failures()
    stories260k = ROOT / "calib-data" / "stories260k"
    check_model("stories260k", stories260k, tool, planish, work, failures)
    check_variant("prefix", stories260k, lambda doc: None, tool, work, failures)
    check_variant("no-prefix", stories260k, no_prefix, tool, work, failures)
    for table in sorted((ROOT / "tests" / "tiny" / "models").glob("*/tokens.json")):
        check_tiny(table.parent, tool, planish, work, failures)
    for name in ("mistral", "mixtral"):
        check_sentence_piece(ROOT / "tests" / "tiny" / "models" / name, tool, work, failures)
    if smollm2:
        smollm2 = pathlib.Path(smollm2)
        check_model("smollm2", smollm2, tool, planish, work, failures)
        check_variant("gpt-2", smollm2, gpt2, tool, work, failures)
        check_variant("llama-bpe", smollm2, llama3, tool, work, failures)
    if minilm:
        check_word_pieces(pathlib.Path(minilm), tool, work, failures)
    return 1 if failures.count else 0


if __name__ == "__main__":
    sys.exit(main())
