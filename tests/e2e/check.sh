# check.sh: what was lost, in words; a gate with thresholds.
planish convert "$stories" -o q8.gguf --type q8_0 --pure --encoder reference -j 2 > /dev/null
planish convert "$stories" -o q4.gguf --type q4_0 --pure --encoder reference -j 2 > /dev/null
try planish check q4.gguf --against "$stories" --text "$tales" --ctx 256 --chunks 6 -j 2
try planish check q8.gguf --text "$tales" --ctx 256 --chunks 6 -j 2
try planish check q8.gguf --against "$stories" --text "$tales" --ctx 128 --chunks 4 -j 2 \
    --max-kld 0.01 --max-ppl-ratio 1.01 --min-top1 95
try planish check q4.gguf --against "$stories" --text "$tales" --ctx 128 --chunks 4 -j 2 \
    --max-kld 0.0001 --max-ppl-ratio 1.0001 --min-top1 99.9
# A text that is too short, a model of another vocabulary.
head -c 40 "$tales" > short.txt
try planish check q8.gguf --text short.txt
: > empty.txt
try planish check q8.gguf --text empty.txt
