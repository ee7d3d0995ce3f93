"""run.py: runs one case, a shell script with the command line as users type it, and compares its
standard output (NAME.out), standard error (NAME.err) and exit code (NAME.exit) with what is expected.

usage: run.py [--update] [--no-limits] PLANISH CASE.sh

A case runs in a fresh folder, planish on its PATH; prelude.sh has the commands that cases share. What
differs from run to run (times, speeds, folders) is replaced before the comparison (REPLACED); a line
of an expectation that begins with "~ " is a pattern for the whole line. No .err or .exit means nothing
and 0. The largest resident set of any process of the case must stay below 256 MiB, or what a line
"# memory: N MiB" in the case says (--no-limits: sanitizers need more). --update writes what came.
"""
import difflib
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SKIP = 77
REPLACED = [
    (r"\bin \d+\.\d\d s \([\d.]+ [KMGT]?i?B/s of input\)", "in T s (R/s of input)"),
    (r"at most [\d.]+ [KMG]iB of its own", "at most M of its own"),
    (r"(\d+ prompt tokens) at [\d.]+/s, (\d+ new ones) at [\d.]+/s", r"\1 at R/s, \2 at R/s"),
    (r"\.partial-\d+", ".partial-PID"),
    (r"speed +[\d.]+  tokens/s reading, [\d.]+ writing", "speed  R  tokens/s reading, R writing"),
]


def normal(text, folder):
    text = text.replace(folder, "$FOLDER").replace(ROOT, "$ROOT")
    for pattern, by in REPLACED:
        text = re.sub(pattern, by, text)
    return text


def agrees(expected, got):
    return expected == got or (expected.startswith("~ ") and re.fullmatch(expected[2:], got) is not None)


def read(path, default):
    if not os.path.exists(path):
        return default
    with open(path, encoding="utf-8") as f:
        return f.read()


def write(path, text, default):
    if text != default:
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    elif os.path.exists(path):
        os.remove(path)


def compare(path, got, default):
    """The difference as text, "" if there is none."""
    expected = read(path, default).splitlines()
    lines = got.splitlines()
    if len(expected) == len(lines) and all(map(agrees, expected, lines)):
        return ""
    # Lines that agree by their pattern are shown as equal.
    shown = [next((e for e in expected if agrees(e, line)), line) for line in lines]
    return "\n".join(difflib.unified_diff(expected, shown, os.path.basename(path), "got", lineterm="")) + "\n"


def update(path, got, default):
    """Patterns stand where they stood if their line still agrees."""
    patterns = [e for e in read(path, default).splitlines() if e.startswith("~ ")]
    lines = [next((p for p in patterns if agrees(p, line)), line) for line in got.splitlines()]
    write(path, "".join(line + "\n" for line in lines), default)


def execute(planish, script, folder, sanitized):
    """-> exit code, standard output, standard error, largest resident set in MiB."""
    env = {**os.environ, "PATH": os.path.dirname(planish) + os.pathsep + os.environ["PATH"], "LC_ALL": "C.UTF-8",
           "SOURCE": ROOT, "E2E": HERE, "PYTHON": sys.executable, "HOME": folder,
           "PLANISH_SANITIZED": "yes" if sanitized else ""}
    for name in ("PLANISH_DEBUG", "OPENBLAS_NUM_THREADS"):
        env.pop(name, None)
    done = subprocess.run(["bash", "-c", '. "$E2E/prelude.sh"; . "$1"', "case", script], cwd=folder, env=env,
                          stdin=subprocess.DEVNULL, capture_output=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    out, err = (normal(b.decode("utf-8", "replace"), folder) for b in (done.stdout, done.stderr))
    # How far slow work has come is told after some seconds only.
    err = re.sub(r"^\w+: \d+ % \(.*\)\n", "", err, flags=re.M)
    return done.returncode, out, err, peak


def main():
    options = [a for a in sys.argv[1:] if a.startswith("--")]
    planish, script = (os.path.abspath(a) for a in sys.argv[1:] if not a.startswith("--"))
    stem = os.path.splitext(script)[0]
    limit = re.search(r"^# memory: (\d+) MiB$", read(script, ""), re.M)
    limit = int(limit.group(1)) if limit else 256
    folder = os.path.realpath(tempfile.mkdtemp(prefix="planish-e2e-"))
    try:
        code, out, err, peak = execute(planish, script, folder, "--no-limits" in options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if code == SKIP:
        print("skipped: " + out + err)
        return SKIP
    results = [(".out", out, ""), (".err", err, ""), (".exit", f"{code}\n", "0\n")]
    if "--update" in options:
        for ending, got, default in results:
            update(stem + ending, got, default)
    failed = "".join(compare(stem + ending, got, default) for ending, got, default in results)
    print(failed, end="")
    print(f"largest resident set {peak:.0f} MiB, at most {limit} allowed")
    if peak > limit and "--no-limits" not in options:
        failed += "memory"
    return 1 if failed else 0


sys.exit(main())
