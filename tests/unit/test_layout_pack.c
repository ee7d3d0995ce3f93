/* test_layout_pack.c: packing by layouts: every path against elements moved one by one, sizes that do not fit, and the
 * table of orders against the blocks that decoders and encoders know. */
#include <string.h>

#include "core/dtype.h"
#include "core/layout_pack.h"
#include "core/layout_table.h"
#include "core/mem.h"
#include "core/packed.h"
#include "core/rng.h"
#include "quantizers/codes.h"
#include "tests/unit/run.h"

enum { SEED = 41 };

static pl_composed C(const char *text)
{
    pl_composed c;
    assert_ok(pl_composed_parse(text, &c));
    return c;
}

/* Element i of an array, bit by bit. */
static uint64_t element(const uint8_t *bytes, int bits, int64_t i)
{
    uint64_t x = 0;
    for (int b = 0; b < bits; b++) {
        int64_t at = i * bits + b;
        x |= (uint64_t)(bytes[at / 8] >> at % 8 & 1) << b;
    }
    return x;
}

static uint8_t *noise(int64_t bytes, uint64_t key)
{
    uint8_t *made = pl_alloc(bytes + 1, 1);
    for (int64_t i = 0; i < bytes; i++) made[i] = (uint8_t)pl_rng_bits(SEED, key, (uint64_t)i);
    return made;
}

/* Both ways, fast and not; arrays are as long as they must be. */
static void compare(const pl_composed *c, int bits)
{
    char text[PL_LAYOUT_TEXT];
    pl_composed_print(c, text);
    int64_t size = pl_layout_size(&c->layout), reach = 0;
    for (int64_t i = 0; i < size; i++) reach = pl_max64(reach, pl_composed_at(c, i) + 1);
    reach = pl_max64(reach, c->offset + pl_layout_cosize(&c->layout));
    int64_t in_bytes = (reach * bits + 7) / 8, out_bytes = (size * bits + 7) / 8;
    uint8_t *in = noise(in_bytes, (uint64_t)bits), *out[2], *back[2];
    bool once;
    for (int k = 0; k < 2; k++) {
        out[k] = noise(out_bytes, 7);
        assert_ok((k ? pl_layout_pack_generic : pl_layout_pack)(c, bits, in, in_bytes, out[k], out_bytes));
        for (int64_t i = 0; i < size; i++)
            ck_assert_msg(element(out[k], bits, i) == element(in, bits, pl_composed_at(c, i)), "%s: %d bits, element %d, %s",
                          text, bits,
                          (int)i, k ? "generic" : pl_layout_pack_path(c, bits));
        if (size * bits % 8) ck_assert_int_eq(out[k][out_bytes - 1] >> size * bits % 8, 0);
    }
    assert_ok(pl_composed_injective(c, &once));
    for (int k = 0; k < 2; k++) {
        pl_status (*unpack)(const pl_composed *, int, const void *, int64_t, void *, int64_t) =
            k ? pl_layout_unpack_generic : pl_layout_unpack;
        back[k] = noise(in_bytes, 9);
        if (!once) assert_fails(unpack(c, bits, out[0], out_bytes, back[k], in_bytes), PL_E_INPUT, "one place for several");
        else assert_ok(unpack(c, bits, out[0], out_bytes, back[k], in_bytes));
    }
    ck_assert_mem_eq(back[0], back[1], (size_t)in_bytes);
    if (once) {
        uint8_t *plain = noise(in_bytes, 9);
        bool *moved = pl_alloc(reach, sizeof *moved);
        for (int64_t i = 0; i < size; i++) moved[pl_composed_at(c, i)] = true;
        for (int64_t i = 0; i < reach; i++)
            ck_assert_msg(element(back[0], bits, i) == element(moved[i] ? in : plain, bits, i), "%s: %d bits, element %d back",
                          text,
                          bits, (int)i);
        pl_free(moved);
        pl_free(plain);
    }
    assert_fails(pl_layout_pack(c, bits, in, in_bytes, out[0], out_bytes - 1), PL_E_INPUT, "do not fit");
    assert_fails(pl_layout_unpack(c, bits, out[0], out_bytes - 1, back[0], in_bytes), PL_E_INPUT, "do not fit");
    assert_fails(pl_layout_pack(c, bits, in, in_bytes - 1, out[0], out_bytes), PL_E_INPUT, "reaches element");
    for (int k = 0; k < 2; k++) {
        pl_free(out[k]);
        pl_free(back[k]);
    }
    pl_free(in);
}

