# bad_gguf.sh: damaged GGUF files.
planish convert "$stories" -o good.gguf --type q8_0 -j 2 > /dev/null
head -c -1000 good.gguf > cut.gguf
head -c 3000 good.gguf > header.gguf
head -c 20 good.gguf > start.gguf
: > empty.gguf
{ printf 'GGUF\004\000\000\000'; tail -c +9 good.gguf; } > version.gguf
{ printf 'GGUF\003\000\000\000\377\377\377\377\377\377\377\177'; tail -c +17 good.gguf; } > tensors.gguf
{ printf 'FUGG'; tail -c +5 good.gguf; } > magic.gguf
for file in cut header start empty version tensors magic; do
    try planish inspect $file.gguf
    try planish convert $file.gguf -o out.gguf --type q4_0 -j 2
    try planish run $file.gguf -p 'Once'
done
[ ! -e out.gguf ] || echo 'an output was left'
