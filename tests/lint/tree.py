"""tree.py: what the lint scripts share: the files of the repository and a C text without comments."""
import os
import re
import sys

ROOT = sys.argv[1]
SKIPPED = re.compile(r"^(\.(?!ci$)|demo-out$|models$|__pycache__$)")
PARTS = ("core", "quantizers", "compress", "formats", "runtime-check", "cli", "tests")
_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def files(*endings, under=("",)):
    """Paths relative to the root, sorted; folders that builds and demos make are left out."""
    found = []
    for start in under:
        for folder, folders, names in os.walk(os.path.join(ROOT, start)):
            if "meson-private" in folders:                  # a build folder
                folders[:] = []
                continue
            folders[:] = [f for f in folders if not SKIPPED.match(f)]
            found += [os.path.relpath(os.path.join(folder, n), ROOT) for n in names
                      if n.endswith(endings)]
    return sorted(found)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def code(text, strings=False):
    """C without comments and, unless wanted, without what stands in quotes; lines keep their numbers."""
    def blank(m):
        kept = m.group()
        if kept[0] != "/":
            return kept if strings else '""'
        return " " + "\n" * kept.count("\n")
    return _TOKEN.sub(blank, text)


class Report:
    """Collects findings; the process ends with 1 if there are any."""

    def __init__(self):
        self.found = []

    def add(self, path, line, sentence):
        self.found.append(f"{path}:{line}: {sentence}")

    def end(self, checked):
        print("\n".join(self.found))
        print(f"{checked} checked, {len(self.found)} findings")
        if not checked:
            sys.exit("nothing was there to check")
        sys.exit(1 if self.found else 0)
