"""includes.py: who may include whom: the star of parts, one door per library, printing and exiting
only in the command line.

usage: includes.py SOURCE_ROOT
"""
import os
import re

from tree import PARTS, ROOT, Report, code, files, read

LEAVES = ("quantizers", "compress", "formats", "runtime-check")
# cli/: what else its files may include of each leaf; wire.c joins the registries.
CLI = {"runtime-check/check.h": re.compile(r"cli/cmd_\w+\.c$"),
       "runtime-check/calibrate.h": re.compile(r"cli/cmd_calibrate\.c$"),
       "runtime-check/probe.h": re.compile(r"cli/target_loss\.c$"),
       "formats/imatrix.h": re.compile(r"cli/wire\.c$"),
       "formats/registry.h": re.compile(r"cli/wire\.c$"),
       "quantizers/registry.h": re.compile(r"cli/wire\.c$"),
       "compress/registry.h": re.compile(r"cli/wire\.c$")}
# Header -> files that may include it.
DOORS = {
    r"cblas\.h|lapacke?\.h|openblas.*": r"core/linalg\.[ch]",
    r"yajl/.*": r"core/json_?\w*\.[ch]",
    r"xxhash\.h": r"core/hash\.c",
    r"openssl/.*": r"core/sha\.c",
    r"zstd\w*\.h": r"core/zst\.c",
    r"pcre2.*|utf8proc\.h": r"core/text\.c",
    r"popt\.h": r"cli/opts\.c",
    r"mpi\.h": r"cli/ranks\.c",
    r"liburing\.h": r"core/reader\.c",
    r"sys/mman\.h|sys/statvfs\.h": r"core/(fs|outfile|reader|resident)\.c",
    r"fcntl\.h": r"core/(fs|outfile|reader)\.c|cli/child\.c",
    r"sys/wait\.h|sys/prctl\.h|spawn\.h": r"cli/child\.c",
    r".*intrin\.h": r".*_(avx2|avx512|vnni|simd|neon)\w*\.c|core/dtype_simd\.h|quantizers/lanes\.h",
}
# Calls -> files that may make them; everything outside cli/ and tests/ is held to this.
CALLS = {
    r"v?f?printf|puts|fputs|putchar|fputc|putc|perror|fwrite": None,
    r"exit|_exit|_Exit|quick_exit|abort": None,
    r"open|openat|creat|pread|pwrite|mmap|munmap|read|write|rename|unlink": r"core/(fs|outfile|reader|resident)\.c",
    r"fopen|fread|fgets": r"core/(fs|cpu)\.c",
    r"malloc|calloc|realloc|free|strdup|aligned_alloc|posix_memalign": r"core/(mem|fs)\.c",
    # Filling a table once is everybody's; threads and locks are not.
    r"pthread_(?!once)\w+|thrd_\w+|mtx_\w+": r"core/(keep|linalg|log|pool|reader|work)\.c",
}


def part(path):
    return path.split("/")[0]


def allowed(path, target):
    """May the file at path include the project's header target?"""
    mine, theirs = part(path), part(target)
    if mine == "tests":
        return True
    if theirs in ("core", mine):
        return True
    return mine == "cli" and target in CLI and bool(CLI[target].match(path))


def check_include(report, path, line, quoted, target):
    if quoted:
        if part(path) == "tests" and os.path.exists(os.path.join(ROOT, os.path.dirname(path), target)):
            return
        if part(target) not in PARTS:
            report.add(path, line, f'"{target}" should be named from the root of the sources')
        elif not allowed(path, target):
            report.add(path, line, f"{part(path)}/ may not include {target}")
        return
    if part(path) == "tests":
        return
    for headers, door in DOORS.items():
        if re.fullmatch(headers, target) and not re.fullmatch(door, path):
            report.add(path, line, f"<{target}> enters only through {door}")


def check_calls(report, path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("#"):
            continue
        for calls, door in CALLS.items():
            m = re.search(rf"(?<![\w.>])({calls})\s*\(", line)
            if m and not (door and re.fullmatch(door, path)):
                report.add(path, number, f"{m.group(1)}() is called only in {door or 'cli/'}")


def main():
    report = Report()
    paths = files(".c", ".h", under=PARTS)
    for path in paths:
        text = code(read(path), strings=True)
        for number, line in enumerate(text.split("\n"), 1):
            m = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
            if m:
                check_include(report, path, number, m.group(1) == '"', m.group(2))
        if part(path) not in ("cli", "tests"):
            check_calls(report, path, code(read(path)))
    report.end(len(paths))


main()
