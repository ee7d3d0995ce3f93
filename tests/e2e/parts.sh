# parts.sh: conversions in shares, and their merge.
shares() { # N OPTIONS...: all shares, the last first
    local n=$1 i
    shift
    for ((i = n; i >= 1; i--)); do planish convert "$stories" "$@" -j 1 --part "$i/$n" > /dev/null; done
}
planish convert "$stories" -o ref.gguf --type q4_k_m -j 2 > /dev/null
shares 4 -o a.gguf --type q4_k_m
left
try planish merge a.gguf a.gguf.part-*.journal
same a.gguf ref.gguf
try planish merge a.gguf a.gguf.part-*.journal
try planish merge a.gguf a.gguf.part-*-of-4 --force
same a.gguf ref.gguf
try planish merge b.gguf a.gguf.part-[134]-of-4
mkdir elsewhere && mv a.gguf.part-2* elsewhere
try planish merge b.gguf a.gguf.part-[134]-of-4 elsewhere/a.gguf.part-2-of-4
same b.gguf ref.gguf
rm -rf a.* b.* elsewhere ref.gguf
# A set of files; a type with a number that all rows share.
for wish in "--type q8_0 --max-shard-size 120K" "--type nvfp4"; do
    planish convert "$stories" -o ref.gguf $wish -j 2 --force > /dev/null
    shares 3 -o a.gguf $wish
    first=$(ls a*.part-1-of-3.journal)
    planish merge "${first%.part*}" a*.journal > /dev/null
    for file in ref*.gguf; do same "$file" "a${file#ref}"; done
    rm -f a* ref*
done
# A pack; one in another layout. Compressed afterwards.
planish convert "$stories" -o ref.pl --type int8 --layout marlin -j 2 > /dev/null
shares 3 -o a.pl --type int8 --layout marlin
try planish inspect a.pl.part-1-of-3
try planish merge a.pl a.pl.part-*.journal
same a.pl ref.pl
try planish convert a.pl -o small.pl --zstd 9 -j 1 | head -n 1
rm -f a.pl* ref.pl small.pl
# A folder.
planish convert "$stories" -o ref --to dense --type f16 --max-shard-size 200K > /dev/null
shares 2 -o out --to dense --type f16 --max-shard-size 200K
try planish merge out out.part-*.journal
(cd out && rm -f -- *.part-*)
diff -r out ref
touch out/model-00001-of-00009.safetensors
try planish merge out out.part-*.journal --force
try planish convert "$stories" -o a.gguf --type q8_0 --part 0/4
try planish convert "$stories" -o a.gguf --type q8_0 --part 3
try planish convert "$stories" --to digest --type q8_0 --part 1/4
try planish merge a.gguf
