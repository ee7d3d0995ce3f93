# ranks.sh: several processes that mpirun starts make one output.
command -v mpirun > /dev/null || { echo 'no mpirun here'; exit 77; }
ldd "$(command -v planish)" | grep -q libmpi || { echo 'planish was built without MPI'; exit 77; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_vader_single_copy_mechanism=none
ranks() { mpirun -q --oversubscribe -n "$@"; }
planish convert "$stories" -o ref.gguf --type q4_k_m -j 1 --json > ref.json
ranks 4 planish convert "$stories" -o out.gguf --type q4_k_m -j 1 --json > out.json
same out.gguf ref.gguf
for file in ref out; do ask $file.json '[t["rel_error"] for t in d["tensors"]]' > $file.txt; done
same ref.txt out.txt
left
# An error of all of them, and one of one of them, which the others cannot see.
ranks 3 planish convert "$stories" -o out.gguf --type q4_k_m -j 1 2>&1 | grep -c 'exists already'
one() { # runs planish in each process, but in the second with a limit on the size of files
    ranks 3 bash -c 'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then ulimit -f 64; fi; exec "$@"' _ "$@"
}
one planish convert "$stories" -o limited.gguf --type q8_0 -j 1 2>&1 | grep -o 'writing .limited.gguf. .*File too large.*'
left | grep limited
ranks 2 planish convert "$stories" -o limited.gguf --type q8_0 -j 1 --resume > /dev/null
planish convert "$stories" -o whole.gguf --type q8_0 -j 1 > /dev/null
same limited.gguf whole.gguf
