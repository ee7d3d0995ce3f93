/* checkkern_rows.c: encoders of rows with and without importance, ggml's rules and the searches for less error:
 * every variant gives plain C's bytes. */
#include <float.h>
#include <string.h>

#include "core/half.h"
#include "core/rng.h"
#include "quantizers/encoders.h"
#include "quantizers/iq_near.h"
#include "tests/kernels/checkkern.h"

/* An odd number of blocks of 256 per row and of rows: what takes two at a time meets the ends of rows. */
enum { ROWS = 5, COLS = 256 * 9, COUNT = ROWS * COLS, PATTERNS = 16, SEED = 22 };

static float w[COUNT], h[COLS];
static uint8_t got[COUNT * 2], expected[COUNT * 2];

/* What some encoders need to have been built. */
static void prepare(void)
{
    for (int t = 0; t < PL_DTYPES_READ; t++)
        if (pl_iq_prepare(t) != PL_OK) pl_ck_fail("rows %s: %s", pl_dtypes[t].name, pl_error());
}

static void fill(int p)
{
    for (uint64_t i = 0; i < COUNT; i++) {
        uint64_t bits = pl_rng_bits(SEED, (uint64_t)p, i);
        uint32_t u = (uint32_t)bits;
        float normal = (float)pl_rng_normal(SEED, (uint64_t)p, i), sign = bits & 1 ? -1.0f : 1.0f;
        float per16 = (float)pl_rng_normal(SEED, (uint64_t)p + 100, i / 16);
        switch (p) {
        case 0: w[i] = sign * 0.0f; break;
        case 1: w[i] = normal * 0.02f; break;
        case 2: w[i] = normal * normal * normal; break;
        case 3: w[i] = per16; break;                                    /* constant sub-blocks */
        case 4: w[i] = i % 256 == i / 256 % 256 ? normal : sign * 0.0f; break;
        case 5: w[i] = pl_bits_f32(u & 0x807fffffu); break;             /* subnormals */
        case 6: w[i] = pl_bits_f32((u >> 23 & 255) == 255 ? u ^ 0x40000000u : u); break;
        case 7: w[i] = normal * 0x1p-52f * per16; break;                /* around what counts as zero */
        case 8: w[i] = normal * 0x1p-22f * per16; break;                /* around the smallest f16 */
        case 9: w[i] = (float)((int)(bits >> 8 & 63) - 32) / 4.0f; break;
        case 10: w[i] = (float)(bits >> 8 & 63) + 5.0f; break;
        case 11: w[i] = -1.0f - normal * normal; break;
        case 12: w[i] = normal * 1e30f * per16; break;
        case 13: w[i] = sign * per16; break;
        case 14: w[i] = -5.0f - (float)(bits >> 8 & 1) * 0x1p-21f; break;
        default: w[i] = sign * FLT_MAX; break;
        }
    }
}

/* Importances of kind k = 0 .. 3. */
static void fill_importance(int k)
{
    for (uint64_t i = 0; i < COLS; i++) {
        float normal = (float)pl_rng_normal(SEED, 99, i);
        bool some = pl_rng_bits(SEED, 98, k == 2 ? i / 32 : i) & 1;
        h[i] = k == 0 ? normal * normal : k == 3 ? 0.0f : some ? normal * normal : 0.0f;
    }
}

/* ggml's rules and searches; searches take longer and get fewer rows. */
static const struct {
    const char *name;
    void (*init)(pl_row_encoders *list, unsigned cpu_flags);
    int rows;
} kinds[] = { { "rows", pl_row_encoders_init, ROWS }, { "best", pl_row_encoders_best, 1 } };

static void compare(int kind, int type, pl_row_encoder encode, pl_row_encoder plain, const float *importance,
                    const char *variant, int p)
{
    const pl_dtype *dtype = &pl_dtypes[type];
    int rows = kinds[kind].rows, bytes = rows * COLS / dtype->block * dtype->bytes;
    plain(w, importance, rows, COLS, expected);
    got[bytes] = 0x5a;
    encode(w, importance, rows, COLS, got);
    if (got[bytes] != 0x5a) pl_ck_fail("%s %s %s: too long", kinds[kind].name, dtype->name, variant);
    for (int i = 0; i < bytes; i++) {
        if (got[i] == expected[i]) continue;
        pl_ck_fail("%s %s %s%s: pattern %d block %d byte %d is %02x, not %02x", kinds[kind].name, dtype->name,
                   variant, importance ? " weighted" : "", p, i / dtype->bytes, i % dtype->bytes, got[i],
                   expected[i]);
        break;
    }
}

static void compare_all(int kind, const pl_ck_variant *v, int p)
{
    pl_row_encoders plain, list;
    kinds[kind].init(&plain, 0);
    kinds[kind].init(&list, v->flags);
    for (int t = 0; t < PL_DTYPES_READ; t++) {
        if (list.encode[t] == plain.encode[t]) continue;
        compare(kind, t, list.encode[t], plain.encode[t], NULL, v->name, p);
        for (int k = 0; k < 4; k++) {
            fill_importance(k);
            compare(kind, t, list.encode[t], plain.encode[t], h, v->name, p);
        }
    }
}

static void run(void)
{
    const pl_ck_variant *v;
    prepare();
    for (int i = 1; (v = pl_ck_variant_at(i)); i++) {
        if (v->flags & PL_CPU_VNNI) continue;               /* nothing here uses it */
        for (int p = 0; p < PATTERNS; p++) {
            fill(p);
            for (int kind = 0; kind < PL_COUNT(kinds); kind++) compare_all(kind, v, p);
        }
    }
}

/* ---- timing ---- */

typedef struct job { pl_row_encoder encode; const float *h; } job;

static void encode_rows(void *ctx)
{
    job *j = ctx;
    j->encode(w, j->h, ROWS, COLS, got);
}

static void bench_kind(int kind, const pl_ck_variant *v, bool first)
{
    pl_row_encoders plain, list;
    kinds[kind].init(&plain, 0);
    kinds[kind].init(&list, v->flags);
    for (int t = 0; t < PL_DTYPES_READ; t++) {
        if (!list.encode[t] || (!first && list.encode[t] == plain.encode[t])) continue;
        for (int weighted = 0; weighted < 2; weighted++) {
            static const char *const names[][2] = { { "encode_rows", "encode_weighted" },
                                                    { "encode_best", "encode_best_weighted" } };
            job j = { list.encode[t], weighted ? h : NULL };
            pl_ck_report(names[kind][weighted], pl_dtypes[t].name, v->name, pl_ck_seconds(encode_rows, &j), COUNT,
                         COUNT * 2.0);                      /* bytes of f16 */
        }
    }
}

static void bench(void)
{
    const pl_ck_variant *v;
    prepare();
    fill(1);
    fill_importance(0);
    for (int i = 0; (v = pl_ck_variant_at(i)); i++) {
        if (v->flags & PL_CPU_VNNI) continue;
        for (int kind = 0; kind < PL_COUNT(kinds); kind++) bench_kind(kind, v, i == 0);
    }
}

const pl_ck_group pl_ck_rows = { "rows", run, bench };
