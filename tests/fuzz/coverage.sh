#!/usr/bin/env bash
# coverage.sh: how many lines of the parsers the unit tests and the committed fuzzing inputs reach: a table
# per file, of formats/, core/json*.c, core/recipe.c and the tokenizer.
#
# usage: tests/fuzz/coverage.sh [FILE...]     with files: also the lines of these that nothing reached
#
# Needs clang and llvm (./install.sh test). Builds in $PLANISH_COVERAGE_BUILD (default: build-coverage).
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${PLANISH_COVERAGE_BUILD:-build-coverage}
if [ ! -e "$build/build.ninja" ]; then
    CC=clang meson setup "$build" -Dtests=enabled -Dbuildtype=debug -Db_lundef=false \
        -Dc_args="-fprofile-instr-generate -fcoverage-mapping" -Dc_link_args=-fprofile-instr-generate >/dev/null
fi
log=$(ninja -C "$build" -k 0 2>&1) || echo "$log" | grep -E 'FAILED|error'
rm -rf "$build/profiles"
mkdir "$build/profiles"
LLVM_PROFILE_FILE=$(cd "$build" && pwd)/profiles/%p-%m.profraw meson test -C "$build" --no-rebuild --quiet \
    --timeout-multiplier 4 --suite unit --suite fuzz >/dev/null || echo "some tests failed"
find "$build/profiles" -name '*.profraw' >"$build/profiles/list"
llvm-profdata merge -sparse -f "$build/profiles/list" -o "$build/profiles/all"
objects=("$build/tests/fuzz/replay")
for program in "$build"/tests/unit/test_*; do
    [ ! -f "$program" ] || objects+=(-object "$program")
done
llvm-cov export -summary-only -instr-profile "$build/profiles/all" "${objects[@]}" | python3 -c '
import json, os, re, sys
wanted = re.compile(r"formats/\w+\.c|core/(json\w*|recipe)\.c|runtime-check/(pretokenize|tokenizer\w*)\.c")
files = [(os.path.relpath(f["filename"]), f["summary"]["lines"]) for f in json.load(sys.stdin)["data"][0]["files"]]
rows = sorted((name, lines) for name, lines in files if wanted.fullmatch(name))
print("%-36s %6s %8s %7s" % ("file", "lines", "reached", "%"))
for name, lines in rows + [("all", {k: sum(l[k] for _, l in rows) for k in ("count", "covered")})]:
    print("%-36s %6d %8d %7.1f" % (name, lines["count"], lines["covered"], 100 * lines["covered"] / lines["count"]))'
for file; do
    echo "$file:"
    llvm-cov show -instr-profile "$build/profiles/all" "${objects[@]}" |
        sed -n "\\#/$file:\$#,/^\$/p" | grep -E '^ +[0-9]+\| +0\|' || true
done