START_TEST(known_paths)
{
    static const struct { const char *text; int bits; const char *path; } cases[] = {
        { "1000:1", 8, "copy" }, { "(10,10):(1,10)", 12, "copy" }, { "7:1", 4, "" }, { "(128,4):(1,130)", 8, "runs" },
        { "(3,5):(1,4)", 8, "" },
        { "(2,16,9):(16,1,32)", 4, "words" }, { "(2,32,4):(32,1,64)", 4, "words" }, { "(2,8,4):(8,1,16)", 4, "words" },
        { "(4,32,2):(32,1,128)", 2, "words" }, { "(8,32,5):(32,1,256)", 1, "words" }, { "(4,2,6):(2,1,8)", 4, "words" },
        { "(4,2,37):(2,1,8)", 4, "words" }, { "(2,4,37):(4,1,8)", 4, "words" }, { "(16,2,37):(2,1,32)", 4, "inverse" },
        { "(8,37):(1,12)", 2, "words" },
        { "(16,4,32):(1,544,16)", 4, "words" }, { "(8,4,4):(1,32,8)", 8, "words" }, { "(2,40):(40,1)", 8, "words" },
        { "(40,48):(48,1)", 8, "transpose" }, { "(41,53):(53,1)", 8, "transpose" }, { "(41,53):(53,1)", 16, "transpose" },
        { "(3,41,2,53,2):(10000,53,3000,1,7000)", 32, "" }, { "(70,130):(130,1)", 64, "transpose" },
        { "(9,9):(9,1)", 32, "transpose" },
        { "(41,3,53,2):(53,10000,1,3000)", 32, "transpose" }, { "(67,65,2,3):(65,1,0,4400)", 16, "transpose" },
        { "((2,2,2),4,(4,8)):((128,8,16),256,(32,1))", 4, "" }, { "((2,2,2),4,(4,8)):((128,8,16),256,(32,1))", 8, "words" },
        { "(((2,2,2),4,(4,8)),2,2):(((1024,8,128),16,(256,1)),64,2048)", 4, "" }, { "(16,2,9):(2,1,32)", 4, "inverse" },
        { "(5,7,3):(21,3,1)", 3, "" }, { "(700,3):(3,1)", 5, "" },
        { "(3,700):(700,1)", 7, "" }, { "S<2,0,3> o 0 o (8,4):(1,8)", 4, "" }, { "S<3,4,3> o 64 o (16,9):(9,1)", 8, "" },
        { "1:0", 8, "copy" }, { "1:0", 3, "" },
        { "S<0,0,0> o 16 o (2,16,4):(16,1,32)", 4, "words" }, { "S<0,0,0> o 3 o (2,16,4):(16,1,32)", 4, "" },
        { "(4,8):(0,1)", 8, "words" },
        { "S<0,0,0> o 2 o (8,16):(16,1)", 8, "transpose" }, { "(2,2,512):(512,0,1)", 8, "words" },
        { "(16,2,3):(2,1,32)", 32, "words" },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_composed c = C(cases[i].text);
        ck_assert_msg(!strcmp(pl_layout_pack_path(&c, cases[i].bits), cases[i].path), "%s, %d bits: '%s'", cases[i].text,
                      cases[i].bits,
                      pl_layout_pack_path(&c, cases[i].bits));
        compare(&c, cases[i].bits);
    }
}
END_TEST

