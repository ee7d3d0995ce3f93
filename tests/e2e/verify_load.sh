# verify_load.sh: what is said of runtimes, and what comes of trying them; all of them are fakes.
mkdir bin
export LLAMA_BIN=$PWD/bin
fake() { # NAME: what it does comes from standard input
    { echo '#!/bin/bash'; cat; } > "bin/$1"
    chmod +x "bin/$1"
}
load() { PYTHON=$PWD/bin/python3 try planish verify-load "$@"; }
fake llama-bench <<< 'echo "$@" > llama.txt; echo noise; echo "build: 77 (1)"'
# The script is $2, the output $3, the modules it needs $4.
fake python3 << 'END'
case $4 in
*mlx_lm*) echo "$1 $3" >> python.txt; echo 9.9 with mlx 9.8 ;;
*transformers*) echo 'Traceback ...' >&2; echo 'ValueError: no such layer' >&2; echo; exit 1 ;;
*) exit 66 ;;
esac
END
planish convert "$stories" -o a.gguf --type iq4_nl -j 2 > /dev/null
planish convert "$stories" -o mlx --to mlx --type affine4-g32 --keep 'embed_tokens=affine5-g32' -j 2 > /dev/null
planish convert "$stories" -o ct --to compressed-tensors --type int4-g32 -j 2 > /dev/null
planish convert "$stories" -o gptq --to gptq --type int4-g32 --keep mlp=bf16 -j 2 > /dev/null
planish convert "$stories" -o dense --to dense -j 2 > /dev/null
load a.gguf
cat llama.txt
load mlx
cat python.txt
load ct
load gptq
PYTHON=$PWD/bin/python3 planish verify-load ct --json > ct.json || echo "[exit $?]"
ask ct.json 'd["schema"], d["format"], d["features"]'
ask ct.json '[(r["name"], r["known_from"], r["because_of"], r["result"], r["message"]) for r in d["runtimes"]]'
# Nothing is there; other programs of llama.cpp do as well.
PYTHON=$PWD/bin/none try planish verify-load dense
rm bin/llama-bench
load a.gguf | grep llama.cpp
mv a.gguf -- -a.gguf
fake llama-cli <<< 'echo "$2"; exit 3'
load -- -a.gguf | grep llama.cpp
mv -- -a.gguf a.gguf
# It crashes; it never ends, nor does what it has started; it says much, of strange bytes.
fake llama-cli <<< 'echo so far; kill -SEGV $$'
load a.gguf | grep llama.cpp
fake llama-cli <<< 'sleep 300 & echo $! > pid; echo loading; sleep 300'
load a.gguf --timeout 0.5 | grep llama.cpp
sleep 0.2
! grep '^State' "/proc/$(cat pid)/status" 2> /dev/null | grep -v zombie
fake llama-cli <<< 'head -c 3000000 /dev/zero; printf "\n\033[31mred\377\n"; exit 1'
load a.gguf | grep llama.cpp
# What is no output.
mkdir empty
load empty
echo text > text
load text
load none
printf '{"quantization_config": {"quant_method": "other"}}' > empty/config.json
load empty
load "$stories/model.safetensors"
load a.gguf --timeout 0
