# stream.sh: weights of a pack that come from the disk while the model runs: the same numbers, by every way of reading.
tiny=$SOURCE/tests/tiny/models
planish convert "$stories" -o s.pl --type q8_0 -j 2 > /dev/null
planish convert "$stories" -o z.pl --type f32 --zstd 3 -j 2 > /dev/null
planish run s.pl -p 'Once upon a time' -n 24 > whole.txt 2> /dev/null
for io in '' threads buffered; do
    [ -z "$io" ] || export PLANISH_IO=$io
    planish run s.pl -p 'Once upon a time' -n 24 --resident 190K 2> streamed.txt | cmp - whole.txt
    grep -c "^streamed .*${io:-direct\|buffered}.*weights in memory: at most 18[0-9].* KiB of 190.00 KiB" streamed.txt
done
unset PLANISH_IO
# Experts are read when they are chosen, compressed segments expanded; logits are the same to the last bit.
compare() {
    planish check "$1" --against "$2" --text "$tales" --ctx 32 --chunks 2 -j 2 --json whole.json > /dev/null 2>&1
    planish check "$1" --against "$2" --text "$tales" --ctx 32 --chunks 2 -j 2 --json parts.json --resident "$3" \
        > /dev/null 2> log
    ask whole.json 'd["kld_mean"] > 0 or d["kld_max"] == 0'
    for key in kld_mean kld_max ppl; do
        [ "$(ask whole.json "d['$key']")" = "$(ask parts.json "d['$key']")" ] || echo "$1: another $key"
    done
    grep -c streamed log
}
compare s.pl "$stories" 190K
compare z.pl "$stories" 1100K
for model in mixtral qwen3_moe gemma3; do
    planish convert "$tiny/$model" -o $model.pl --type q8_0 -j 2 > /dev/null 2>&1
    compare $model.pl "$tiny/$model" 112K
done
# All of it fits: it is read once.
planish run s.pl -p 'Once upon a time' -n 4 --resident 1G 2>&1 > /dev/null | grep -o 'streamed 3[0-9]*.* KiB at'
try planish run s.pl -p 'Once' --resident 100K
planish convert "$stories" -o s.gguf --type q8_0 -j 2 > /dev/null
try planish run s.gguf -p 'Once' --resident 1G
# A flipped bit is found when its segment comes.
"$PYTHON" -c "f = open('s.pl', 'r+b'); f.seek(200000); b = f.read(1); f.seek(-1, 1); f.write(bytes([b[0] ^ 1]))"
try planish run s.pl -p 'Once' -n 2 --resident 190K
