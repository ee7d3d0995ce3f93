# full_disk.sh: a file system that is too small or full.
unshare -m true 2>/dev/null || { echo 'no mount namespace is allowed here'; exit 77; }
mkdir disk
unshare -m bash -c '
    . "$E2E/prelude.sh"
    mount -t tmpfs -o size=256k none disk || exit 77
    try planish convert "$stories" -o disk/a.gguf --type q8_0 -j 2
    left disk
    head -c 200000 /dev/zero > disk/filler
    try planish convert "$stories" -o disk/a.gguf --type q4_0 --pure -j 2
    head -c 262144 /dev/zero > disk/filler
    try planish check "$stories" --text "$tales" --chunks 1 --ctx 64 --json disk/report.json
    left disk
    # A folder: room is claimed file by file, and given back. A share claims none: what it has finished stays.
    rm disk/filler
    shards=(planish convert "$stories" --max-shard-size 100K -j 1)
    try "${shards[@]}" -o disk/mlx --to mlx --type affine8-g32
    left disk
    dense=("${shards[@]}" -o disk/out --to dense --type f32 --resume)
    try "${dense[@]}" --part 2/4
    left disk | grep -v "/model-\|json"
    mount -o remount,size=4M disk
    for i in 1 2 3 4; do "${dense[@]}" --part $i/4 > /dev/null; done
    planish merge disk/out disk/out.part-*.journal > /dev/null
    "${shards[@]}" -o ref --to dense --type f32 > /dev/null
    rm -f disk/out/*.part-*
    diff -r disk/out ref
'
