# recipe.sh: rules that hold, and recipes that say something that cannot be meant.
recipe() {
    printf '%s' "$1" > recipe.json
    echo "$1"
    planish convert "$stories" --recipe recipe.json --dry-run -j 2 --json > plan.json || { echo "[exit $?]"; return; }
    ask plan.json '{t: [x["type"] for x in d["tensors"]].count(t) for t in sorted({x["type"] for x in d["tensors"]})}'
}
recipe '{"schema": "planish.recipe/1", "type": "q4_0"}'
recipe '{"type": "q4_0", "rules": [{"role": "attn_v", "layers": "0-1", "type": "q8_0"}]}'
recipe '{"type": "q4_0", "rules": [{"role": "attn_v", "layers": "3-", "type": "q8_0"}, {"layers": "4", "type": "q5_0"}]}'
recipe '{"type": "q4_0", "rules": [{"name": "model.layers.*.mlp.up_proj.weight", "type": "bf16"}]}'
recipe '{"type": "f32", "method": "copy"}'
recipe '{"type": "f16", "method": "copy"}'
recipe '{"type": "q4_0", "rules": [{"role": "attn_v", "layers": "5-9", "type": "q8_0"}]}'
recipe '{"type": "q4_0", "rule": []}'
recipe '{"type": "q4_0", "rules": [{"role": "attn_v", "typ": "q8_0"}]}'
recipe '{"type": "q4_0", "rules": [{"role": "attention", "type": "q8_0"}]}'
recipe '{"type": "q4_0", "rules": [{"role": "attn_v", "type": "q3_k_xl"}]}'
recipe '{"type": "q4_0", "rules": [{"role": "attn_v", "layers": "4-2", "type": "q8_0"}]}'
recipe '{"type": "q4_0", "rules": [{"role": "attn_v", "layers": 4, "type": "q8_0"}]}'
recipe '{"type": "q4_0", "rules": [{"role": "attn_v"}]}'
recipe '{"type": "q4_0", "rules": {"role": "attn_v"}}'
recipe '{"type": "q4_0", "method": "gptq"}'
recipe '{"type": "q4_0", "type": "q8_0"}'
recipe '{"schema": "planish.recipe/9", "type": "q4_0"}'
recipe '{"rules": []}'
recipe '["q4_0"]'
recipe '{"type": "q4_0"'
try planish convert "$stories" --recipe absent.json --type q4_0 --dry-run
# The command line wins over the recipe's own type.
printf '{"type": "q8_0"}' > recipe.json
planish convert "$stories" --recipe recipe.json --type q5_0 --dry-run --json > plan.json
ask plan.json 'sorted({t["type"] for t in d["tensors"]})'
