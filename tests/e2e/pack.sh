# pack.sh: a pack made, shown, verified, turned into other formats again; compressed ones; damaged ones; what is refused.
tiny=$SOURCE/tests/tiny/models
try planish convert "$stories" -o a.pl --type q8_0 -j 2
try planish inspect a.pl --verify -j 2 | tail -n 1
planish convert "$stories" -o direct.gguf --type q8_0 -j 2 > /dev/null
try planish convert a.pl -o through.gguf -j 2 2> /dev/null | head -n 1
same direct.gguf through.gguf
try planish run a.pl -p 'Once upon a time' -n 8 -j 1
planish run direct.gguf -p 'Once upon a time' -n 8 -j 1 > gguf.txt 2> /dev/null
planish run a.pl -p 'Once upon a time' -n 8 -j 1 > pack.txt 2> /dev/null
same gguf.txt pack.txt
# The same bytes for any number of threads, compressed or not; compressed the same model.
for level in 0 1 19; do
    planish convert "$stories" -o one.pl --type affine4-g32 --zstd $level -j 1 --force > /dev/null
    planish convert "$stories" -o five.pl --type affine4-g32 --zstd $level -j 5 --force --json > five.json
    same one.pl five.pl
    ask five.json "d['bytes'] == $(size five.pl), d['bytes'] < d['bytes_planned']"
    planish inspect five.pl --verify | tail -n 1
    planish convert five.pl -o $level.gguf --type f32 -j 2 > /dev/null 2>&1
done
same 0.gguf 1.gguf
same 0.gguf 19.gguf
try planish convert five.pl -o again.pl -j 2 2> /dev/null | head -n 1
# Without a type matrices stay what they are, and a folder is made of it as of the original.
planish convert "$tiny/llama" -o keep.pl -j 2 > /dev/null
planish inspect keep.pl --json > keep.json
ask keep.json 'd["format"], sorted({t["type"] for t in d["tensors"]})'
try planish convert keep.pl -o dense --to dense -j 2 | head -n 1
planish convert "$tiny/llama" -o dense2 --to dense -j 2 > /dev/null
same dense/model.safetensors dense2/model.safetensors
same dense/tokenizer.json "$tiny/llama/tokenizer.json"
# Damage: one bit in a frame, in a gap, in the index, at either end; cut off; something behind.
break_at() { # OFFSET BYTE
    cp a.pl bad.pl
    poke bad.pl "$1" "$2"
    try planish inspect bad.pl --verify -j 1 > /dev/null
}
break_at 4096 00
break_at 200 01
break_at -5000 00
break_at 0 88
break_at -96 00
head -c -1 a.pl > bad.pl
try planish inspect bad.pl
{ cat a.pl; echo; } > bad.pl
try planish run bad.pl -p x -n 1
head -c 5000 a.pl > bad.pl
try planish convert bad.pl -o x.gguf --type q8_0
cp a.pl bad.pl
poke bad.pl 200000 ffffffffffffffff
try planish check bad.pl --text "$tales" --ctx 32 --chunks 1
try planish convert bad.pl -o x.gguf
# In other layouts: the same model.
try planish convert "$stories" -o marlin.pl --type int8 --layout marlin --dry-run > plan.txt
grep 'tensor\|layout\|attn.q_proj\|norm' plan.txt | head -n 6
try planish convert "$stories" -o marlin.pl --type int8 --layout marlin -j 2 | grep layout
planish convert "$stories" -o int8.pl --type int8 > /dev/null
planish inspect marlin.pl | grep 'q_proj' | head -n 1
planish inspect marlin.pl --verify | tail -n 1
planish inspect marlin.pl --json > marlin.json
ask marlin.json 'sorted({t.get("layout", "plain") for t in d["tensors"]}), len(d["sha256"])'
try planish diff int8.pl marlin.pl -j 1 | tail -n 1
planish run int8.pl -p 'Once upon a time' -n 8 -j 1 > one.txt 2> /dev/null
planish run marlin.pl -p 'Once upon a time' -n 8 -j 1 > two.txt 2> /dev/null
same one.txt two.txt
planish run marlin.pl -p 'Once upon a time' -n 8 -j 1 --resident 350K > two.txt 2> /dev/null
same one.txt two.txt
# What packs are not made with.
try planish convert "$stories" -o x.pl --type int8 --layout marlowe
try planish convert "$stories" -o x.gguf --type q8_0 --layout rows4
try planish convert "$stories" -o x.pl --type q4_0 --part 1/2 --zstd 3
try planish convert "$stories" -o x.pl --type q4_0 --stream-ready --zstd 3
try planish convert "$stories" -o x.pl --type int8 --stream-ready --layout marlin
try planish convert "$stories" -o x.gguf --type q4_0 --stream-ready
try planish convert "$stories" -o ready.pl --type q8_0 --stream-ready -j 2 > /dev/null
same a.pl ready.pl
try planish convert "$stories" -o x.gguf --type q4_0 --zstd 3
try planish convert "$stories" -o x.pl --type q4_0 --zstd 20
try planish convert "$stories" -o a.pl --type q4_0
! left | grep '/x\|partial\|journal'
