# resume.sh: conversions that are ended in the middle and gone on with; kills without warning: kills.sh.
make_model --out model --tokenizer "$stories" --shape small --shards 2 > /dev/null
export PLANISH_CPU=scalar
slow=(planish convert model --type q4_k_m --encoder reference -j 1)
"${slow[@]}" -o ref.gguf > /dev/null
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
{ kill -KILL $run; wait $run; } 2> /dev/null || echo "[exit $?]"
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
