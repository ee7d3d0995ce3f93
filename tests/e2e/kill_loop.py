"""kill_loop.py: kills a conversion again and again, goes on with it, and compares with an undisturbed one.

usage: kill_loop.py [options] OUT -- PLANISH convert MODEL ...      the command without -o and --resume
  --kills N     kills (SIGKILL) at random moments, over the whole time that an undisturbed run takes
  --seed N      of the moments
  --calls LIB   instead: kills before the file system's calls, one after another, which LIB (kill_at.c) counts;
  --points N    with --calls: only N of them, half spread over all, half the last ones, where files get their names
  --parts N     in N shares, which are merged then; the merge is killed too
  --over OPTIONS  OUT is there already, made with these options more, and is replaced (--force)
  --json FILE   what was done, as JSON

Works in two new folders, ref and run, below the one at hand. After each kill what stands under a final name must be
whole, and a folder with config.json complete; at the end both folders must hold the same files with the same bytes.
"""
import argparse
import filecmp
import json
import os
import random
import shutil
import subprocess
import sys
import time

UNFINISHED = (".partial", ".partial-2", ".journal")
HEAD_BYTES = 120                # of a journal without records


def files(folder):
    found = []
    for top, _, names in os.walk(folder):
        found += [os.path.relpath(os.path.join(top, n), folder) for n in names]
    return sorted(found)


def is_final(name):
    return not name.endswith(UNFINISHED) and ".part-" not in name


