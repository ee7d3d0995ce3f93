# kills.sh: conversions that are killed at random moments and gone on with; kills.py has the long form.
make_model --out model --tokenizer "$stories" --shape small --layers 3 > /dev/null
export PLANISH_CPU=scalar
loop() { # OUT OPTIONS -- CONVERSION
    "$PYTHON" "$E2E/kill_loop.py" "$@" 2> told.txt && echo identical || cat told.txt
}
loop out.gguf --kills 3 --seed 1 -- planish convert model --type q4_k_m --encoder reference -j 1
loop out --kills 3 --seed 2 -- planish convert model --to mlx --type affine4-g64 --max-shard-size 5M -j 1
loop out --kills 3 --seed 3 --parts 2 -- planish convert model --to compressed-tensors --type int4-g128 -j 1
left | grep -v model
