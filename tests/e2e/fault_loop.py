"""fault_loop.py: runs one command again and again, each time with another of its calls to the system, or of its requests
for memory, failing, and holds what comes of it against an undisturbed run.

usage: fault_loop.py [options] LIBRARY -- PLANISH COMMAND ...       LIBRARY: libfail_at.so of the build
  --inputs DIR     its files lie in the folder in which the command runs, copied anew each time
  --again OPTIONS  a run that failed is followed by the same command with these options more, which must end well with the
                   undisturbed run's files ("": the same command)
  --keeps NAME     a file that a run that failed may leave in any state (but the next run must not be led astray by it)
  --others         it runs other people's programs: one that cannot be looked at is not there, and the child that is to become
                   one, which counts its calls on from ours, may fail as well, which is that program's failure
  --mask REGEX     what differs from run to run on standard output (times); as often as needed
  --codes LIST     exit codes that an undisturbed run may have (default: 0)
  --kinds LIST     only these kinds of failures
  --points N       so many calls of each kind, spread evenly over the places that make them; else each place,
  --every N        and each call, where a kind has at most N
  --json FILE      what was done, as JSON

A place is a call together with the functions that led to it. What is required of each run is written at judge().
"""
import argparse
import filecmp
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

# What fails (fail_at.c), how, and whether the user may notice.
KINDS = {
    "short-read": ("every", False), "short-write": ("every", False), "interrupted": ("every", False),
    "read-error": ("on", True), "write-error": ("on", True), "disk-full": ("on", True), "too-many-files": ("on", True),
    "no-resources": ("on", True), "memory": ("on", True), "output-full": (None, True),
}
UNFINISHED = re.compile(r"\.partial|\.partial-2|\.journal|\.part-\d+-of-\d+(\.journal)?|\.partial-\d+")
SECONDS = 60


def files(folder):
    found = {}
    for top, folders, names in os.walk(folder):
        for name in names + [f + "/" for f in folders]:
            path = os.path.join(top, name)
            found[os.path.relpath(path, folder) + "/" * name.endswith("/")] = path
    return found


def is_final(name):
    return not re.search(rf"({UNFINISHED.pattern})$", name)


def same(a, b):
    """Of journals two are never the same: each has a number that is drawn for it."""
    return a.endswith(("/", ".journal")) or filecmp.cmp(a, b, shallow=False)


