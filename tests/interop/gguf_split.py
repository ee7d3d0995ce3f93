"""Models in several GGUF files: ours read by the gguf package and by llama.cpp, the gguf package's read by us.

Usage: gguf_split.py PLANISH WORK_FOLDER. Models: calib-data/stories260k and those of tests/tiny/models that have
experts. Exit code 77 without the packages, a failure if PLANISH_NO_SKIP=1.
"""
import json
import os
import pathlib
import sys

from program import planish

try:
    import gguf
    import xllamacpp  # noqa: F401
    from llama_cpp import LlamaCpp
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
TINY = ROOT / "tests" / "tiny" / "models"
MODELS = [ROOT / "calib-data" / "stories260k"] + [TINY / n for n in ("mixtral", "qwen2_moe", "qwen3_moe")]
KINDS = ("f32", "q8_0", "q4_0")
SPLIT = ("split.no", "split.count", "split.tensors.count")
IDS = [1, 5, 9, 33, 70, 71, 72, 2, 100, 7]
failures = 0


def expect(what, found, expected):
    global failures
    if found != expected:
        failures += 1
        print(f"{what}: expected {str(expected)[:300]}, found {str(found)[:300]}")


def convert(source, target, kind, *more):
    return json.loads(planish("convert", source, "-o", target, "--type", kind, "--force", "--json", *more).stdout)


def shards(whole, count):
    return [whole.with_name(f"{whole.stem}-{i + 1:05}-of-{count:05}.gguf") for i in range(count)]


def tensors(reader):
    return {t.name: (t.tensor_type.name, [int(n) for n in t.shape], t.data.tobytes()) for t in reader.tensors}


def keys(reader):
    return {k: f.contents() for k, f in reader.fields.items() if not k.startswith("GGUF.") and k not in SPLIT}


def check_parts(what, whole, paths, limit):
    """Each file is good for the gguf package; together they are the one file."""
    one = gguf.GGUFReader(whole)
    parts = [gguf.GGUFReader(p) for p in paths]
    joined, names = {}, []
    for i, part in enumerate(parts):
        where = f"{what} file {i + 1} of {len(parts)}"
        found = [part.fields[k].contents() for k in SPLIT]
        expect(f"{where}: split keys", found, [i, len(parts), len(one.tensors)])
        kinds = [part.fields[k].types[0].name for k in SPLIT]
        expect(f"{where}: their types", kinds, ["UINT16", "UINT16", "INT32"])
        expect(f"{where}: other keys", keys(part), keys(one) if i == 0 else {})
        expect(f"{where}: within the limit", paths[i].stat().st_size <= limit or len(part.tensors) <= 1, True)
        joined |= tensors(part)
        names += [t.name for t in part.tensors]
    expect(f"{what}: order of tensors", names, [t.name for t in one.tensors])
    expect(f"{what}: tensors", joined == tensors(one), True)


def logits(path):
    model = LlamaCpp(path)
    values = list(model.logits(IDS, start=True))
    model.close()
    return values


def rewrite(whole, target, limit):
    """The same model as the gguf package splits it."""
    reader = gguf.GGUFReader(whole)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents(), split_max_size=limit)
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        kind = field.types[0]
        sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(key, field.contents(), kind, sub)
    for t in reader.tensors:
        writer.add_tensor(t.name, t.data, raw_dtype=t.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(target.parent.glob(f"{target.stem}-*-of-*.gguf"))


def check(model, kind, work):
    what = f"{model.name} {kind}"
    whole, again = work / f"{model.name}-{kind}.gguf", work / "again.gguf"
    size = convert(model, whole, kind)["bytes"]
    for limit in (size // 3, 30000, 1):
        report = convert(model, whole, kind, "--max-shard-size", limit)
        paths = shards(whole, report["files"])
        check_parts(f"{what}, at most {limit}", whole, paths, limit)
        expect(f"{what}: bytes", sum(p.stat().st_size for p in paths), report["bytes"])
        expect(f"{what}: llama.cpp's logits", logits(paths[0]) == logits(whole), True)
        expect(f"{what}: joined", convert(paths[-1], again, kind)["files"], 1)
        expect(f"{what}: joined, bytes", again.read_bytes() == whole.read_bytes(), True)
        for p in paths:
            p.unlink()
    theirs = rewrite(whole, work / "theirs.gguf", size // 4)
    expect(f"{what}: files of the gguf package", len(theirs) > 2, True)
    convert(theirs[1], again, kind)
    expect(f"{what}: of the gguf package, joined", again.read_bytes() == whole.read_bytes(), True)
    for p in theirs + [whole, again]:
        p.unlink()


def main():
    work = pathlib.Path(sys.argv[2])
    work.mkdir(parents=True, exist_ok=True)
    for model in MODELS:
        for kind in KINDS:
            check(model, kind, work)
    print(f"{failures} differences in {len(MODELS)} models, {len(KINDS)} types")
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
