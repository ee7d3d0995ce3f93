"""style.py: length, purpose line, guards, blanks and unfinished marks of every source file.

usage: style.py SOURCE_ROOT
"""
import os
import re

from tree import PARTS, Report, files, read

MAX_LINES, MAX_COLUMNS, MAX_TEST_COLUMNS = 600, 120, 130      # tests hold more data
# Tables whose rows read better whole than broken.
LONG_LINES = {
    "cli/": re.compile(r'^\s*\{ "[a-z0-9-]+", (0|\'.\'), PL_OPT_|^\s*if \(code == PL_OK.*= row\(table, "'),
}
MARKS = re.compile(r"\b(" + "TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")


def purpose(path, first, second):
    """The first line is a comment that says what the file is for; in C and shell it names the file."""
    if path.endswith(".py"):
        return re.match(r'"""\S+( \S+){2}', second if first.startswith("#!") else first)
    if path.endswith(".sh") and first.startswith("#!"):
        first = second
    start = "# " if path.endswith(".sh") else "/* "
    return re.match(re.escape(start + os.path.basename(path)) + r": \S", first)


def check(report, path, text):
    lines = text.split("\n")
    if lines[-1] or (len(lines) > 1 and not lines[-2]):
        report.add(path, len(lines), "should end with one line end")
    if len(lines) - 1 > MAX_LINES:
        report.add(path, len(lines) - 1, f"longer than {MAX_LINES} lines")
    if not purpose(path, lines[0], lines[1] if len(lines) > 1 else ""):
        report.add(path, 1, f"the first line should say '{os.path.basename(path)}: its purpose'")
    exempt = next((rows for under, rows in LONG_LINES.items() if path.startswith(under)), None)
    columns = MAX_TEST_COLUMNS if path.startswith("tests/") else MAX_COLUMNS
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            report.add(path, number, "a tab")
        if line != line.rstrip():
            report.add(path, number, "blanks at the end")
        if len(line) > columns and not (exempt and exempt.match(line)):
            report.add(path, number, f"{len(line)} columns, at most {columns}")
        if MARKS.search(line):
            report.add(path, number, "an unfinished mark")
    if path.endswith(".h"):
        guard = re.sub(r"\W", "_", path).upper()
        if f"#ifndef {guard}\n#define {guard}\n" not in text or not text.endswith("#endif\n"):
            report.add(path, 1, f"the include guard should be {guard}")


def main():
    report = Report()
    paths = files(".c", ".h", under=PARTS) + files(".py", ".sh")
    for path in paths:
        check(report, path, read(path))
    report.end(len(paths))


main()
