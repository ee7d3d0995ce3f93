"""Our GGUF files against those of llama.cpp's converter: the same keys, tensors and bytes.

Usage: converter_equality.py PLANISH WORK_FOLDER. PLANISH_LLAMA_CPP names a llama.cpp source tree; the
Python that runs this needs what its convert_hf_to_gguf.py needs. Models: calib-data/stories260k, and the
SmolLM2 folder that PLANISH_SMOLLM2 names, if it does. Exit code 77 if something is missing, a failure if
PLANISH_NO_SKIP=1.
"""
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys

NO_SKIP = os.environ.get("PLANISH_NO_SKIP") == "1"
ROOT = pathlib.Path(__file__).resolve().parents[2]


def skip(why):
    print(f"{'missing' if NO_SKIP else 'skipped'}: {why}")
    sys.exit(1 if NO_SKIP else 77)


try:
    import gguf
    import numpy as np
except ImportError as missing:
    skip(missing)

SPM = "llama"
UNKNOWN, CONTROL = 2, 3


# Differences that are meant. Each gets both files' values (None: no such key), the tokenizer model of
# the file, and says whether the difference is the one described.

def scores_are_placeholders(ours, theirs, model):
    """The converter has no scores to take from a tokenizer.json and writes -1000 for every token, which
    makes llama.cpp split words wrongly; ours follow the order of the merges."""
    return model == SPM and set(theirs) == {-1000.0} and len(ours) == len(theirs)


def unknown_token_has_its_own_type(ours, theirs, model):
    """The converter calls <unk> a control token when it reads tokenizer.json, and an unknown one when it
    reads tokenizer.model; ours is always the latter."""
    other = [(a, b) for a, b in zip(ours, theirs) if a != b]
    return model == SPM and len(ours) == len(theirs) and other == [(UNKNOWN, CONTROL)]


def default_spelled_out_true_for_spm(ours, theirs, model):
    """The converter leaves out what tokenizer_config.json does not say; ours says it, with the value that
    llama.cpp assumes for a missing key."""
    return theirs is None and ours == (model == SPM)


def default_spelled_out_false(ours, theirs, model):
    """The same for a key whose default is false in every vocabulary."""
    return theirs is None and ours is False


MEANT = {
    "tokenizer.ggml.scores": scores_are_placeholders,
    "tokenizer.ggml.token_type": unknown_token_has_its_own_type,
    "tokenizer.ggml.add_bos_token": default_spelled_out_true_for_spm,
    "tokenizer.ggml.add_eos_token": default_spelled_out_false,
    "tokenizer.ggml.add_space_prefix": default_spelled_out_true_for_spm,
}


def fields(reader):
    """Keys of a file with their types and values; GGUF.* are the counts in the header."""
    return {key: ([t.name for t in field.types], field.contents())
            for key, field in reader.fields.items() if not key.startswith("GGUF.")}


def short(value):
    text = repr(value)
    return text if len(text) < 200 else text[:200] + "..."


def compare_keys(ours, theirs):
    problems = []
    model = theirs["tokenizer.ggml.model"][1]
    for key in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get(key), theirs.get(key)
        if a == b:
            continue
        meant = MEANT.get(key)
        if meant and a and (not b or a[0] == b[0]) and meant(a[1], b and b[1], model):
            print(f"    as meant: {key}: {meant.__name__.replace('_', ' ')}")
            continue
        problems.append(f"{key}: ours {short(a)}, theirs {short(b)}")
    return problems


def compare_tensors(ours, theirs):
    a, b = ({t.name: t for t in reader.tensors} for reader in (ours, theirs))
    problems = [f"tensor {name} is only in {'ours' if name in a else 'theirs'}"
                for name in sorted(a.keys() ^ b.keys())]
    for name in sorted(a.keys() & b.keys()):
        x, y = a[name], b[name]
        if x.tensor_type != y.tensor_type or list(x.shape) != list(y.shape):
            problems.append(f"tensor {name}: ours {x.tensor_type.name} {list(x.shape)}, "
                            f"theirs {y.tensor_type.name} {list(y.shape)}")
        elif name == "rope_freqs.weight":
            # computed, by the converter in f32 throughout, by us in f64 and rounded once
            if not np.allclose(x.data, y.data, rtol=1e-6, atol=0):
                problems.append(f"tensor {name}: ours {x.data}, theirs {y.data}")
        elif x.data.tobytes() != y.data.tobytes():
            problems.append(f"tensor {name}: other bytes")
    return problems


def run(command, env=None):
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        print(f"{' '.join(command)} failed with {done.returncode}:")
        print(done.stdout[-2000:], done.stderr[-4000:])
        sys.exit(1)


def compare(model, wish, converter, work):
    ours, theirs = work / f"ours-{model.name}-{wish}.gguf", work / f"theirs-{model.name}-{wish}.gguf"
    run([sys.argv[1], "convert", str(model), "-o", str(ours), "--type", wish, "--pure", "--encoder", "reference",
         "--force"])
    run([sys.executable, str(converter), str(model), "--outfile", str(theirs), "--outtype", wish],
        {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"})
    a, b = gguf.GGUFReader(ours), gguf.GGUFReader(theirs)
    print(f"{model.name} {wish}: {len(a.tensors)} tensors")
    problems = compare_keys(fields(a), fields(b)) + compare_tensors(a, b)
    for problem in problems:
        print(f"    {problem}")
    del a, b
    ours.unlink()
    theirs.unlink()
    return len(problems)


def variant(model, name, changes, work):
    """A copy of a checkpoint with other entries in config.json."""
    folder = work / f"{model.name}-{name}"
    shutil.copytree(model, folder, dirs_exist_ok=True)
    config = json.loads((model / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    return folder


# The wavelengths of a head of 8 are 6, 63, 628 and 6283: short, short, on the ramp, long.
LLAMA3 = {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                           "high_freq_factor": 4.0, "original_max_position_embeddings": 2048}}
LINEAR = {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}


def main():
    tree = os.environ.get("PLANISH_LLAMA_CPP")
    if not tree:
        skip("PLANISH_LLAMA_CPP, a llama.cpp source tree")
    converter = pathlib.Path(tree) / "convert_hf_to_gguf.py"
    if not converter.is_file():
        skip(str(converter))
    for package in ("torch", "transformers"):
        if not importlib.util.find_spec(package):
            skip(f"Python package {package}")
    work = pathlib.Path(sys.argv[2])
    work.mkdir(parents=True, exist_ok=True)
    stories = ROOT / "calib-data" / "stories260k"
    runs = [(stories, wish) for wish in ("f32", "f16", "bf16", "q8_0")]
    runs += [(variant(stories, "llama3", LLAMA3, work), "f32"),
             (variant(stories, "linear", LINEAR, work), "f32")]
    if smollm2 := os.environ.get("PLANISH_SMOLLM2"):
        runs += [(pathlib.Path(smollm2), wish) for wish in ("f16", "q8_0")]
    problems = sum(compare(model, wish, converter, work) for model, wish in runs)
    print(f"{problems} differences that are not meant")
    return problems != 0


if __name__ == "__main__":
    sys.exit(main())
