# calibrate.sh: statistics of activations: what is written, refusals, a run that is killed and goes on.
run() { try planish calibrate "$@"; }
planish convert "$stories" -o s.gguf --type f32 -j 2 > /dev/null
run s.gguf --calib "$tales" --ctx 64 --tokens 300 -o a.gguf -j 1
run s.gguf --calib "$tales" --ctx 64 --tokens 300 -o a.gguf -j 1
run s.gguf --calib "$tales" --ctx 64 --tokens 256 -o a3.gguf -j 3
same a.gguf a3.gguf
run "$stories" --calib "$tales" --ctx 64 --tokens 256 -o folder.gguf -j 2 --json > done.json
ask done.json 'd["schema"], d["windows"], d["tokens"], d["matrices"], d["unseen"], d["resumed"], d["bos"]'
run s.gguf --calib "$tales" --ctx 64 --tokens 256 -o a.gguf --force --with-output
differ a.gguf a3.gguf
left

# Wishes that cannot be met, and texts that cannot be used; nothing stays behind.
run s.gguf -o b.gguf
run s.gguf --calib "$tales"
run s.gguf --calib "$tales" --ctx 64 --tokens 63 -o b.gguf
run s.gguf --calib missing.txt -o b.gguf
printf 'Too short.' > short.txt
run s.gguf --calib short.txt -o b.gguf
run s.gguf --calib "$tales" -o missing/b.gguf
run s.gguf --calib "$tales" -o s.gguf --force
ln -s short.txt b.gguf.journal
run s.gguf --calib short.txt -o b.gguf
rm b.gguf.journal
left

# Who uses them.
try planish convert s.gguf -o q.gguf --type q4_0 --stats a3.gguf -j 2 > /dev/null
try planish inspect a3.gguf
planish convert "$SOURCE/tests/tiny/models/qwen2_moe" -o moe.gguf --type f32 -j 2 > /dev/null
try planish convert moe.gguf -o q.gguf --type q4_0 --stats a3.gguf --force
run moe.gguf --calib "$tales" --ctx 16 --tokens 16 -o moe.stats.gguf --bos never
try planish convert s.gguf -o q.gguf --type q4_0 --stats moe.stats.gguf --force

# Killed in the middle: the journal stays, the same command goes on, and the file is that of a run undisturbed.
long="--ctx 128 --tokens 25600 --with-output -j 2"
mkdir out
planish calibrate s.gguf --calib "$tales" $long -o whole.gguf > /dev/null
watch kill SIGKILL out/a.gguf.journal planish calibrate s.gguf --calib "$tales" $long -o out/a.gguf
left out
cp out/a.gguf.journal kept
run s.gguf --calib "$tales" $long -o out/a.gguf
same whole.gguf out/a.gguf
left out

# A journal of other options, or a damaged one, is not gone on with.
cp kept out/b.gguf.journal
run s.gguf --calib "$tales" --ctx 64 --tokens 256 -o out/b.gguf
head -c 1000 kept > out/b.gguf.journal
run s.gguf --calib "$tales" $long -o out/b.gguf
"$PYTHON" -c 'd = bytearray(open("kept", "rb").read()); d[-99] ^= 1; open("out/b.gguf.journal", "wb").write(d)'
run s.gguf --calib "$tales" $long -o out/b.gguf
run s.gguf --calib "$tales" $long -o out/b.gguf --force
same whole.gguf out/b.gguf
left out
