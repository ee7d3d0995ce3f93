# gate.sh: a missed threshold ends a script that stops at failures, with exit code 1.
set -e -o pipefail
planish convert "$stories" -o q4.gguf --type q4_0 --pure --encoder reference -j 2 > /dev/null
planish check q4.gguf --against "$stories" --text "$tales" --ctx 64 --chunks 2 -j 2 --max-kld 1 > /dev/null
planish check q4.gguf --against "$stories" --text "$tales" --ctx 64 --chunks 2 -j 2 --max-kld 0.001 | tail -n 1
echo 'the gate let it pass'
