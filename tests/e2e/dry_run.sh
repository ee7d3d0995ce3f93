# dry_run.sh: every part, the exact size and the memory, without a byte written.
try planish convert "$stories" --type q4_0 --dry-run -j 2
try planish convert "$stories" -o absent/x.gguf --type q5_0 --dry-run --json -j 2 > plan.json
ask plan.json 'sorted(d)'
ask plan.json 'd["schema"], d["out"], d["threads"], d["tensors"][-1]'
left .
