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
'
