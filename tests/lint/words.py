"""words.py: the repository speaks of itself alone: no paths of one machine, no private addresses.

usage: words.py SOURCE_ROOT
"""
import re

from tree import Report, files, read

TEXTS = (".c", ".h", ".py", ".sh", ".md", ".json", ".build", ".txt", ".out", ".err", "run")
MACHINE, ANY = "work|opt|root", "work|opt|root|home|tmp|var|mnt|srv|Users"
PATH = r"(?<![\w./$}}~-])/(?:{})(?:/[\w.-]*)+"
IN_TESTS, ELSEWHERE = re.compile(PATH.format(MACHINE)), re.compile(PATH.format(ANY))     # tests make paths up
# Texts that are data or quote a path on purpose.
LEFT_OUT = re.compile(r"^(calib-data/|tests/lint/words\.py$)")


def main():
    report = Report()
    paths = [p for p in files(*TEXTS) if not LEFT_OUT.match(p)]
    for path in paths:
        pattern = IN_TESTS if path.startswith("tests/") else ELSEWHERE
        for number, line in enumerate(read(path).split("\n"), 1):
            m = pattern.search(line)
            if m:
                report.add(path, number, f"'{m.group()}' is a path of one machine")
    report.end(len(paths))


main()
