# usage.sh: commands, options and values that cannot be meant.
try planish quantize x
try planish inspect
try planish inspect a b
try planish inspect "$stories" --jsn
try planish convert
try planish convert "$stories"
try planish convert "$stories" -o x.gguf
try planish convert "$stories" -o x.gguf --type q9_9
try planish convert "$stories" -o x.gguf --type q4_0 --to onnx
try planish convert "$stories" -o x.gguf --type q4_0 --threads 0
try planish convert "$stories" -o x.gguf --type q4_0 --threads two
try planish convert "$stories" -o x.gguf --type q4_0 --threads 99999999999999999999
try planish convert "$stories" -o x.gguf --type q4_0 --memory -5
try planish convert "$stories" -o x.gguf --type q4_0 --memory 5Q
try planish convert "$stories" -o x.gguf --type
try planish check "$stories"
try planish check "$stories" --text "$tales" --max-kld 0.1
try planish check "$stories" --text "$tales" --protocol none
try planish check "$stories" --text "$tales" --against "$stories" --max-kld nan
try planish check "$stories" --text "$tales" --against "$stories" --min-top1 101
try planish check "$stories" --text absent.txt
try planish run "$stories"
try planish run "$stories" -p x --temp -1
try planish run "$stories" -p x --seed 1.5
try planish bench absent.gguf
try planish bench "$stories" --pp 0
left
