# big_sparse.sh: experts that are larger than the memory a process may take, most of them holes. tests/bench/big.py is
# the same at full size.
export OPENBLAS_NUM_THREADS=1       # its workers take 128 MiB each, and spin where they do not get that
[ -z "$PLANISH_SANITIZED" ] || { echo 'the address sanitizer reserves more than any limit'; exit 77; }
"$PYTHON" "$E2E/make_scale.py" sparse big layers=12 experts=16 hidden=512 inter=256 heads=4 vocab=2048 real=3
limited() { (ulimit -d $((64 << 10)) && "$@"); }
make() { planish convert big --to mlx --type affine4-g64 --encoder reference -j 2 "$@"; }
make -o whole > /dev/null
try limited make -o out
diff -r whole out
# A share holds what it was given and holes for the rest.
for i in 1 2 3; do limited make -o parts --part $i/3 > /dev/null; done
[ "$(du -k parts/model.safetensors.part-2-of-3 | cut -f1)" -lt $(($(size out/model.safetensors) >> 11)) ] || echo 'no holes'
limited planish merge parts parts.part-*.journal > /dev/null
same parts/model.safetensors out/model.safetensors
