# interrupt.sh: a conversion that is ended from outside before anything is finished leaves nothing behind.
make_model --out model --tokenizer "$stories" --shape small --shards 3 > /dev/null
mkdir out
export PLANISH_CPU=scalar
for signal in TERM INT HUP; do
    watch kill SIG$signal out/a.gguf.partial planish convert model -o out/a.gguf --type q5_1 -j 1
    left out
done
printf 'old' > out/a.gguf
watch kill SIGTERM out/a.gguf.partial planish convert model -o out/a.gguf --type q5_1 -j 1 --force
cat out/a.gguf && echo
left out
