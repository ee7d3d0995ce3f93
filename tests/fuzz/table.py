"""table.py: the history of fuzzing runs.

usage: table.py add HISTORY TARGET LOG EXIT_CODE     a line about the run that wrote LOG (libFuzzer) and LOG.time
       table.py show HISTORY                         a table of all runs so far
       table.py json HISTORY                         the same as JSON, for docs/results
       table.py pick CONTROL                         of the inputs that libFuzzer's merging measured (its control
                                                     file), a few small ones that together reach nearly everything
"""
import json
import os
import re
import sys


def add(history, target, log, code):
    with open(log, errors="replace") as file:
        text = file.read()
    with open(log + ".time") as file:
        seconds = re.search(r"cpu: ([\d.]+) ([\d.]+)", file.read())
    counts = re.findall(r"^#(\d+)\s.*?cov: (\d+) ft: (\d+)(?: corp: (\d+))?", text, re.M)
    done = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    line = {"target": target, "executions": int(done.group(1)) if done else max((int(c[0]) for c in counts), default=0),
            "cpu_seconds": round(sum(map(float, seconds.groups())), 1) if seconds else 0,
            "edges": max((int(c[1]) for c in counts), default=0), "features": max((int(c[2]) for c in counts), default=0),
            "inputs": max((int(c[3] or 0) for c in counts), default=0), "finding": int(code) != 0}
    with open(history, "a") as file:
        file.write(json.dumps(line) + "\n")


def rows(history):
    """One entry per target: sums over its runs, and what was done since something was last found."""
    targets = {}
    for text in open(history) if os.path.exists(history) else []:
        run = json.loads(text)
        t = targets.setdefault(run["target"], {"target": run["target"], "executions": 0, "cpu_minutes": 0.0,
                                               "findings": 0, "cpu_minutes_since_finding": 0.0})
        t["executions"] += run["executions"]
        t["cpu_minutes"] += run["cpu_seconds"] / 60
        t["cpu_minutes_since_finding"] += run["cpu_seconds"] / 60
        if run["finding"]:
            t["findings"] += 1
            t["cpu_minutes_since_finding"] = 0.0
        for key in ("edges", "features", "inputs"):
            t[key] = max(run[key], t.get(key, 0))
    for t in targets.values():
        t["cpu_minutes"] = round(t["cpu_minutes"], 1)
        t["cpu_minutes_since_finding"] = round(t["cpu_minutes_since_finding"], 1)
    return list(targets.values())


def show(history):
    print(f"{'target':12} {'executions':>12} {'CPU min':>8} {'since finding':>14} {'edges':>6} {'features':>9} "
          f"{'inputs':>7} {'findings':>9}")
    for t in rows(history):
        print(f"{t['target']:12} {t['executions']:12,} {t['cpu_minutes']:8.1f} {t['cpu_minutes_since_finding']:14.1f} "
              f"{t['edges']:6} {t['features']:9} {t['inputs']:7} {t['findings']:9}")


def pick(control, budget=130000, most=60):
    """Prints paths. The next is always the one that adds most for its size."""
    with open(control) as file:
        lines = file.read().split("\n")
    count, reached = int(lines[0]), {}
    paths = lines[2:2 + count]
    for line in lines[2 + count:]:
        if line.startswith("FT "):
            index, *features = line.split()[1:]
            reached[paths[int(index)]] = set(features)
    sizes = {path: os.path.getsize(path) for path in reached}
    while budget > 0 and most > 0 and reached:
        best = max(reached, key=lambda path: len(reached[path]) / (sizes[path] + 1500))
        new = reached.pop(best)
        if not new:
            break
        print(best)
        budget -= sizes[best]
        most -= 1
        reached = {path: features - new for path, features in reached.items() if features - new}


command, arguments = sys.argv[1], sys.argv[2:]
if command == "add":
    add(*arguments)
elif command == "show":
    show(*arguments)
elif command == "pick":
    pick(*arguments)
else:
    print(json.dumps({"schema": "planish.fuzz/1", "targets": rows(*arguments)}, indent=1))
