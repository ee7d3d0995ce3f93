# resume.sh: conversions that are ended in the middle and gone on with.
make_model --out model --tokenizer "$stories" --shape small --shards 2 > /dev/null
export PLANISH_CPU=scalar
slow=(planish convert model --type q4_k_m --encoder reference -j 1)
"${slow[@]}" -o ref.gguf > /dev/null
kill_loop() { "$PYTHON" "$E2E/kill_loop.py" "$@" 2> kills.txt; }
kill_loop 6 1 out.gguf.journal "${slow[@]}" -o out.gguf --resume
same out.gguf ref.gguf
"${slow[@]}" -o ref.gguf --max-shard-size 5M > /dev/null
kill_loop 3 2 out-00001-of-00004.gguf.journal "${slow[@]}" -o out.gguf --max-shard-size 5M --resume
for i in 1 2 3 4; do same out-0000$i-of-00004.gguf ref-0000$i-of-00004.gguf; done
rm -f out* ref-* kills.txt
# A signal keeps what is finished, and says so.
begin() { # a run that is under way and has finished something, or one before it has
    "${slow[@]}" -o out.gguf "$@" > /dev/null 2> err.txt &
    run=$!
    while ! ls -l /proc/$run/fd 2> /dev/null | grep -q partial || [ "$(size out.gguf.journal)" -le 120 ]; do sleep 0.01; done
}
begin
kill -TERM $run
{ wait $run; } 2> /dev/null || echo "[exit $?]"
cat err.txt
left . | grep out
# Nobody else may write it meanwhile.
begin --resume
kill -STOP $run
try planish convert model --type q4_k_m --encoder reference -o out.gguf
try planish convert model --type q8_0 -o out.gguf --resume
kill -KILL $run
{ wait $run; } 2> /dev/null || echo "[exit $?]"
# Other options, another input.
try planish convert model --type q8_0 -o out.gguf --resume
cp -r model other
printf '\1' | dd of=other/model-00002-of-00002.safetensors bs=1 seek=9000000 conv=notrunc status=none
try planish convert other --type q4_k_m --encoder reference -o out.gguf --resume
touch model/*
try "${slow[@]}" -o out.gguf --resume | head -n 1
same out.gguf ref.gguf
try planish convert model --type q4_k_m --to digest --resume
left . | grep -v '/model/\|/other/'
