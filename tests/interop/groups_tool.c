/* groups_tool.c: gives other programs our encoders and decoder of matrices with scales per group of columns, for
 * tests/interop and tests/bench. PLANISH_CPU picks the variant. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/fs.h"
#include "quantizers/groups.h"

/* "affine4-g64" with scales in these floats, "mxfp8"; "mxfp4" and "nvfp4" as MLX keeps them. */
static pl_status parse(const char *name, const pl_dtype *floats, pl_type *type)
{
    *type = pl_type_scaled(&pl_dtypes[PL_F4_E2M1], &pl_dtypes[PL_F8_E8M0], 1, 32);
    if (!strcmp(name, "mxfp4")) return PL_OK;
    *type = pl_type_scaled(&pl_dtypes[PL_F4_E2M1], &pl_dtypes[PL_F8_E4M3], 1, 16);
    if (!strcmp(name, "nvfp4")) return PL_OK;
    PL_TRY(pl_type_parse(name, type));
    *type = pl_type_scales_like(*type, floats);
    return pl_groups_kind(type) >= 0 ? PL_OK : pl_fail(PL_E_WISH, "'%s' has no groups", name);
}

static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* argv: verb, type, floats, columns, file of f32 values, file for the parts, one after the other, then decoded values
 * as f32; how often to encode; file of importance. Prints the least processor time in seconds. */
static pl_status run(int argc, char **argv)
{
    const pl_dtype *floats = pl_dtype_find(argv[3]);
    if (!floats) return pl_fail(PL_E_WISH, "unknown type '%s'", argv[3]);
    bool best = strcmp(argv[1], "best") == 0;
    pl_type type;
    PL_TRY(parse(argv[2], floats, &type));
    int64_t cols = atoi(argv[4]), repeats = argc > 7 ? atoi(argv[7]) : 1;
    char *values, *h = NULL;
    size_t len;
    PL_TRY(pl_file_load(argv[5], 1 << 30, &values, &len));
    if (argc > 8) PL_TRY(pl_file_load(argv[8], 1 << 30, &h, NULL));
    int64_t rows = (int64_t)len / 4 / pl_max64(cols, 1), at = 0;
    pl_packed p;
    PL_TRY(pl_packed_init(&p, type, rows, cols));
    uint8_t *out = pl_alloc_aligned(pl_packed_bytes(&p) + rows * cols * 4, 1);
    if (!out) return PL_E_MEMORY;
    pl_group_rows r = { .type = &p.type, .source = floats, .w = (const float *)(const void *)values,
                        .h = (const float *)(const void *)h, .rows = rows, .cols = cols };
    for (int i = 0; i < p.nparts; at += p.part[i++].bytes) p.part[i].ptr = r.part[i] = out + at;
    double least = 1e9;
    for (int64_t i = 0; i < repeats; i++) {
        double began = processor_seconds();
        pl_groups_encoder(&type, best)(&r);
        double took = processor_seconds() - began;
        if (took < least) least = took;
    }
    printf("%.9f\n", least);
    float *decoded = pl_alloc_aligned(rows * cols, sizeof *decoded);
    pl_status code = decoded ? pl_packed_decode(&p, 0, rows, decoded, NULL) : PL_E_MEMORY;
    if (code == PL_OK) memcpy(out + at, decoded, (size_t)(rows * cols) * sizeof *decoded);
    if (code == PL_OK) code = pl_file_save(argv[6], out, (size_t)(at + rows * cols * 4));
    pl_free(decoded);
    pl_free(out);
    pl_free(values);
    pl_free(h);
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 7 || argc > 9) {
        fprintf(stderr, "usage: groups_tool reference|best TYPE FLOATS COLUMNS IN OUT [REPEATS [IMPORTANCE]]\n");
        return 2;
    }
    pl_status code = run(argc, argv);
    if (code != PL_OK) fprintf(stderr, "groups_tool: %s\n", pl_error());
    return pl_status_exit(code);
}
