"""symbols.py: every symbol that a library of ours shows to others begins with pl_.

usage: symbols.py SOURCE_ROOT NM LIBRARY...
"""
import subprocess
import sys

from tree import Report


def main():
    report = Report()
    checked = 0
    for library in sys.argv[3:]:
        listing = subprocess.run([sys.argv[2], "--defined-only", "--extern-only", library], check=True,
                                 capture_output=True, text=True).stdout
        for line in listing.splitlines():
            fields = line.split()
            if len(fields) != 3:
                continue
            checked += 1
            # Sanitizers and coverage add names with two underscores, which are theirs.
            if not fields[2].startswith(("pl_", "__")):
                report.add(library, checked, f"the symbol {fields[2]} should begin with pl_")
    report.end(checked)


main()