/* Layouts whose modes are those of a compact one in another order, with gaps, repeats and offsets. */
START_TEST(random_layouts)
{
    int paths[6] = { 0 };
    for (uint64_t trial = 0; trial < 4000; trial++) {
        static const char *const names[] = { "", "copy", "runs", "transpose", "words", "inverse" };
        int64_t shape[5], stride[5], place = 1;
        int modes = 1 + (int)(pl_rng_bits(SEED, trial, 0) % 5), order[5];
        for (int i = 0; i < modes; i++) {
            static const int shapes[] = { 2, 2, 4, 4, 8, 16, 3, 5, 9, 12 };
            int at = (int)(pl_rng_bits(SEED, trial, 10 + (uint64_t)i) % (uint64_t)(i + 1));
            order[i] = order[at];
            order[at] = i;
            shape[i] = shapes[pl_rng_bits(SEED, trial, 20 + (uint64_t)i) % (trial % 2 ? 6 : 10)];
        }
        for (int i = 0; i < modes; i++) {
            uint64_t r = pl_rng_bits(SEED, trial, 30 + (uint64_t)i) % 12;
            stride[order[i]] = r == 0 ? 0 : place;
            place *= shape[order[i]] + (r == 1 ? 1 : 0);
        }
        pl_composed c = { .offset = pl_rng_bits(SEED, trial, 40) % 4 == 0 ? (int64_t)(pl_rng_bits(SEED, trial, 41) % 9) : 0 };
        if (pl_rng_bits(SEED, trial, 42) % 8 == 0) c.swizzle = (pl_swizzle){ 2, 1, trial % 3 ? 2 : -3 };
        assert_ok(pl_layout_make(modes, shape, stride, &c.layout));
        if (pl_layout_size(&c.layout) > 3000) continue;
        static const int widths[] = { 1, 2, 4, 4, 8, 8, 16, 32, 64 };
        uint64_t r = pl_rng_bits(SEED, trial, 43);
        int bits = r % 4 ? widths[r / 4 % PL_COUNT(widths)] : 1 + (int)(r / 4 % 64);
        for (int i = 0; i < 6; i++) paths[i] += !strcmp(names[i], pl_layout_pack_path(&c, bits));
        compare(&c, bits);
    }
    for (int i = 0; i < 6; i++) ck_assert_msg(paths[i] > 10, "path %d is rare: %d", i, paths[i]);
}
END_TEST

START_TEST(refused)
{
    uint8_t in[64] = { 0 }, out[64];
    pl_composed c = C("64:1");
    assert_fails(pl_layout_pack(&c, 0, in, 64, out, 64), PL_E_INPUT, "1 to 64 bits, not 0");
    assert_fails(pl_layout_pack(&c, 65, in, 64, out, 64), PL_E_INPUT, "not 65");
    assert_fails(pl_layout_pack(&c, 9, in, 64, out, 64), PL_E_INPUT, "64 elements of 9 bits do not fit 64 bytes");
    c = C("(4611686018427387904,1):(1,0)");
    assert_fails(pl_layout_pack(&c, 64, in, 64, out, 64), PL_E_INPUT, "do not fit");
    c = C("S<2,0,3> o 0 o 26:1");        /* 8 and up go to 9 and up, 24 and 25 to 27 and 26 */
    assert_fails(pl_layout_pack(&c, 8, in, 26, out, 26), PL_E_INPUT, "reaches element 27");
    assert_fails(pl_layout_unpack(&c, 8, in, 26, out, 26), PL_E_INPUT, "reaches element 27");
    assert_ok(pl_layout_pack(&c, 8, in, 28, out, 26));
    c.layout.shape.close[0] = 1;
    assert_fails(pl_layout_pack(&c, 8, in, 28, out, 26), PL_E_INPUT, "parentheses");
}
END_TEST

/* ---- the table ---- */

static pl_layout named(const char *text)
{
    const pl_layout_row *row;
    pl_layout l;
    assert_ok(pl_layout_find(text, &l, &row));
    return l;
}

/* What the bits of a code are as a rank is the encoders' affair; here both are codes. */
static int rank_of(const pl_layout_row *row, int code)
{
    bool e2m1 = row->dtype == PL_MXFP4 || row->dtype == PL_NVFP4;
    if (row->dtype == PL_Q8_0) return code ^ 128;
    return !e2m1 ? code : code == 8 ? 7 : code > 8 ? 15 - code : code + 7;
}

