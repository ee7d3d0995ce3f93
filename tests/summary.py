"""summary.py: one table over the logs of several `meson test` runs, and the closing line."""
import json
import sys

seconds, logs = sys.argv[1], sys.argv[2:]
counts = {"OK": 0, "SKIP": 0}
failed = 0
print(f"\n{'suite':32} {'tests':>6} {'failed':>7} {'skipped':>8} {'seconds':>8}")
for path in logs:
    try:
        lines = [json.loads(line) for line in open(path)]
    except OSError:
        lines = []
    bad = [t for t in lines if t["result"] not in ("OK", "SKIP", "EXPECTEDFAIL")]
    skipped = [t for t in lines if t["result"] == "SKIP"]
    name = path.replace("/meson-logs/", ": ").replace(".json", "")
    print(f"{name:32} {len(lines):6} {len(bad):7} {len(skipped):8} {sum(t['duration'] for t in lines):8.1f}")
    for t in bad:
        print(f"    {t['result']}: {t['name']}")
    for t in skipped:
        print(f"    skipped: {t['name']}")
    if not lines:
        print("    no test ran")
        failed += 1
    counts["OK"] += len(lines) - len(bad) - len(skipped)
    counts["SKIP"] += len(skipped)
    failed += len(bad)
print(f"\nall in {seconds} s")
print(f"{counts['OK']} passed, {failed} failed, {counts['SKIP']} skipped")
sys.exit(1 if failed else 0)
