# mixes.sh: mixes of llama-quantize, exceptions by name, what cannot be kept, and both encoders.
types() { ask plan.json '{t["name"]: t["type"] for t in d["tensors"] if t["type"] != "f32" and t["layer"] < 1}'; }
for type in q4_k q3_k_l iq4_xs Q8_0 mxfp4 mxfp4_moe f16; do
    planish convert "$stories" --type $type --dry-run --json > plan.json
    ask plan.json 'd["type"], d.get("mix"), d["encoder"], d["warnings"]'
    types
done
for options in --pure --encoder=reference "--keep=ffn_down=q8_0 --keep=^model.layers.0.*mlp=bf16" \
               "--keep=^output|token_embd=q5_1 --pure"; do
    echo "$options"
    planish convert "$stories" --type q4_0 $options --dry-run --json > plan.json
    ask plan.json 'd["type"], d.get("mix"), d["encoder"], sorted({t["method"] for t in d["tensors"]})'
    types
done
# The first that matches decides, and before any recipe.
echo '{"rules": [{"role": "attn_q", "type": "q5_0"}]}' > recipe.json
planish convert "$stories" --type q4_0 --recipe recipe.json --keep 'blk\.0\.attn_q=q8_0' --dry-run --json > plan.json
ask plan.json '[t["type"] for t in d["tensors"] if t["role"] == "attn_q"]'
try planish convert "$stories" --type q4_0 --keep 'attn_q' --dry-run
try planish convert "$stories" --type q4_0 --keep '=q8_0' --dry-run
try planish convert "$stories" --type q4_0 --keep 'attn_q=q4_k_m' --dry-run
try planish convert "$stories" --type q4_0 --keep 'attn_(q=q8_0' --dry-run
try planish convert "$stories" --type q4_0 --keep 'attn_z=q8_0' --dry-run
try planish convert "$stories" --type q4_0 --keep 'attn_norm=q8_0' --dry-run
try planish convert "$stories" --type q4_0 --encoder worst --dry-run
try planish convert "$stories" --type q4_0 --stats absent.gguf --dry-run
# Both encoders write files of one size, each reads back.
for encoder in best reference; do
    planish convert "$stories" -o $encoder.gguf --type q4_0 --encoder $encoder -j 2 --json > $encoder.json
    ask $encoder.json 'd["encoder"], d["bytes"], all(0 <= t["rel_error"] < 0.2 for t in d["tensors"])'
done
ask best.json 'sum(t["rel_error"] for t in d["tensors"]) <
    sum(t["rel_error"] for t in json.load(open("reference.json"))["tensors"])'
planish convert "$stories" -o again.gguf --type q4_0 -j 7 > /dev/null
same best.gguf again.gguf
