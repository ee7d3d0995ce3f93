#!/usr/bin/env bash
# run.sh: fuzzes every target (or those named) for so many minutes each, one after the other, and prints
# what came of all runs so far.
#
# usage: tests/fuzz/run.sh [MINUTES [TARGET...]]     default: 5 minutes each
#        tests/fuzz/run.sh --keep                    the least of what was found that reaches everything
#                                                    becomes tests/fuzz/corpus/
#
# Needs clang with libFuzzer (./install.sh fuzz). The growing corpus, findings and the history lie in $PLANISH_FUZZ_WORK (default:
# build-fuzz/work), so that the next run goes on where this one ended. Ends with 1 if a target broke.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/fuzz build=${PLANISH_FUZZ_BUILD:-build-fuzz}
work=${PLANISH_FUZZ_WORK:-$build/work}
all=(json recipe safetensors index config tokenizer sp_model gguf split folder imatrix layout pack memory)
flags="-fsanitize=fuzzer-no-link -fno-sanitize-recover=undefined"

if [ ! -e "$build/build.ninja" ]; then
    CC=clang meson setup "$build" -Dtests=enabled -Dbuildtype=debugoptimized -Db_lundef=false \
        -Db_sanitize=address,undefined -Dc_args="$flags" >/dev/null
fi
compile() { log=$(ninja -C "$build" "$@" 2>&1) || echo "$log" | grep -E 'FAILED|error' || true; }
compile tests/fuzz/fuzzer
mkdir -p "$work"
[ -e "$work/seeds" ] || compile tests/fuzz/seeds cli/planish
[ -e "$work/seeds" ] || python3 $here/make_seeds.py "$work/seeds" "$build/cli/planish" "$build/tests/fuzz/seeds"

tmp=$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)/planish-fuzz-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
export PLANISH_FUZZ_TMP=$tmp

longest() { # bytes of an input worth trying
    case $1 in
    json | recipe | config) echo 8192 ;;
    pack) echo 32768 ;;
    *) echo 24576 ;;
    esac
}

dictionary() {
    case $1 in
    gguf | split | imatrix | memory) echo $here/dict/gguf.dict ;;
    sp_model) echo $here/dict/tokenizer.dict ;;
    *) echo $here/dict/$1.dict ;;
    esac
}

fuzz() { # target, seconds
    local target=$1 log="$work/$1.log" corpus="$work/corpus/$1" found="$work/found/$1" seeds=() words=() code=0
    mkdir -p "$corpus" "$found"
    for folder in "$here/corpus/$target" "$work/seeds/$target"; do [ ! -d "$folder" ] || seeds+=("$folder"); done
    [ ! -e "$(dictionary "$target")" ] || words=("-dict=$(dictionary "$target")")
    local TIMEFORMAT='cpu: %U %S'
    { time PLANISH_FUZZ=$target "$build/tests/fuzz/fuzzer" "$corpus" "${seeds[@]}" "${words[@]}" \
        -max_total_time="$2" -max_len="$(longest "$target")" -timeout=10 -malloc_limit_mb=80 -rss_limit_mb=3000 \
        -print_final_stats=1 -artifact_prefix="$found/" >"$log" 2>&1; } 2>"$log.time" || code=$?
    python3 $here/table.py add "$work/history.jsonl" "$target" "$log" "$code"
    [ $code -ne 0 ] || return 0
    echo "$target broke ($found):"
    grep -vE '^#' "$log" | grep -E 'ERROR|error:|not true|SUMMARY|grow by' | head -8
    return $code
}

keep() { # target
    local folder=$here/corpus/$1 control="$tmp/control"
    mkdir -p "$work/corpus/$1" "$folder" "$tmp/none"
    rm -rf "$control" "$tmp/keep"
    mkdir "$tmp/keep"
    PLANISH_FUZZ=$1 "$build/tests/fuzz/fuzzer" -merge=1 -use_counters=0 -max_len="$(longest "$1")" \
        -merge_control_file="$control" "$tmp/none" "$folder" "$work/seeds/$1" "$work/corpus/$1" >"$work/$1.merge.log" 2>&1
    rm -r "$tmp/none"
    python3 $here/table.py pick "$control" | while read -r file; do
        cp "$file" "$tmp/keep/$(sha1sum "$file" | cut -d' ' -f1)"
    done
    # What has a name of its own stays: regressions and inputs made by hand.
    find "$folder" -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -delete
    cp "$tmp/keep"/* "$folder"/
    echo "$1: $(find "$folder" -type f | wc -l) inputs, $(du -sb "$folder" | cut -f1) bytes"
}

if [ "${1:-}" = --keep ]; then
    shift
    [ $# -gt 0 ] || set -- "${all[@]}"
    for target; do keep "$target"; done
    exit 0
fi
minutes=${1:-5} status=0
shift || true
[ $# -gt 0 ] || set -- "${all[@]}"
for target; do fuzz "$target" $((minutes * 60)) || status=1; done
python3 $here/table.py show "$work/history.jsonl"
exit $status