/* For each block type: the codes that quantizers find in random blocks are those that the layouts tell. */
START_TEST(codes_of_blocks)
{
    int types = 0;
    for (int t = 0; t < PL_DTYPES; t++) {
        const pl_codes *known = pl_codes_of(&pl_dtypes[t]);
        uint8_t block[512], field[PL_MAX_BLOCK], rank[PL_MAX_BLOCK];
        int code[PL_MAX_BLOCK] = { 0 }, fields = 0;
        const pl_layout_row *row, *last = NULL;
        for (int trial = 0; known && trial < 20; trial++) {
            for (int i = 0; i < pl_dtypes[t].bytes; i++) block[i] = (uint8_t)pl_rng_bits(SEED, (uint64_t)t,
                (uint64_t)(trial * 512 + i));
            memset(code, 0, sizeof code);
            fields = 0;
            for (int i = 0; (row = pl_layout_row_at(i)); i++) {
                if (row->dtype != t) continue;
                pl_composed l = { .layout = named(row->name) };
                int64_t n = pl_dtypes[t].block, bytes = n * row->bits / 8;
                ck_assert_int_eq(pl_layout_size(&l.layout), n);
                ck_assert_int_le(row->offset + bytes, pl_dtypes[t].bytes);
                assert_ok(pl_layout_unpack(&l, row->bits, block + row->offset, bytes, field, bytes));
                for (int k = 0; k < n; k++) code[k] |= (int)element(field, row->bits, k) << row->shift;
                last = row;
                fields++;
            }
            if (t == PL_TQ1_0) break;          /* digits of base 3 are no bits */
            ck_assert_msg(fields > 0, "%s is not in the table", pl_dtypes[t].name);
            known->exchange(block, rank, false);
            for (int k = 0; k < pl_dtypes[t].block; k++)
                ck_assert_msg(rank[k] == rank_of(last, code[k]), "%s: code %d of element %d, rank %d", pl_dtypes[t].name, code[k],
                              k,
                              rank[k]);
        }
        types += fields > 0;
    }
    ck_assert_int_eq(types, 17);
}
END_TEST

/* Finite scales that are not 0 in all places where a block of the type has them. */
static void put_scales(int t, uint8_t *block)
{
    const uint16_t one = 0x3c00;
    for (int i = 0; i < 2; i++)
        if (pl_dtypes[t].scale_at[i] >= 0) memcpy(block + pl_dtypes[t].scale_at[i], &one, 2);
    if (t == PL_MXFP4) block[0] = 127;
    if (t == PL_NVFP4) memset(block, 0x38, 4);
    if (t == PL_Q2_K) memset(block, 0x11, 16);
    if (t == PL_Q3_K) memset(block + 96, 0x55, 12);
    if (t == PL_Q4_K || t == PL_Q5_K) memset(block + 4, 0x55, 12);
    if (t == PL_Q6_K) memset(block + 192, 3, 16);
    if (t == PL_IQ4_XS) memset(block + 2, 0x55, 6);
}

/* One bit of a field turned over changes the value that its layout names, and no other. */
START_TEST(values_of_blocks)
{
    const pl_layout_row *row;
    int rows = 0;
    for (int i = 0; (row = pl_layout_row_at(i)); i++) {
        if (row->dtype < 0) continue;
        const pl_dtype *type = &pl_dtypes[row->dtype];
        pl_layout l = named(row->name);
        uint8_t block[512];
        float before[PL_MAX_BLOCK], after[PL_MAX_BLOCK];
        for (int k = 0; k < type->bytes; k++) block[k] = (uint8_t)pl_rng_bits(SEED, 77, (uint64_t)k);
        put_scales(row->dtype, block);
        pl_decode(type, block, before, type->block);
        for (int p = 0; p < type->block; p++) {
            uint8_t *byte = block + row->offset + p * row->bits / 8, mask = (uint8_t)(1 << p * row->bits % 8);
            *byte ^= mask;
            pl_decode(type, block, after, type->block);
            *byte ^= mask;
            for (int k = 0; k < type->block; k++)
                ck_assert_msg((before[k] != after[k]) == (k == pl_layout_at(&l, p)), "%s: place %d, element %d", row->name, p, k);
        }
        rows++;
    }
    ck_assert_int_eq(rows, 22);
}
END_TEST

