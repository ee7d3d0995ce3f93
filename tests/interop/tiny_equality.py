"""The small checkpoints of tests/tiny: what planish makes of them against what the oracles said.

    tiny_equality.py MODE BUILD_FOLDER WORK_FOLDER [--json FILE] [MODEL...]

converter  our GGUF files against those of llama.cpp's converter: keys, tensors, bytes
tokens     our ids against those of the package tokenizers, from the folder and from our GGUF file
logits     our forward pass in exact mode against transformers, from the folder and from our GGUF file
load       llama.cpp on our GGUF file against transformers

BUILD_FOLDER holds planish, tokenize_tool and logits_tool. Exit code 77 if a package is missing, a failure if
PLANISH_NO_SKIP=1. One row per model; differences that are meant are listed below and named in the row.
"""
import argparse
import json
import os
import pathlib
import struct
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "tiny" / "models"
sys.path.insert(0, str(ROOT / "tests" / "tiny"))

try:
    import gguf
    import numpy as np
    from safetensors.numpy import load_file

    import gguf_facts
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)

UNKNOWN, CONTROL = 2, 3
EXACT, PEER = 1e-4, 1e-2        # bars; llama.cpp keeps keys and values in 16-bit floats
SHOWN = 6


# ---- converter: differences that are meant. Each gets our types and whole value, their fact (None: no such key),
# the folder and the tokenizer's model, and says whether the difference is the one described.

def scores_follow_the_merges(types, ours, theirs, folder, model):
    """tokenizer.json, which we read, has no scores; the converter takes those of tokenizer.model. The order of
    the merges gives the same tokens, which mode load checks."""
    return (folder / "tokenizer.model").is_file() and theirs["value"]["count"] == len(ours)


def unknown_token_has_its_own_type(types, ours, theirs, folder, model):
    """The converter calls <unk> a control token if tokenizer.json lists it among the added tokens."""
    return gguf_facts.fact(types, [CONTROL if t == UNKNOWN else t for t in ours]) == theirs


def default_spelled_out_true_for_spm(types, ours, theirs, folder, model):
    """The converter leaves out what the files do not say; ours says it, with the value that llama.cpp assumes."""
    return theirs is None and ours == (model == "llama")


def default_spelled_out_false(types, ours, theirs, folder, model):
    return theirs is None and ours is False


def default_left_out(types, ours, theirs, folder, model):
    """The other way round: the converter writes a false that llama.cpp assumes anyway."""
    return types is None and theirs["value"] is False


def default_head_size_spelled_out(types, ours, theirs, folder, model):
    """The converter writes the size of a head if config.json does; ours always says it."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return theirs is None and ours == config["hidden_size"] // config["num_attention_heads"]


def what_the_converter_leaves_out(types, ours, theirs, folder, model):
    """Mistral's window and Gemma 2's factor of q k: the converter drops them and llama.cpp computes something
    else than the model. Our engine follows the key; converting warns that llama.cpp does not."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    follows = {config.get("sliding_window"), float(np.float32(config.get("query_pre_attn_scalar", 1) ** -0.5))}
    return theirs is None and ours in follows


def another_end(types, ours, theirs, folder, model):
    """Ids that generation_config.json says end a text: those without a key or a text of their own."""
    config = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    return theirs is None and ours in config["eos_token_id"]


def another_pre_tokenizer(types, ours, theirs, folder, model):
    """smollm3: "ignore_merges" is true, and of the names with this expression only llama-bpe takes whole words.
    bert: WordPiece has none; the converter writes the name of whatever it found with the same ids."""
    return model == "bert" and ours == "default" or (ours, theirs["value"]) == ("llama-bpe", "smaug-bpe")


MEANT = {
    "tokenizer.ggml.pre": another_pre_tokenizer,
    "tokenizer.ggml.eot_token_id": another_end,
    "llama.attention.key_length": default_head_size_spelled_out,
    "llama.attention.value_length": default_head_size_spelled_out,
    "llama.attention.sliding_window": what_the_converter_leaves_out,
    "gemma2.attention.scale": what_the_converter_leaves_out,
    "tokenizer.ggml.scores": scores_follow_the_merges,
    "tokenizer.ggml.token_type": unknown_token_has_its_own_type,
    "tokenizer.ggml.add_bos_token": default_spelled_out_true_for_spm,
    "tokenizer.ggml.add_eos_token": default_spelled_out_false,
    "tokenizer.ggml.add_sep_token": default_left_out,
    "tokenizer.ggml.add_space_prefix": default_spelled_out_true_for_spm,
}


