# kill_calls.sh: conversions that are killed before one of the calls by which they change files, and gone on with.
[ -z "$PLANISH_SANITIZED" ] || { echo 'sanitizers want to be loaded first'; exit 77; }
library=$(dirname "$(command -v planish)")/../tests/e2e/libkill_at.so
loop() { # OUT OPTIONS -- CONVERSION
    "$PYTHON" "$E2E/kill_loop.py" --calls "$library" --points 12 "$@" 2> told.txt && echo identical || cat told.txt
}
convert=(planish convert "$stories" --max-shard-size 100K -j 2)
loop --over=--encoder=reference out.gguf -- "${convert[@]}" --type q4_0
loop out -- "${convert[@]}" --to mlx --type affine4-g32
loop --over=--encoder=reference out -- "${convert[@]}" --to mlx --type affine4-g32
loop out -- "${convert[@]}" --to compressed-tensors --type int4-g32
loop --parts 2 out -- "${convert[@]}" --to mlx --type affine4-g32
loop --over=--encoder=reference out.pl -- planish convert "$stories" -j 2 --type int8 --layout marlin --zstd 3
loop --parts 2 out.pl -- planish convert "$stories" -j 2 --type int8 --layout marlin
left
