/* checkkern_layout.c: packing by layouts: the fast paths give the bytes of the definition; the speed of both. */
#include <string.h>

#include "core/layout_pack.h"
#include "core/rng.h"
#include "tests/kernels/checkkern.h"

enum { ROOM = 1 << 21, SEED = 29 };

/* About a MiB of a format's blocks, of rows turned or interleaved; numbers of blocks that words and tiles do not divide. */
static const struct { const char *name, *text; int bits; } cases[] = {
    { "identity", "1048571:1", 8 },
    { "q4_0", "(2,16,65535):(16,1,32)", 4 },
    { "q4_k", "(2,32,32767):(32,1,64)", 4 },
    { "nvfp4", "(2,8,131071):(8,1,16)", 4 },
    { "q6_k", "(2,32,2,16383):(64,1,32,128)", 4 },
    { "q2_k", "(4,32,32767):(32,1,128)", 2 },
    { "q5_k.high", "(8,32,32767):(32,1,256)", 1 },
    { "awq", "(4,2,262143):(2,1,8)", 4 },
    { "awq_back", "(2,4,262143):(4,1,8)", 4 },
    { "q4_0_back", "(16,2,65535):(2,1,32)", 4 },
    { "transpose_8", "(1001,1003):(1003,1)", 8 },
    { "transpose_16", "(701,703):(703,1)", 16 },
    { "transpose_32", "(501,503):(503,1)", 32 },
    { "transpose_32_pow2", "(512,512):(512,1)", 32 },
    { "transpose_8_pow2", "(1024,1024):(1024,1)", 8 },
    { "rows2_8", "(2,1000,500):(1000,1,2000)", 8 },
    { "rows4_16", "(4,1000,130):(1000,1,4000)", 16 },
    { "rows8_8", "(8,1000,130):(1000,1,8000)", 8 },
    { "rows8_32", "(8,1000,32):(1000,1,8000)", 32 },
    { "q8_0.rows4x4", "(4,4,8,8000):(1,32,4,128)", 8 },
    { "q8_0.rows8x8", "(8,8,4,4000):(1,32,8,256)", 8 },
    { "marlin", "(((2,2,2),4,(4,8)),16,64):(((8192,8,1024),16,(2048,1)),64,16384)", 4 },
    { "odd_bytes", "(5,7,29000):(7,1,35)", 8 },
    { "five_bits", "(5,7,29000):(7,1,35)", 5 },
    { "swizzled", "S<3,4,3> o 0 o 1048576:1", 8 },
};

static uint8_t in[ROOM], got[ROOM], expected[ROOM];

static void run(void)
{
    for (uint64_t i = 0; i < ROOM; i++) in[i] = (uint8_t)pl_rng_bits(SEED, 0, i);
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_composed c;
        int bits = cases[i].bits;
        if (pl_composed_parse(cases[i].text, &c) != PL_OK ||
            pl_layout_pack_generic(&c, bits, in, ROOM, expected, ROOM) != PL_OK ||
            pl_layout_pack(&c, bits, in, ROOM, got, ROOM) != PL_OK) {
            pl_ck_fail("layout %s: %s", cases[i].name, pl_error());
            continue;
        }
        size_t bytes = (size_t)((pl_layout_size(&c.layout) * bits + 7) / 8);
        if (memcmp(got, expected, bytes)) pl_ck_fail("layout %s is packed otherwise", cases[i].name);
        memset(got, 0, ROOM);
        memset(expected, 0, ROOM);
        if (pl_layout_unpack_generic(&c, bits, in, ROOM, expected, ROOM) != PL_OK ||
            pl_layout_unpack(&c, bits, in, ROOM, got, ROOM) != PL_OK || memcmp(got, expected, ROOM))
            pl_ck_fail("layout %s is unpacked otherwise", cases[i].name);
    }
}

typedef struct job {
    pl_status (*move)(const pl_composed *, int, const void *, int64_t, void *, int64_t);
    const pl_composed *c;
    int bits;
} job;

static void move(void *ctx)
{
    const job *j = ctx;
    if (j->move(j->c, j->bits, in, ROOM, got, ROOM) != PL_OK) pl_ck_fail("layout: %s", pl_error());
}

/* Gigabytes are those of the output. */
static void bench(void)
{
    static const struct { const char *name; pl_status (*move)(const pl_composed *, int, const void *, int64_t, void *, int64_t); }
    ways[] = {
        { "layout_pack", pl_layout_pack }, { "layout_unpack", pl_layout_unpack },
        { "layout_pack_generic", pl_layout_pack_generic },
        { "layout_unpack_generic", pl_layout_unpack_generic },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_composed c;
        if (pl_composed_parse(cases[i].text, &c) != PL_OK) continue;
        double elements = (double)pl_layout_size(&c.layout);
        for (int k = 0; k < PL_COUNT(ways); k++) {
            job j = { ways[k].move, &c, cases[i].bits };
            const char *path = k < 2 ? pl_layout_pack_path(&c, cases[i].bits) : "";
            pl_ck_report(ways[k].name, cases[i].name, path, pl_ck_seconds(move, &j), elements, elements * cases[i].bits / 8);
        }
    }
}

const pl_ck_group pl_ck_layout = { "layout", run, bench };
