# requantize.sh: GGUF in, GGUF out: what is kept, what is warned of.
planish convert "$stories" -o f32.gguf --type f32 -j 2 > /dev/null
planish convert "$stories" -o q8.gguf --type q8_0 -j 2 > /dev/null
planish convert "$stories" -o q4.gguf --type q4_0 -j 2 > /dev/null
try planish convert f32.gguf -o again.gguf --type f32 -j 2
same f32.gguf again.gguf
try planish convert f32.gguf -o q4-again.gguf --type q4_0 -j 2
same q4.gguf q4-again.gguf
try planish convert q8.gguf -o q8-again.gguf --type q8_0 -j 2
same q8.gguf q8-again.gguf
try planish convert q8.gguf -o q4-from-q8.gguf --type q4_0 -j 2
differ q4.gguf q4-from-q8.gguf
