# big_memory.sh: 206 MB of weights in shards: memory stays small and below what the plan says.
make_model --out model --tokenizer "$stories" --shape medium --shards 4 > /dev/null
for type in q4_0 q8_0 f32; do
    planish convert model --type $type --encoder reference -j 2 --dry-run --json > plan.json
    planned=$(ask plan.json 'd["peak_planned"]')
    [ "$planned" -lt $(((200 << 20) + 8 * $(size "$stories/tokenizer.json"))) ] || echo "$planned bytes are planned"
    echo "$type below the plan's peak:"
    watch memory "$planned" planish convert model -o a.gguf --type $type --encoder reference -j 2 --force
    [ "$(ask plan.json 'd["bytes_planned"]')" = "$(size a.gguf)" ] || echo "$type: another size than planned"
done