def compare_keys(ours, theirs, folder):
    problems, meant, model = [], set(), theirs["tokenizer.ggml.model"]["value"]
    for key in sorted(ours.keys() | theirs.keys()):
        types, value = ours.get(key, (None, None))
        fact = gguf_facts.fact(types, value) if types else None
        if fact == theirs.get(key):
            continue
        rule = MEANT.get(key)
        if rule and rule(types, value, theirs.get(key), folder, model):
            meant.add(rule.__name__.replace("_", " "))
            continue
        problems.append(f"{key}: ours {str(fact)[:160]}, theirs {str(theirs.get(key))[:160]}")
    return problems, meant


def same_tensor(ours, theirs):
    if "values" not in theirs:
        # the weight of a shared expert: one row of n for the converter, n values for us
        one_row = theirs["name"].endswith("ffn_gate_inp_shexp.weight") and theirs["shape"][1:] == [1]
        return ours == (theirs | {"shape": theirs["shape"][:1]} if one_row else theirs)
    # computed, by the converter in f32 throughout, by us in f64 and rounded once
    rest = {"values", "sha256"}
    return ({k: v for k, v in ours.items() if k not in rest} == {k: v for k, v in theirs.items() if k not in rest}
            and np.allclose(ours["values"], theirs["values"], rtol=1e-6, atol=0))


def compare_tensors(ours, theirs):
    a, b = ({t["name"]: t for t in tensors} for tensors in (ours, theirs))
    problems = [f"tensor {name} is only in {'ours' if name in a else 'theirs'}"
                for name in sorted(a.keys() ^ b.keys())]
    return problems + [f"tensor {name}: ours {a[name]}, theirs {b[name]}"
                       for name in sorted(a.keys() & b.keys()) if not same_tensor(a[name], b[name])]


# ---- the modes: each gets the tools and a checkpoint and gives (what to print, numbers, problems)

class Tools:
    def __init__(self, build, work):
        self.build, self.work = build, work

    def path(self, name):
        return next((p for p in sorted(self.build.rglob(name)) if p.is_file()), None) or sys.exit(f"no {name}")

    def run(self, name, *arguments):
        done = subprocess.run([self.path(name), *map(str, arguments)], capture_output=True)
        if done.returncode:
            raise RuntimeError(f"{name}: exit {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode()

    def convert(self, folder, kind):
        path = self.work / f"{folder.name}-{kind}.gguf"
        self.run("planish", "convert", folder, "-o", path, "--type", kind, "--pure", "--encoder", "reference",
                 "--force")
        return path


def converter(tools, folder):
    says = json.loads((folder / "converter.json").read_text(encoding="utf-8"))
    problems, meant, tensors = [], set(), 0
    for kind, theirs in says.items():
        reader = gguf.GGUFReader(tools.convert(folder, kind))
        found, named = compare_keys(gguf_facts.fields(reader), theirs["keys"], folder)
        found += compare_tensors([gguf_facts.tensor_fact(t) for t in reader.tensors], theirs["tensors"])
        problems += [f"{kind}: {p}" for p in found]
        meant |= named
        tensors += len(theirs["tensors"])
    row = f"{'/'.join(says)}: {tensors} tensors, {len(problems)} differences"
    if meant:
        row += f" (meant: {'; '.join(sorted(meant))})"
    return row, {"tensors": tensors, "differences": len(problems), "meant": sorted(meant)}, problems


def tool_ids(tools, model, texts, mode):
    path = tools.work / "texts.bin"
    data = [text.encode() for text in texts]
    path.write_bytes(b"".join(struct.pack("<I", len(t)) + t for t in data))
    ids = tools.run("tokenize_tool", model, path, mode).split("-\n")[0]
    return [[int(x) for x in line.split()] for line in ids.split("\n")[:-1]]


def both_places(tools, folder, kind, check):
    """check(model) -> (number, problems) for a folder and for our GGUF file of it."""
    numbers, problems = {}, []
    for where in ("folder", "gguf"):
        try:
            numbers[where], found = check(folder if where == "folder" else tools.convert(folder, kind))
        except RuntimeError as error:
            numbers[where], found = None, [str(error)]
        problems += [f"{where}: {p}" for p in found]
    return numbers, problems


# ---- tokens: texts whose ids may differ if they come from a GGUF file, because it has no word for a rule.
SPACE = "\u2581"
MEANT_IN_GGUF = {
    # Metaspace "first" puts a space in front of a text that has none, and of nothing behind a token
    "mistral": lambda text: text.startswith((" ", SPACE)) or any(t in text for t in ("<unk>", "s>", "[")),
    # spaces behind a token belong to it
    "phi3": lambda text: "<|" in text or "</s>" in text,
    "phi3-longrope": lambda text: "<|" in text or "</s>" in text,
    # runs of U+2581 are tokens; the file has them as runs of spaces, which U+2581 in a text is not
    "gemma2": lambda text: SPACE in text,
    "gemma3": lambda text: SPACE in text,
}


def tokens(tools, folder):
    cases = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))
    texts, meant = [case["text"] for case in cases], MEANT_IN_GGUF.get(folder.name)

    def check(model):
        problems, other = [], set()
        for mode, field in (("special", "ids"), ("plain", "literal")):
            for case, got in zip(cases, tool_ids(tools, model, texts, mode), strict=True):
                if got != case[field]:
                    other.add(case["text"])
                    if model != folder and meant and meant(case["text"]):
                        continue
                    problems.append(f"{mode}: {case['text'][:60]!r}: got {got[:24]}, want {case[field][:24]}")
        return len(other), problems

    numbers, problems = both_places(tools, folder, "f16", check)
    return (f"of {len(cases)} texts {numbers['folder']} differ from the folder, {numbers['gguf']} from GGUF"
            + (" (meant if the file has no word for a rule)" if meant and numbers["gguf"] else ""),
            numbers | {"texts": len(cases)}, problems)