/* Orders of other programs, each against its rule written out. */
START_TEST(other_orders)
{
    static const int awq[] = { 0, 2, 4, 6, 1, 3, 5, 7 };
    pl_layout l = named("awq");
    for (int p = 0; p < 8; p++) ck_assert_int_eq(pl_layout_at(&l, p), awq[p]);
    l = named("rope[h=6]");
    for (int p = 0; p < 6; p++) ck_assert_int_eq(pl_layout_at(&l, p), pl_order_source(p, 6));
    l = named("words[n=40]");
    for (int p = 0; p < 40; p++) ck_assert_int_eq(pl_layout_at(&l, p), p);
    /* Marlin: lane i holds column i/4, rows 2 (i % 4) + { 0, 1, 8, 9 } of a 16 x 8 half; a word has of both halves the
     * codes 0, 2, 4, 6, 1, 3, 5, 7; four tiles of 16 columns. */
    static const int nibbles[] = { 0, 2, 4, 6, 1, 3, 5, 7 }, fragment[] = { 0, 1, 8, 9 };
    pl_layout tile = named("marlin.tile"), whole = named("marlin[K=32,N=128]");
    for (int lane = 0, p = 0; lane < 32; lane++)
        for (int t = 0; t < 4; t++)
            for (int k = 0; k < 8; k++, p++) {
                int code = nibbles[k], row = 2 * (lane % 4) + fragment[code % 4], col = lane / 4 + 8 * (code / 4);
                ck_assert_int_eq(pl_layout_at(&tile, p), 256 * t + 16 * row + col);
                for (int64_t kt = 0; kt < 2; kt++)
                    for (int64_t nt = 0; nt < 2; nt++)
                        ck_assert_int_eq(pl_layout_at(&whole, p + 1024 * nt + 2048 * kt),
                                         (row + 16 * kt) * 128 + 64 * nt + 16 * t + col);
            }
    /* the scale of row m and column c, blocks of V columns */
    l = named("scales.k[V=16]");
    for (int m = 0; m < 128; m++)
        for (int c = 0; c < 64; c++)
            ck_assert_int_eq(pl_layout_at(&l, m + 128 * c), m % 32 * 16 + m / 32 * 4 + c / 16);
    ck_assert_int_eq(pl_layout_cosize(&l), 512);
    /* repacks: b bytes of each of R rows in turn; a byte of Q4_0 has elements j and j + 16 */
    for (int b = 4; b <= 8; b += 4)
        for (int R = 4; R <= 8; R += 4) {
            char text[64];
            snprintf(text, sizeof text, "q4_0.rows[b=%d,R=%d,ld=100]", b, R);
            l = named(text);
            for (int byte = 0; byte < 16 * R; byte++) {
                int row = byte / b % R, j = byte / b / R * b + byte % b;
                ck_assert_int_eq(pl_layout_at(&l, 2 * byte), row * 100 + j);
                ck_assert_int_eq(pl_layout_at(&l, 2 * byte + 1), row * 100 + j + 16);
            }
            snprintf(text, sizeof text, "q8_0.rows[b=%d,R=%d,ld=100]", b, R);
            l = named(text);
            for (int byte = 0; byte < 32 * R; byte++)
                ck_assert_int_eq(pl_layout_at(&l, byte), byte / b % R * 100 + byte / b / R * b + byte % b);
        }
    /* I2_S: field k from the top of byte j */
    l = named("i2_s");
    pl_layout arm = named("i2_s.arm"), across = named("i2_s.rows[n=10,ld=50]");
    for (int k = 0; k < 4; k++) {
        for (int j = 0; j < 32; j++) ck_assert_int_eq(pl_layout_at(&l, 4 * j + k), 32 * k + j);
        for (int j = 0; j < 16; j++) ck_assert_int_eq(pl_layout_at(&arm, 4 * j + k), 16 * k + j);
        for (int j = 0; j < 10; j++) ck_assert_int_eq(pl_layout_at(&across, 4 * j + k), 50 * k + j);
    }
}
END_TEST

START_TEST(names)
{
    const pl_layout_row *row;
    pl_layout l;
    static const char *const bad[][2] = {
        { "q4_9", "no layout has the name" }, { "marlin", "needs a number K in brackets" },
        { "marlin[K=16]", "needs a number N" },
        { "marlin[K=16,N=64", "no layout has the name" }, { "marlin[K=16,M=64]", "expected a number of 'marlin'" },
        { "rope[h=7]", "7 is no multiple of 2" },
        { "q4_0[n=3]", "expected a number" }, { "words[n=]", "expected a number" }, { "words[n=-4]", "expected a number" },
        { "words[n=0]", "at least 1" },
        { "words[n=123456789012345678901234567890]", "expected a number" }, { "", "no layout" }, { "words[", "no layout" },
        { "words[]", "needs a number n" }, { "words[n=4]n=5]", "goes on behind" }, { "words[n=4,n=5]", "expected a number" },
    };
    for (int i = 0; i < PL_COUNT(bad); i++) assert_fails(pl_layout_find(bad[i][0], &l, &row), PL_E_INPUT, bad[i][1]);
    for (int i = 0; (row = pl_layout_row_at(i)); i++)
        for (int k = 0; k < i; k++) ck_assert_str_ne(row->name, pl_layout_row_at(k)->name);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { known_paths, random_layouts, refused, codes_of_blocks, values_of_blocks, other_orders, names };
    return run_suite("layout_pack", tests, PL_COUNT(tests));
}
