# requantize.sh: GGUF in, GGUF out: what is kept, what is warned of.
planish convert "$stories" -o f32.gguf --type f32 -j 2 > /dev/null
planish convert "$stories" -o q8.gguf --type q8_0 -j 2 > /dev/null
planish convert "$stories" -o q4.gguf --type q4_0 --pure -j 2 > /dev/null
try planish convert f32.gguf -o again.gguf --type f32 -j 2
same f32.gguf again.gguf
try planish convert f32.gguf -o q4-again.gguf --type q4_0 --pure -j 2
same q4.gguf q4-again.gguf
try planish convert q8.gguf -o q8-again.gguf --type q8_0 -j 2
same q8.gguf q8-again.gguf
try planish convert q8.gguf -o q4-from-q8.gguf --type q4_0 --pure -j 2
differ q4.gguf q4-from-q8.gguf
# Whatever it is quantized to, it is told; what fills blocks of one value only has lost nothing worth a word.
for type in q5_1 q5_0 q4_1 q4_0 bf16 f16; do
    planish convert "$stories" -o $type.gguf --type $type --pure -j 2 > /dev/null
    try planish convert $type.gguf -o from-$type.gguf --type q8_0 -j 2 > /dev/null
done
