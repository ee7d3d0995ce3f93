# file_limit.sh: a limit on the size of files stops the conversion with a sentence, nothing is left.
cp -r "$stories" model
limited() { (ulimit -f 64 && "$@"); }
try limited planish convert model -o a.gguf --type q8_0 -j 2
left
