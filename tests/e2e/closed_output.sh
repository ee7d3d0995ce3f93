# closed_output.sh: results that cannot be printed are a failure, with exit code 4.
planish convert "$stories" -o f32.gguf --type f32 -j 2 > /dev/null
full() { "$@" > /dev/full; }
closed() { "$@" >&-; }
for way in full closed; do
    try $way planish --help
    try $way planish --version
    try $way planish inspect "$stories"
    try $way planish inspect "$stories" --json
    try $way planish convert "$stories" --type q4_0 --dry-run
    try $way planish run f32.gguf -p Once -n 4 -j 2 2> messages
    grep -v tokens messages >&2
    try $way planish check f32.gguf --text "$tales" --ctx 64 --chunks 1 -j 2 --json -
done
