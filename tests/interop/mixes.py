"""Every mix of llama-quantize: the same type for every tensor, the same number for the file, the same bytes.

Usage: mixes.py PLANISH WORK_FOLDER [MODEL...]. PLANISH_LLAMA_QUANTIZE names llama.cpp's llama-quantize. Models: the
checkpoints of tests/tiny, each as it is and with more layers, experts and rows that fill every block,
calib-data/stories260k, and the SmolLM2 folder that PLANISH_SMOLLM2 names, if it does. Exit code 77 if something is
missing, a failure if PLANISH_NO_SKIP=1.
"""
import json
import os
import pathlib
import re
import subprocess
import sys

from program import planish

NO_SKIP = os.environ.get("PLANISH_NO_SKIP") == "1"
ROOT = pathlib.Path(__file__).resolve().parents[2]
TINY = ROOT / "tests" / "tiny" / "models"
MIXES = """q8_0 q6_k q5_k_m q5_k_s q5_k q5_1 q5_0 q4_k_m q4_k_s q4_k q4_1 q4_0 iq4_nl iq4_xs q3_k_l q3_k_m q3_k_s q3_k
iq3_m iq3_s iq3_xs iq3_xxs q2_k q2_k_s iq2_m iq2_s iq2_xs iq2_xxs iq1_m iq1_s tq2_0 tq1_0 q2_0 q1_0 mxfp4_moe f16 bf16
f32""".split()
WRITTEN = ["q4_k_m", "q3_k_l", "q2_k", "iq4_xs", "iq4_nl", "q4_0", "q5_0", "q8_0", "iq3_s", "f16"]
WIDER = 8           # 64 and 96, the widths of tests/tiny, become multiples of 256
DEEP = {            # layers and experts of wide models where rules for large ones begin; others: 16 layers
    "llama": [(16, 0), (80, 0)], "qwen2": [(28, 0), (80, 0)], "mixtral": [(32, 8), (16, 3)], "qwen3_moe": [(36, 8)],
}
SHOWN = 6


def skip(why):
    print(f"{'missing' if NO_SKIP else 'skipped'}: {why}")
    sys.exit(1 if NO_SKIP else 77)


try:
    import gguf
    import numpy as np
except ImportError as missing:
    skip(missing)
QUANTIZE = os.environ.get("PLANISH_LLAMA_QUANTIZE")
if not QUANTIZE:
    skip("PLANISH_LLAMA_QUANTIZE")


def run(*command):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.decode(errors="replace")


# ---- models: a small one as planish writes it, made wider and deeper without data

SCALED = re.compile(r"embedding_length|feed_forward_length|key_length|value_length|rope.dimension_count")


def value_of(field):
    return field.contents()


def wide_shape(name, shape, experts):
    """Shape as numpy gives it, rows first: all but the counts of tokens, positions, token types and experts."""
    fixed = 0 if re.search(r"^token_embd\.|^output\.|^position_embd\.|^token_types\.|ffn_gate_inp\.|_exps", name) else -1
    wide = [n if i == fixed else n * WIDER for i, n in enumerate(shape)]
    if experts and re.search(r"ffn_gate_inp\.|_exps", name):
        wide[0] = experts
    return wide


