# pre.sh: a vocabulary whose rules nobody knows is refused, until --pre says which one it is like; a GGUF file
# with an unknown name is carried, and only what needs words wants a name for it.
cp -r "$SOURCE/tests/tiny/models/qwen2" odd
chmod -R u+w odd
sed -i 's/|\\\\p{N}|/|\\\\p{N}{1,7}|/' odd/tokenizer.json
try planish convert odd -o odd.gguf --type f16
try planish convert odd -o odd.gguf --type f16 --pre qwen-2
try planish convert odd -o odd.gguf --type f16 --pre qwen2 --json > /dev/null
LC_ALL=C sed 's/\x05\x00\x00\x00\x00\x00\x00\x00qwen2\x15/\x05\x00\x00\x00\x00\x00\x00\x00qwen9\x15/' odd.gguf > new.gguf
differ odd.gguf new.gguf
try planish convert new.gguf -o again.gguf --type f16 --json > /dev/null
grep -c qwen9 again.gguf
try planish run new.gguf -p "Once upon" -n 4
try planish run new.gguf -p "Once upon" -n 4 --pre qwen2 > told.txt 2> /dev/null
try planish run odd.gguf -p "Once upon" -n 4 > known.txt 2> /dev/null
same told.txt known.txt
left
