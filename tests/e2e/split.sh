# split.sh: outputs and inputs in several files.
try planish convert "$stories" -o a.gguf --type q8_0 -j 2 --max-shard-size 120K --dry-run | tail -n 3
left
try planish convert "$stories" -o a.gguf --type q8_0 -j 2 --max-shard-size 120K
left
planish convert "$stories" -o whole.gguf --type q8_0 -j 2 --json > whole.json
planish convert "$stories" -o a.gguf --type q8_0 -j 2 --max-shard-size 120K --force --json > split.json
ask whole.json 'd["files"]'
ask split.json 'd["files"], d["bytes"], d["bytes_planned"]'
cat a-*.gguf | wc -c
# Any file of a set is the model.
planish inspect whole.gguf | grep -v ^model: > whole.txt
for i in 1 2 3; do planish inspect a-0000$i-of-00003.gguf | grep -v ^model: | cmp - whole.txt; done
try planish run a-00002-of-00003.gguf -p 'Once upon a time' -n 10 2> /dev/null
try planish check a-00003-of-00003.gguf --against whole.gguf --text "$tales" --chunks 1 --ctx 64 -j 2 | grep -c passed
try planish convert a-00002-of-00003.gguf -o joined.gguf --type q8_0 -j 2
same joined.gguf whole.gguf
# What stands already, and what the input is.
try planish convert "$stories" -o a.gguf --type q4_0 --pure -j 2 --max-shard-size 120K
try planish convert "$stories" -o a.gguf --type q8_0 -j 2 --max-shard-size 120K
try planish convert a-00001-of-00003.gguf -o a.gguf --type q8_0 -j 2 --max-shard-size 120K --force
try planish convert a-00001-of-00003.gguf -o a-00002-of-00003.gguf --type q8_0 -j 2 --force
try planish convert a-00001-of-00003.gguf -o a-00001-of-00003.gguf --type q8_0 -j 2 --max-shard-size 60K --force
try planish convert a-00003-of-00003.gguf -o one-00001-of-00009.gguf --type q4_0 --pure -j 2 --max-shard-size 1G
try planish convert "$stories" -o a.gguf --type q8_0 --max-shard-size many
left
# Files that are missing, or not of the set.
mkdir set && cp a-*-of-00003.gguf set && cd set
cp a-00002-of-00003.gguf other.gguf
try planish inspect other.gguf
mv a-00002-of-00003.gguf 2
try planish inspect a-00001-of-00003.gguf
cp a-00001-of-00003.gguf a-00002-of-00003.gguf
try planish inspect a-00003-of-00003.gguf
cp ../whole.gguf a-00002-of-00003.gguf
try planish inspect a-00001-of-00003.gguf
head -c 4000 2 > a-00002-of-00003.gguf
try planish run a-00001-of-00003.gguf -p 'Once'
cd ..
# More files than the process may open.
limited() { (ulimit -n 24 && "$@"); }
try limited planish convert "$stories" -o b.gguf --type q8_0 -j 2 --max-shard-size 1K
ls | grep -c '^b'
planish convert "$stories" -o b.gguf --type q8_0 -j 2 --max-shard-size 1K --json > b.json
ask b.json 'd["files"], len(d["tensors"])'
try limited planish inspect b-00007-of-00047.gguf
# A signal takes all of it away.
make_model --out model --tokenizer "$stories" --shape small > /dev/null
mkdir out
PLANISH_CPU=scalar watch kill SIGTERM out planish convert model -o out/a.gguf --type q5_1 -j 1 --max-shard-size 3M | grep ended
left out
