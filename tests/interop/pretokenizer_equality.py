"""pretokenizer_equality.py: every pre-tokenizer that is known by name, against the package tokenizers.

    pretokenizer_equality.py BUILD_FOLDER WORK_FOLDER

Each case is a tokenizer.json with the rules that a family publishes and a small vocabulary trained across the
borders of words, so that a cut at another place gives other ids. The name must be the expected one; the GGUF
file must give the same ids; and llama.cpp too, but for what llama_cpp_agrees leaves out.
"""
import json
import pathlib
import random
import struct
import sys
import unicodedata

import tokenizer_equality as base

SUFFIXES = "'s|'t|'re|'ve|'m|'ll|'d"
LLAMA3 = base.LLAMA3
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
CASED = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+SUFFIX|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*SUFFIX|"
         r"DIGITS| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
GPT4O = CASED.replace("SUFFIX", f"(?i:{SUFFIXES})?").replace("DIGITS", r"\p{N}{1,3}")
TEKKEN = CASED.replace("SUFFIX", "").replace("DIGITS", r"\p{N}")
QWEN35 = QWEN2.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]+", r"[^\s\p{L}\p{M}\p{N}]+")
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|"
          r"\s+(?!\S)|\s+")
DEEPSEEK3 = ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?"
             "[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")
CJK = "[一-龥ࠀ-一가-퟿]+"
BLOOM = " ?[^(\\s|.,!?…。，、।۔،)]+"
DIGIT, DIGITS = ({"type": "Digits", "individual_digits": single} for single in (True, False))


def split(expression, removed=False):
    return {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Removed" if removed else "Isolated",
            "invert": removed}


def bytes_step(regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": regex}


PLAIN, GPT2 = bytes_step(False), bytes_step(True)
# name: steps, NFC, ignore_merges. Where names share all of it, one stands for them.
CASES = {
    "gpt-2": ([GPT2], False, False),
    "olmo": ([GPT2], True, False),
    "smollm": ([DIGIT, GPT2], False, False),
    "command-r": ([DIGIT, GPT2], True, False),
    "llama-bpe": ([split(LLAMA3), PLAIN], False, True),
    "dbrx": ([split(CL100K, True), PLAIN], False, False),
    "qwen2": ([split(QWEN2), PLAIN], True, False),
    "hunyuan": ([split(QWEN2), PLAIN], False, False),
    "qwen35": ([split(QWEN35), PLAIN], True, False),
    "gpt-4o": ([split(GPT4O, True), PLAIN], False, False),
    "tekken": ([split(TEKKEN), PLAIN], False, True),
    "deepseek-v3": ([split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK3), PLAIN], False, False),
    "deepseek-coder": ([split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(CJK), DIGIT, PLAIN],
                       False, False),
    "falcon": ([{"type": "Punctuation", "behavior": "Contiguous"}, GPT2, DIGITS, split("[0-9][0-9][0-9]")],
               False, False),
    "bloom": ([split(BLOOM), PLAIN], False, False),
    "viking": ([split(BLOOM), DIGIT, PLAIN], False, False),
    "bailingmoe": ([split(CL100K.replace("{1,3}", "")), PLAIN], False, False),
    "ufakzeka": ([split(QWEN2.replace(f"(?i:{SUFFIXES})|", "")), PLAIN], False, False),
    "seed-coder": ([split(f"(?i:{SUFFIXES})" + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|"
                          r"\s+(?!\S)|\s+"), PLAIN], False, False),
    "exaone-moe": ([split(f"(?i:{SUFFIXES})" + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+"
                          r"[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"), PLAIN], False, False),
    "jais-2": ([split(LLAMA3.replace(r"\s+(?!\S)|\s+", "".join(fr"\s{{{1 << n}}}(?!\S)|" for n in range(9, 1, -1)) +
                                     r"\s{1,2}(?!\S)|\s{1}")), PLAIN], False, False),
    "laguna": ([split(r"[^\n]+|[\n]+"), split(QWEN2), PLAIN], False, False),
    "minicpm5": ([split(r"\p{N}{1,3}"), split(QWEN2.replace(r"|\p{N}|", r"|\p{N}+|")), PLAIN], False, True),
}


def deepseek_llm():
    """The letters with a case are hundreds of ranges, taken from where they are listed."""
    source = (base.ROOT / "core" / "pre.c").read_text(encoding="utf-8")
    lines = source[source.index("#define CASED_LETTERS"):source.index("#define CJK")].split("\n")[1:]
    letters = "".join(line.split('"')[1] for line in lines if '"' in line)
    assert letters.startswith("A-Za-z\u00b5") and len(letters) > 200
    signs = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"
    return [split("[\r\n]"), split(f"\\s?[{letters}]+"), split(signs), split("\\s+$"), split(CJK), DIGIT, PLAIN], False, False


def llama_cpp_agrees(name, nfc, text):
    """It knows no normalization, leaves marks out of some words, takes spaces beyond ASCII for none of `\\s?`, and
    keeps DeepSeek's digits together."""
    if nfc and unicodedata.normalize("NFC", text) != text:
        return False
    if name in ("gpt-4o", "tekken", "exaone-moe") and any(unicodedata.category(c)[0] == "M" for c in text):
        return False
    if name == "deepseek-llm" and any(c.isnumeric() for c in text):
        return False
    return not (name.startswith("deepseek-") and "\u3000" in text)


