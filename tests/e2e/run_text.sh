# run_text.sh: text from a model: greedy is one answer, draws follow the seed.
planish convert "$stories" -o f32.gguf --type f32 -j 2 > /dev/null
tell() { planish run "$@" -n 24 -p 'Once upon a time' 2>> log; }
try planish run "$stories" -p 'Once upon a time' -n 24 -j 2 --mode exact
[ "$(tell "$stories" -j 1)" = "$(tell "$stories" -j 5)" ] || echo 'the number of threads changes the text'
[ "$(tell "$stories" --mode exact)" = "$(tell f32.gguf --mode exact)" ] || echo 'folder and GGUF file differ'
[ "$(tell "$stories" --temp 1 --seed 7 -j 1)" = "$(tell "$stories" --temp 1 --seed 7 -j 3)" ] || echo 'draws differ'
[ "$(tell "$stories" --temp 1 --seed 7)" != "$(tell "$stories" --temp 1 --seed 8)" ] || echo 'the seed changes nothing'
# Empty and long prompts, bytes beyond ASCII.
try planish run f32.gguf -p '' -n 8 -j 2 --mode exact
try planish run f32.gguf -p 'Ciao, Straße 你好' -n 4 -j 2 --mode exact
planish run f32.gguf -p "$(head -c 3000 "$tales")" -n 8 -j 2 || echo "[exit $?]"
try planish run absent.gguf -p Once
try planish run f32.gguf -p 'One day' -n 400 -c 32 -j 2 --mode exact