class Loop:
    def __init__(self, options, command):
        self.options, self.command = options, command
        self.work = tempfile.mkdtemp(prefix="planish-faults-")
        self.folder = {name: os.path.join(self.work, name) for name in ("old", "ref", "run")}
        if options.inputs:
            shutil.copytree(options.inputs, self.folder["old"])
        else:
            os.mkdir(self.folder["old"])
        self.codes = [int(c) for c in options.codes.split(",")]
        fields = ("calls", "places", "runs", "struck", "refused", "resumed", "wrong")
        self.counts = {kind: dict.fromkeys(fields, 0) for kind in KINDS}
        self.reference()

    def fresh(self, name="run"):
        shutil.rmtree(self.folder[name], ignore_errors=True)
        shutil.copytree(self.folder["old"], self.folder[name])

    def run(self, env=None, more=(), name="run", stdout=subprocess.PIPE):
        """-> exit code (None: did not end), what it wrote."""
        try:
            done = subprocess.run(self.command + list(more), cwd=self.folder[name], env={**os.environ, **(env or {})},
                                  stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, timeout=SECONDS)
        except subprocess.TimeoutExpired as e:
            return None, e.stdout, (e.stderr or b"").decode("utf-8", "replace")
        out = done.stdout
        for mask in self.options.mask if out else []:
            out = re.sub(mask.encode(), b"*", out)
        return done.returncode, out, done.stderr.decode("utf-8", "replace")

    def reference(self):
        self.fresh("ref")
        listed = os.path.join(self.work, "list.txt")
        self.code, self.out, err = self.run({"LD_PRELOAD": self.options.library, "FAIL_LIST": listed}, name="ref")
        if self.code not in self.codes:
            sys.exit(f"{' '.join(self.command)}: exit code {self.code}\n{err}")
        self.old, self.ref = files(self.folder["old"]), files(self.folder["ref"])
        self.calls = {kind: [] for kind in KINDS}
        with open(listed, encoding="ascii") as f:
            for line in f:
                name, callers, *kinds = line.split()
                for kind in kinds:
                    self.calls[kind].append((name, callers))
        # Names that a sentence may speak of.
        words = [w for w in self.command[2:] if not w.startswith("-")] + list(self.ref)
        for word in list(words):
            if os.path.isdir(os.path.join(self.folder["ref"], word)):
                words += os.listdir(os.path.join(self.folder["ref"], word))
        self.names = {os.path.basename(w.rstrip("/")) for w in words if os.path.basename(w.rstrip("/"))}

    # ---- what fails ----

    def points(self, kind):
        """Numbers of calls."""
        seen, places = set(), []
        for i, call in enumerate(self.calls[kind], 1):
            if call not in seen:
                seen.add(call)
                places.append(i)
        self.counts[kind]["calls"], self.counts[kind]["places"] = len(self.calls[kind]), len(places)
        wanted = self.options.points
        if wanted:
            spread = {places[i * len(places) // wanted] for i in range(wanted)} | {places[-1]} if places else ()
            return sorted(spread)
        return list(range(1, len(self.calls[kind]) + 1)) if len(self.calls[kind]) <= self.options.every else places

    def go(self):
        for kind in self.options.kinds.split(","):
            if kind == "output-full":
                self.output_full()
                continue
            more, visible = KINDS[kind]
            points = self.points(kind)
            ways = [("once", p) for p in points] + [(more, p) for p in (points if visible else points[:1])]
            for how, point in ways:
                self.one(kind, how, point)

    def one(self, kind, how, point):
        told = os.path.join(self.work, "told.txt")
        if os.path.exists(told):
            os.remove(told)
        self.fresh()
        code, out, err = self.run({"LD_PRELOAD": self.options.library, "FAIL_KIND": kind, "FAIL_HOW": how,
                                   "FAIL_AT": str(point), "FAIL_TOLD": told})
        calls = []
        if os.path.exists(told):
            with open(told, encoding="ascii") as f:
                calls = f.read().split()
        count = self.counts[kind]
        count["runs"] += 1
        count["struck"] += bool(calls)
        count["refused"] += code not in self.codes
        place = f"{kind} {how} {point} ({' '.join(calls[:3])}{' ...' * (len(calls) > 3)})"
        wrong = self.judge(kind, how, calls, code, out, err)
        if not wrong and code not in self.codes and self.options.again is not None:
            wrong = self.again(count)
        if wrong:
            self.note(kind, f"{place}: {wrong}; exit code {code}: {err.strip()[-400:]}")

    def output_full(self):
        """Standard output is a full device."""
        if not self.out:
            return
        self.fresh()
        with open("/dev/full", "wb") as full:
            code, _, err = self.run(stdout=full)
        self.counts["output-full"]["runs"] += 1
        self.counts["output-full"]["struck"] += 1
        self.counts["output-full"]["refused"] += code not in self.codes
        if code != 4 or "standard output" not in err:
            self.note("output-full", f"standard output is full: exit code {code}: {err.strip()[-400:]}")

    # ---- what comes of it ----

    def judge(self, kind, how, calls, code, out, err):
        """What is wrong with a run, or "". """
        visible = KINDS[kind][1]
        if code is None:
            return "does not end"
        if code < 0:
            return f"signal {-code}"
        if self.options.others and (calls[:1] == ["stat64"] and code == 0 or calls[:2] == ["open64", "read"] and code == 1):
            return ""
        if code in self.codes:
            there = files(self.folder["run"])
            if code != self.code:
                return f"ends with {code}, not {self.code}"
            if out != self.out:
                return "other standard output"
            lasting = {n for n in there if n not in self.ref and not self.may_stay(n, calls, code)}
            if lasting or set(self.ref) - set(there):
                return f"other files: {sorted(lasting)} more, {sorted(set(self.ref) - set(there))} less"
            return next((f"{n} differs" for n in self.ref if not same(self.ref[n], there[n])), "")
        if not visible:
            return "should not be noticed"
        # What may or may not be there and cannot be looked at is missed when it is opened; where popt has no memory for
        # the list of arguments it forgets them.
        if code == 3 and set(calls) <= {"stat64", "lstat64"} or code == 2 and kind == "memory" and "argument is missing" in err:
            return self.left(kind, how, calls, err)
        if code != 4:
            return "another exit code than 4"
        return self.sentence(kind, calls, err) or self.left(kind, how, calls, err)

    def sentence(self, kind, calls, err):
        lines = [line for line in err.splitlines() if line.startswith("planish: ")]
        if len(lines) != 1 or not err.rstrip().endswith(lines[0]):
            return f"{len(lines)} sentences"
        resources = "memory" in lines[0] or "thread" in lines[0]
        if kind == "memory" and "cannot start thread" not in lines[0]:
            return "" if "memory" in lines[0] else "the sentence does not speak of memory"
        if resources or "standard output" in lines[0] or any(name in lines[0] for name in self.names):
            return ""
        if set(calls) <= {"fork", "pipe2", "open64"} and "cannot be started" in lines[0]:
            return ""
        return "the sentence names no file"

    def may_stay(self, name, calls, code):
        """A temporary file whose removal failed."""
        return not is_final(name) and "unlink" in calls or name.endswith("/") and "rmdir" in calls

    def left(self, kind, how, calls, err):
        """What stands in the folder after a failure."""
        there = files(self.folder["run"])
        new = [n for n in there if n not in self.old]
        final = [n for n in there if is_final(n) and not n.endswith("/") and n != self.options.keeps]
        for name in final:
            whole = any(name in f and same(f[name], there[name]) for f in (self.old, self.ref))
            if not whole:
                return f"{name} is under its name and not whole"
        unfinished = [n for n in new if not is_final(n)]
        fresh = [n for n in final if n in self.ref and (n not in self.old or not same(self.old[n], there[n]))]
        complete = all(n in there and same(self.ref[n], there[n]) for n in self.ref)
        self.complete = complete
        if complete and not unfinished:
            return ""
        if fresh and how == "once" and "fsync" not in calls:
            return f"{fresh} under their names after a failure"
        if unfinished and not any(c in ("unlink", "rmdir") for c in calls):
            if kind == "memory" and self.options.again != "":     # what the same command goes on with is wanted
                return f"{unfinished} left"
            if "--resume" not in err and self.options.again == "--resume":
                return f"{unfinished} left, the sentence does not say so"
            if any(re.search(r"\.partial-\d+$", n) for n in unfinished):
                return f"{unfinished} left for nobody"
        if [n for n in new if n.endswith("/")] and not unfinished and not fresh and "rmdir" not in calls:
            return "an empty folder left"
        return ""

    def again(self, count):
        """After a failure: the same with --resume, or what else goes on."""
        if self.complete:
            return ""
        code, _, err = self.run(more=self.options.again.split())
        count["resumed"] += 1
        there = files(self.folder["run"])
        wrong = [n for n in self.ref if n not in there or not same(self.ref[n], there[n])]
        more = [n for n in there if n not in self.ref and not re.search(r"\.partial-\d+$", n)]
        if code != self.code or wrong or more:
            return f"then again: exit code {code}, {wrong} differ, {more} more: {err.strip()[-300:]}"
        return ""

    def note(self, kind, text):
        self.counts[kind]["wrong"] += 1
        print(text, file=sys.stderr, flush=True)

    def report(self):
        words = ["planish"] + [os.path.basename(w) if os.path.isabs(w) else w for w in self.command[1:]]
        return {"command": " ".join(words), "again": self.options.again,
                "kinds": {k: c for k, c in self.counts.items() if c["runs"]}}


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--inputs")
    parser.add_argument("--again")
    parser.add_argument("--keeps")
    parser.add_argument("--others", action="store_true")
    parser.add_argument("--mask", action="append", default=[])
    parser.add_argument("--codes", default="0")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--points", type=int, default=0)
    parser.add_argument("--every", type=int, default=0)
    parser.add_argument("--json")
    parser.add_argument("library")
    at = sys.argv.index("--")
    options = parser.parse_args(sys.argv[1:at])
    options.library = os.path.abspath(options.library)
    loop = Loop(options, sys.argv[at + 1:])
    try:
        loop.go()
    finally:
        shutil.rmtree(loop.work)
    report = loop.report()
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump(report, f, indent=1)
            f.write("\n")
    total = {key: sum(c[key] for c in loop.counts.values()) for key in ("runs", "struck", "refused", "resumed", "wrong")}
    print(f"{total['runs']} runs, {total['struck']} met a failure, {total['refused']} ended with it, "
          f"{total['resumed']} were gone on with; {total['wrong']} wrong", file=sys.stderr)
    if not total["struck"]:
        sys.exit("no failure was met")
    sys.exit(1 if total["wrong"] else 0)


main()