def tool_logits(tools, model, ids, want):
    ids_path, out_path = tools.work / "ids.bin", tools.work / "logits.bin"
    ids_path.write_bytes(ids.astype("<i4").tobytes())
    out_path.unlink(missing_ok=True)
    tools.run("logits_tool", model, ids_path, out_path)
    got = np.fromfile(out_path, "<f4")
    if got.size != want.size:
        raise RuntimeError(f"logits_tool wrote {got.size} numbers, expected {want.size}")
    return float(np.abs(got.reshape(want.shape) - want).max() / max(1.0, np.abs(want).max()))


def logits(tools, folder):
    want = load_file(folder / "expected.safetensors")
    pairs = [(ids, out) for ids, out in (("ids", "logits"), ("ids_short", "logits_short"), ("ids", "hidden"))
             if out in want]

    def check(model):
        far = {out: tool_logits(tools, model, want[ids], want[out]) for ids, out in pairs}
        return max(far.values()), [f"{out}: {value:.2e} apart, at most {EXACT:.0e} wanted"
                                   for out, value in far.items() if not value <= EXACT]

    numbers, problems = both_places(tools, folder, "f32", check)
    return (", ".join(f"{where} {'failed' if far is None else f'{far:.1e} apart'}" for where, far in numbers.items()),
            numbers, problems)


def load(tools, folder):
    import tiny_peer
    want, path = load_file(folder / "expected.safetensors"), tools.convert(folder, "f32")
    if "last_in_llama_cpp" in want:
        far, same, of = tiny_peer.compare_last(path, want)
    else:
        far, same, of = tiny_peer.compare(path, want)
    problems = [] if far <= PEER and same == of else [f"{far:.2e} apart, at most {PEER:.0e} wanted"]
    note = " (last position, without the feature that llama.cpp lacks)" if "last_in_llama_cpp" in want else ""
    row = f"{far:.1e} apart, the same likeliest token at {same} of {of}{note}"
    return row, {"apart": far, "same": same, "of": of}, problems


MODES = {"converter": converter, "tokens": tokens, "logits": logits, "load": load}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    tools, rows = Tools(options.build, options.work), []
    for name in options.models or sorted(p.name for p in MODELS.iterdir()):
        try:
            row, numbers, problems = MODES[options.mode](tools, MODELS / name)
        except RuntimeError as error:
            row, numbers, problems = str(error), {}, [str(error)]
        except ImportError as missing:
            print(f"skipped: {missing}")
            return 1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77
        print(f"{name:14} {'FAILED' if problems else 'ok    '} {row}")
        if numbers:
            print(*(f"    {p}" for p in problems[:SHOWN]), sep="\n", end="\n" if problems else "")
        rows.append({"model": name, "mode": options.mode, "ok": not problems, "row": row} | numbers)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    failed = sum(not row["ok"] for row in rows)
    print(f"{options.mode}: {len(rows) - failed} of {len(rows)} models as expected")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
