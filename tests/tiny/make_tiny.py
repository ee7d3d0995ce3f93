"""make_tiny.py: writes the small random checkpoints of this folder and what the oracles say about them.

    PLANISH_LLAMA_CPP=tree python make_tiny.py [--peer] [MODEL...]

Needs torch, transformers, sentencepiece and a llama.cpp source tree; --peer also runs llama.cpp (xllamacpp).
Every run writes the same bytes. See README.md for what is where.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TREE = os.environ.get("PLANISH_LLAMA_CPP") or sys.exit("PLANISH_LLAMA_CPP names no llama.cpp source tree")
os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
sys.path[:0] = [str(pathlib.Path(TREE) / "gguf-py"), TREE]
sys.dont_write_bytecode = True

import convert_hf_to_gguf as converter  # noqa: E402
import numpy as np  # noqa: E402
import tokenizers  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from conversion import base  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402

import tiny_models  # noqa: E402
import tiny_texts  # noqa: E402
import tiny_tokenizers  # noqa: E402
from gguf_facts import facts  # noqa: E402

LENGTH, SHORT, FROM_TEXT = 40, 12, 28
CHANGES_AT_LEAST, MARGIN_AT_LEAST = 1e-2, 0.05
OUT_TYPES = ("f32", "f16", "q8_0")


def sequence(tokenizer, count):
    """Ids: the beginning of a story, then some at random. An encoder's end with its last special token."""
    text = (tiny_tokenizers.CALIB / "tinystories.txt").read_text(encoding="utf-8")[:400]
    whole = tokenizer.encode(text).ids
    bare = tokenizer.encode(text, add_special_tokens=False).ids
    front = whole.index(bare[0])
    back = whole[front + len(bare):]
    rng = random.Random(7)
    ids = whole[:FROM_TEXT] + [rng.randrange(count) for _ in range(LENGTH - FROM_TEXT - len(back))] + back
    assert len(ids) == LENGTH
    return ids


def converted(folder, out_type, path, pre):
    """Runs llama.cpp's converter in this process. It knows a pre-tokenizer by the digest of a text's ids, which
    is another one for every vocabulary; only that lookup is replaced."""
    base.TextModel.get_vocab_base_pre = lambda self, tokenizer: pre
    sys.argv = ["convert_hf_to_gguf.py", str(folder), "--outfile", str(path), "--outtype", out_type]
    converter.main()


def expected(name, folder, model, ids):
    out, spec = {"ids": np.array(ids, np.int32)}, tiny_models.SPECS[name]
    result = tiny_models.run(model, ids).numpy()
    if name == "bert":
        return out | {"hidden": result, "mean": result.mean(0), "cls": result[0].copy()}
    out["logits"] = result
    if spec.lacking:
        other = tiny_models.load(name, folder, *spec.features[spec.lacking])
        out["last_in_llama_cpp"] = tiny_models.run(other, ids).numpy()[-1].copy()
    if name == "phi3-longrope":
        out |= {"ids_short": out["ids"][:SHORT].copy(), "logits_short": tiny_models.run(model, ids[:SHORT]).numpy()}
    return out


def write_checkpoint(name, folder):
    """Tokenizer and weights. For routers the first seed is taken whose choices are not near ties."""
    spec = tiny_models.SPECS[name]
    count = getattr(tiny_tokenizers, spec.tokenizer)(folder)
    assert count <= spec.rows
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    ids = sequence(tokenizer, count)
    for seed in range(1, 200):
        tiny_models.build(name, tokenizer.token_to_id, seed).save_pretrained(folder)
        model = tiny_models.load(name, folder)
        margin = tiny_models.router_margin(model, ids)
        if margin is None or margin > MARGIN_AT_LEAST:
            return model, ids
    sys.exit(f"{name}: no seed keeps the experts apart")


def check_features(name, folder, model, want, ids):
    """Prints what each feature changes; the number of those that change too little."""
    weak = 0
    margin = tiny_models.router_margin(model, ids)
    print(f"{name}: outputs with standard deviation {want.std():.2f}, entropy of attention "
          f"{tiny_models.attention_entropy(model, ids):.2f} of the uniform one's"
          + ("" if margin is None else f", experts {margin:.3f} apart"))
    for feature, (changes, change) in tiny_models.SPECS[name].features.items():
        other = tiny_models.run(tiny_models.load(name, folder, changes, change), ids).numpy()
        moved = float(np.abs(other - want).max())
        weak += moved < CHANGES_AT_LEAST
        print(f"    {feature:26} {moved:8.4f}{'  TOO LITTLE' if moved < CHANGES_AT_LEAST else ''}")
    return weak


def lines(values):
    return ",\n".join(json.dumps(value) for value in values)


def write_facts(path, files):
    """JSON with one line per key and tensor."""
    parts = []
    for out_type, file in files.items():
        keys = ",\n".join(f"{json.dumps(key)}: {json.dumps(fact)}" for key, fact in file["keys"].items())
        parts.append(f"{json.dumps(out_type)}: {{\n\"keys\": {{\n{keys}\n}},\n"
                     f"\"tensors\": [\n{lines(file['tensors'])}\n]}}")
    path.write_text("{" + ",\n".join(parts) + "}\n")


def run_peer(path, want, cases):
    """Prints how llama.cpp's results for the converter's file differ from those of transformers and tokenizers."""
    import tiny_peer
    far, same, of = tiny_peer.compare(path, want)
    print(f"    llama.cpp: {far:.1e} apart, the same likeliest token at {same} of {of} positions")
    if "last_in_llama_cpp" in want:
        far, _, _ = tiny_peer.compare_last(path, want)
        print(f"    llama.cpp without the feature it lacks: {far:.1e} apart at the last position")
    for field, special in (("ids", True), ("literal", False)):
        texts = [case["text"] for case in cases]
        got = tiny_peer.tokens(path, texts, special)
        other = [text for text, case, ids in zip(texts, cases, got) if ids != case[field]]
        print(f"    llama.cpp's tokens, {field}: {len(other)} of {len(texts)} texts differ {other[:4]}")


def make(name, root, peer, work):
    folder = root / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model, ids = write_checkpoint(name, folder)
    converter_says = {}
    for out_type in OUT_TYPES:              # before anything that is not part of a checkpoint lies there
        path = work / f"{name}-{out_type}.gguf"
        converted(folder, out_type, path, tiny_models.SPECS[name].pre)
        converter_says[out_type] = facts(path)
    want = expected(name, folder, model, ids)
    save_file(want, folder / "expected.safetensors")
    write_facts(folder / "converter.json", converter_says)
    cases = tiny_texts.cases(folder)
    (folder / "tokens.json").write_text(f"[\n{lines(cases)}\n]\n")
    weak = check_features(name, folder, model, want.get("logits", want.get("hidden")), ids)
    if peer:
        run_peer(work / f"{name}-f32.gguf", load_file(folder / "expected.safetensors"), cases)
    return weak


def main():
    parser = argparse.ArgumentParser()
    torch.set_num_threads(1)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--to", type=pathlib.Path, default=HERE / "models")
    parser.add_argument("models", nargs="*", metavar="MODEL")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as work:
        weak = sum(make(name, options.to, options.peer, pathlib.Path(work))
                   for name in options.models or tiny_models.SPECS)
    sys.exit(f"{weak} features change too little" if weak else 0)


if __name__ == "__main__":
    main()