# Falcon's later steps see bytes, so its vocabulary must be trained with its own cuts.
OWN_CUTS = {"falcon"}


def training_texts():
    rng = random.Random(7)
    lines = [line for name in ("tinystories.txt", "austen.txt", "manzoni-it.txt", "wikitext2-test.txt")
             for line in (base.ROOT / "calib-data" / name).read_text(encoding="utf-8")[:30000].split("\n\n")]
    lines += [s.decode("utf-8", "replace") for s in base.random_strings(1500, ["<x>"])]
    lines += ["12 123 1234 12345 1 22 333 4444", "it's we'll I'VE they'd 'S", "camelCase HTTPServer iPhone ABCdef",
              "a  b   c\n\n\n  d \r\n\r\n e\t\tf", "e\u0301 e\u0301 o\u0308 n\u0303", "中文字符 漢字かな 한국어 日本語 100%"] * 60
    rng.shuffle(lines)
    return lines


def train(steps, normalizer, texts, size):
    """A vocabulary whose merges cross what the steps cut: they are not used, unless said so."""
    tk = base.tokenizers
    doc = json.loads(tk.Tokenizer(tk.models.BPE()).to_str())
    doc["normalizer"], doc["pre_tokenizer"] = normalizer, {"type": "Sequence", "pretokenizers": steps}
    tokenizer = tk.Tokenizer.from_str(json.dumps(doc))
    alphabet = sorted(tk.pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts, tk.trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet,
                                                               show_progress=False, max_token_length=12))
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], model["merges"]


def write_folder(folder, steps, nfc, whole, model):
    """A llama of one small layer, all zeros, around the vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    vocab, merges = model
    words = ["\u0120whole", "word"] if whole else []        # tokens that no merge makes
    vocab = vocab | {word: len(vocab) + i for i, word in enumerate(w for w in words if w not in vocab)}
    end = len(vocab)
    token = {"id": end, "content": "<|endoftext|>", "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}
    doc = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [token],
           "normalizer": {"type": "NFC"} if nfc else None,
           "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps} if len(steps) > 1 else steps[0],
           "post_processor": None, "decoder": PLAIN,
           "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                     "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": whole,
                     "vocab": vocab, "merges": merges}}
    (folder / "tokenizer.json").write_text(json.dumps(doc), encoding="utf-8")
    base.write_llama(folder, len(vocab) + 1, eos_token_id=end)


def name_in(gguf):
    """tokenizer.ggml.pre of a file."""
    data = gguf.read_bytes()
    at = data.index(b"tokenizer.ggml.pre") + len("tokenizer.ggml.pre") + 4
    n = struct.unpack_from("<Q", data, at)[0]
    return data[at + 8:at + 8 + n].decode()


def texts():
    parts = [p.read_bytes()[:12000] for p in sorted((base.ROOT / "calib-data").glob("*.txt"))]
    more = ["a whole word", " whole", "word", "camelCaseWords HTTPServer", "x\u0301\u0302y \u1100\u1161\u11a8 \uac01",
            "1234567 12345678 \u0661\u0662\u0663\u0664", "a/b//c/\n/d", "don't DON'T", "x'S",
            "(.foo)  !bar", "\u00b2\u00b3\u00bc",
            "\n\n \n  x", " \u3000\u3000x", "\t\t\tx", "…。，", "नमस्ते दुनिया", "ทดสอบ"]
    strings = base.NASTY + base.special_strings(["<|endoftext|>"]) + base.random_strings(1200, ["<|endoftext|>"])
    return parts + [m.encode() for m in more] + base.old_unicode(strings)


def main():
    build, work = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    work.mkdir(parents=True, exist_ok=True)
    tool = base.program(build, "tokenize_tool") or sys.exit(f"no tokenize_tool in {build}")
    planish = base.program(build, "planish") or sys.exit(f"no planish in {build}")
    failures = base.Failures()
    lines, samples = training_texts(), texts()
    models = {nfc: train([PLAIN], {"type": "NFC"} if nfc else None, lines, 1500) for nfc in (False, True)}
    for name, (steps, nfc, whole) in (CASES | {"deepseek-llm": deepseek_llm()}).items():
        folder, gguf = work / name, work / f"{name}.gguf"
        model = train(steps, None, lines, 1500) if name in OWN_CUTS else models[nfc]
        write_folder(folder, steps, nfc, whole, model)
        got = base.ours(tool, folder, samples, "special", work)[0]
        failures.compare(f"{name} tokenizers", samples, got, base.expected(folder, samples, True))
        base.convert(planish, folder, gguf)
        if name_in(gguf) != name:
            sys.exit(f"{name}: taken for '{name_in(gguf)}'")
        failures.compare(f"{name} from GGUF", samples, base.ours(tool, gguf, samples, "special", work)[0], got)
        alike = [i for i, t in enumerate(samples) if llama_cpp_agrees(name, nfc, t.decode("utf-8", "replace"))]
        assert len(alike) >= 300
        base.compare_engine(name, gguf, [samples[i] for i in alike], [got[i] for i in alike], failures)
    return 1 if failures.count else 0


if __name__ == "__main__":
    sys.exit(main())