class Loop:
    def __init__(self, options, command):
        self.options, self.command = options, command
        self.kills = self.fruitful = self.outputs = 0
        self.chance = random.Random(options.seed)
        for folder in ("ref", "run", "old"):
            shutil.rmtree(folder, ignore_errors=True)
            os.mkdir(folder)
        if options.over:
            self.execute(self.command + ["-o", f"old/{options.out}"] + options.over.split())
        self.execute(self.command + ["-o", f"ref/{options.out}"])
        self.expected = files("ref")
        self.seconds = self.count = None

    def steps(self):
        """The commands that make run/OUT, one after another."""
        out, parts = f"run/{self.options.out}", self.options.parts
        if not parts:
            yield self.command + ["-o", out, "--resume"] + ["--force"] * bool(self.options.over)
            return
        for i in range(1, parts + 1):
            yield self.command + ["-o", out, "--resume", "--part", f"{i}/{parts}"]
        # The first file of a set has the journals beside it.
        stem = min((f for f in files("run") if f.endswith(".journal")), default=f"{self.options.out}.part-1-of-")
        stem = stem[:stem.rindex(".part-")]
        yield [self.command[0], "merge", out, "--force"] + [f"run/{stem}.part-{i}-of-{parts}"
                                                            for i in range(1, parts + 1)]

    def fresh(self):
        shutil.rmtree("run")
        shutil.copytree("old", "run")

    def execute(self, command, **more):
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **more)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")

    def rehearse(self):
        """How long each step takes, or how many calls it makes."""
        self.fresh()
        self.seconds, self.count = [], []
        for command in self.steps():
            began = time.monotonic()
            if self.options.calls:
                self.execute(command, env={**os.environ, "LD_PRELOAD": self.options.calls, "KILL_COUNT": "count.txt"})
                with open("count.txt", encoding="ascii") as f:
                    self.count.append(int(f.read()))
                os.remove("count.txt")
            else:
                self.execute(command)
            self.seconds.append(time.monotonic() - began)
        self.compare()

    def killed(self):
        """After a kill: what is under final names?"""
        self.kills += 1
        there = files("run")
        self.fruitful += any(f.endswith(".journal") and os.path.getsize(f"run/{f}") > HEAD_BYTES for f in there)
        final = [f for f in there if is_final(f)]
        for name in final:
            whole = any(os.path.exists(f"{o}/{name}") and filecmp.cmp(f"{o}/{name}", f"run/{name}", shallow=False)
                        for o in ("ref", "old"))
            if not whole:
                sys.exit(f"kill {self.kills}: {name} is under its name and not whole")
        head = self.expected[0] if self.expected[0].endswith(".gguf") else f"{self.options.out}/config.json"
        if head in final and not any(self.all_of(o, final) for o in ("ref", "old")):
            sys.exit(f"kill {self.kills}: {head} is there, but not all that belongs to it; there are {final}")

    @staticmethod
    def all_of(folder, names):
        return names == files(folder) and not filecmp.cmpfiles(folder, "run", names, shallow=False)[1]

    def compare(self):
        there = [f for f in files("run") if not (self.options.parts and not is_final(f))]
        if there != self.expected:
            sys.exit(f"after {self.kills} kills there are {there}, expected {self.expected}")
        for name in there:
            if not filecmp.cmp(f"ref/{name}", f"run/{name}", shallow=False):
                sys.exit(f"after {self.kills} kills {name} differs")
        self.outputs += 1

    def kill_at_random(self, command, seconds):
        """Until the command has ended by itself, or was killed when all was done: then there is nothing to go on with."""
        while True:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            try:
                wait = self.chance.uniform(0, seconds) if self.kills < self.options.kills else None
                _, text = process.communicate(timeout=wait)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                self.killed()
                if files("run") == self.expected and self.all_of("ref", self.expected):
                    return
                continue
            if process.returncode:
                sys.exit(f"{' '.join(command)}: exit code {process.returncode}\n{text}")
            return

    def random_moments(self):
        while self.kills < self.options.kills:
            self.fresh()
            for command, seconds in zip(self.steps(), self.seconds):
                self.kill_at_random(command, seconds)
            self.compare()

    def points(self):
        """Numbers of calls, counted over all steps."""
        total, wanted = sum(self.count), self.options.points
        if not wanted or wanted >= total:
            return list(range(1, total + 1))
        spread = {1 + i * total // (wanted // 2) for i in range(wanted // 2)}
        return sorted(spread | set(range(total - (wanted - wanted // 2) + 1, total + 1)))

    def calls(self):
        for point in self.points():
            self.fresh()
            for command, count in zip(self.steps(), self.count):
                if 0 < point <= count:
                    env = {**os.environ, "LD_PRELOAD": self.options.calls, "KILL_AT": str(point)}
                    done = subprocess.run(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                    if done.returncode not in (0, -9):
                        sys.exit(f"call {point} of {' '.join(command)}: exit code {done.returncode}")
                    if done.returncode:         # a quicker run than the one that was counted notes less often
                        self.killed()
                point -= count
                self.execute(command)
            self.compare()

    def report(self):
        o = self.options
        cpu = os.environ.get("PLANISH_CPU")
        words = [f"PLANISH_CPU={cpu}"] * bool(cpu) + ["planish"]
        words += [os.path.basename(w) if os.path.isabs(w) else w for w in self.command[1:]]
        return {"command": " ".join(words), "out": o.out, "parts": o.parts, "over": o.over,
                "moments": "before calls of the file system" if o.calls else "random", "seed": o.seed,
                "calls": sum(self.count) if o.calls else None,
                "seconds_undisturbed": None if o.calls else round(sum(self.seconds), 2), "kills": self.kills,
                "kills_with_finished_work": self.fruitful, "outputs": self.outputs, "files": len(self.expected),
                "identical": True}


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calls")
    parser.add_argument("--points", type=int, default=0)
    parser.add_argument("--parts", type=int, default=0)
    parser.add_argument("--over")
    parser.add_argument("--json")
    parser.add_argument("out")
    at = sys.argv.index("--")
    options = parser.parse_args(sys.argv[1:at])
    loop = Loop(options, sys.argv[at + 1:])
    loop.rehearse()
    if options.calls:
        loop.calls()
    else:
        loop.random_moments()
    report = loop.report()
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump(report, f, indent=1)
            f.write("\n")
    if loop.kills >= 20 and not loop.fruitful:
        sys.exit("no kill came when work was finished")
    print(f"{report['kills']} kills, {report['kills_with_finished_work']} of them with finished work; "
          f"{report['outputs']} outputs of {report['files']} files, all identical", file=sys.stderr)
    for folder in ("ref", "run", "old"):
        shutil.rmtree(folder)


main()