def widen(reader, path, layers, experts):
    """layers of the first block's tensors; experts: how many, where there are some; 0: as many as there are."""
    arch = value_of(reader.fields["general.architecture"])
    writer = gguf.GGUFWriter(path, arch)
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        value, kind = value_of(field), field.types[0]
        if key.startswith(arch) and SCALED.search(key):
            value *= WIDER
        if key == f"{arch}.block_count":
            value = layers
        if experts and key == f"{arch}.expert_count":
            value = experts
        if kind == gguf.GGUFValueType.ARRAY and len(value) == value_of(reader.fields[f"{arch}.block_count"]):
            value = [value[i % len(value)] for i in range(layers)]
        writer.add_key_value(key, value, kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    blocks = {}
    for t in reader.tensors:
        found = re.match(r"blk\.0\.(.*)", t.name)
        if found:
            blocks[found[1]] = t
        elif not t.name.startswith("blk."):
            add_info(writer, t.name, t, experts)
    for layer in range(layers):
        for name, t in blocks.items():
            add_info(writer, f"blk.{layer}.{name}", t, experts)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    size = path.stat().st_size
    data = sum(-(-i.nbytes // 32) * 32 for shard in writer.tensors for i in shard.values())
    os.truncate(path, -(-size // 32) * 32 + data)       # a hole: zeros


def add_info(writer, name, t, experts):
    shape = wide_shape(name, [int(n) for n in reversed(t.shape)], experts)
    writer.add_tensor_info(name, shape, np.dtype(np.float32), 4 * int(np.prod(shape)))


def make_imatrix(reader, path):
    """Statistics as llama-imatrix writes them: of every matrix in the blocks."""
    rng = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, "none")
    writer.add_string("general.type", "imatrix")
    writer.add_array("imatrix.datasets", ["some text.txt", "another"])
    writer.add_uint32("imatrix.chunk_count", 5)
    writer.add_uint32("imatrix.chunk_size", 512)
    for t in sorted(reader.tensors, key=lambda t: t.name):
        if not t.name.startswith("blk.") or not t.name.endswith(".weight") or len(t.shape) < 2:
            continue
        experts = int(t.shape[2]) if len(t.shape) > 2 else 1
        counts = rng.integers(1, 2560, size=(experts, 1)).astype(np.float32)
        sums = (rng.lognormal(size=(experts, int(t.shape[0]))) * counts).astype(np.float32)
        writer.add_tensor(t.name + ".in_sum2", sums)
        writer.add_tensor(t.name + ".counts", counts)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# ---- what both say

LINE = re.compile(r"^\[ *\d+/ *\d+\] (\S+) +- \[.*?\], type = +(\S+), size = +[^(\n]*(?:\((\S+)\))?", re.M)


def theirs(source, mix, options):
    code, said = run(QUANTIZE, "--dry-run", *options, source, mix.upper())
    if "no tensor type fallback is defined" in said:
        return None         # they end there; we take f16
    if code:
        raise RuntimeError(f"llama-quantize {mix} {options}: exit {code}: {said[-400:]}")
    return {name: (new or old).lower() for name, old, new in LINE.findall(said)}


def ours(source, mix, options):
    said = json.loads(planish("convert", source, "--type", mix, "--dry-run", "--json", *options).stdout)
    return {t["name"]: t["type"] for t in said["tensors"]}


def differences(a, b):
    return [f"{name}: ours {a.get(name)}, theirs {b.get(name)}" for name in sorted(a.keys() | b.keys())
            if a.get(name) != b.get(name)]


def show(what, found):
    for line in found[:SHOWN]:
        print(f"  {what}: {line}")
    if len(found) > SHOWN:
        print(f"  {what}: and {len(found) - SHOWN} more")
    return len(found)


def compare_types(source, imatrix):
    count = problems = 0
    for mix in MIXES:
        for name, our_options, their_options in (
                ("plain", [], []), ("pure", ["--pure"], ["--pure"]),
                ("stats", ["--stats", imatrix], ["--imatrix", imatrix])):
            want = theirs(source, mix, their_options)
            if want is None:
                continue
            count += 1
            problems += show(f"{mix} {name}", differences(ours(source, mix, our_options), want))
    return count, problems


KEYS = ("general.file_type", "general.quantization_version", "quantize.imatrix.file", "quantize.imatrix.dataset",
        "quantize.imatrix.entries_count", "quantize.imatrix.chunks_count")


def facts(path):
    reader = gguf.GGUFReader(path)
    keys = {k: (reader.fields[k].types, value_of(reader.fields[k])) if k in reader.fields else None for k in KEYS}
    return keys | {t.name: (t.tensor_type.name, t.data.tobytes()) for t in reader.tensors}


def compare_files(source, imatrix, work):
    count = problems = 0
    for mix in WRITTEN:
        for options, peer in (([], []), (["--pure"], ["--pure"]), (["--stats", imatrix], ["--imatrix", imatrix])):
            a, b = work / "ours.gguf", work / "theirs.gguf"
            planish("convert", source, "-o", a, "--type", mix, "--encoder", "reference", "--force", *options)
            code, said = run(QUANTIZE, *peer, source, b, mix.upper())
            if code:
                raise RuntimeError(f"llama-quantize {mix}: exit {code}: {said[-400:]}")
            x, y = facts(a), facts(b)
            wrong = [k for k in sorted(x.keys() | y.keys()) if x.get(k) != y.get(k)]
            count += 1
            problems += show(f"{mix} {' '.join(options[:1])} file", [
                f"{k}: ours {x.get(k)}, theirs {y.get(k)}" if k in KEYS else f"bytes of {k}" for k in wrong])
    return count, problems


def main():
    work, names = pathlib.Path(sys.argv[2]), sys.argv[3:]
    work.mkdir(parents=True, exist_ok=True)
    models = sorted(TINY.iterdir()) + [ROOT / "calib-data" / "stories260k"]
    if os.environ.get("PLANISH_SMOLLM2"):
        models.append(pathlib.Path(os.environ["PLANISH_SMOLLM2"]))
    failures = 0
    for folder in models:
        if names and folder.name not in names:
            continue
        source, imatrix, wide = work / "source.gguf", work / "stats.gguf", work / "wide.gguf"
        planish("convert", folder, "-o", source, "--type", "f32", "--force")
        reader = gguf.GGUFReader(source)
        make_imatrix(reader, imatrix)
        rows = [("as it is", *compare_types(source, imatrix))]
        if source.stat().st_size < 1 << 24:
            rows.append(("written", *compare_files(source, imatrix, work)))
        for layers, experts in DEEP.get(folder.name, [(16, 0)]) if folder.parent == TINY else []:
            widen(reader, wide, layers, experts)
            make_imatrix(gguf.GGUFReader(wide), imatrix)
            title = f"{layers} wide layers" + (f" of {experts} experts" if experts else "")
            rows.append((title, *compare_types(wide, imatrix)))
        bad = sum(r[2] for r in rows)
        failures += bad > 0
        print(f"{folder.name:16} " + "; ".join(f"{r[0]}: {r[1]} compared, {r[2]} differences" for r in rows), flush=True)
    return failures


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
