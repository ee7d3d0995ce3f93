/* dtype.c: the element types, their decoders in plain C (the definition) and the choice of faster
 * ones. docs/methods/gguf-types.md has the formulas. */
#include "core/dtype.h"

#include <pthread.h>
#include <string.h>
#include <strings.h>

#include "core/blocks.h"
#include "core/cpu.h"
#include "core/dtype_blocks.h"
#include "core/half.h"

static void decode_f32(const void *blocks, float *out, int64_t count)
{
    if (count > 0) memcpy(out, blocks, (size_t)count * 4);
}

static void decode_q8_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_q8_0), out += 32) {
        pl_block_q8_0 b;
        memcpy(&b, p, sizeof b);
        float d = pl_f16_to_f32(b.d);
        for (int j = 0; j < 32; j++) out[j] = d * (float)b.qs[j];
    }
}

/* Value j of a 4-bit block: low nibbles hold the first half of the values, high ones the second. */
static int nibble(const uint8_t qs[16], int j)
{
    return j < 16 ? qs[j] & 15 : qs[j - 16] >> 4;
}

static int fifth_bit(const uint8_t qh[4], int j)
{
    return (qh[j / 8] >> (j % 8) & 1) << 4;
}

static void decode_q4_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_q4_0), out += 32) {
        pl_block_q4_0 b;
        memcpy(&b, p, sizeof b);
        float d = pl_f16_to_f32(b.d);
        for (int j = 0; j < 32; j++) out[j] = d * (float)(nibble(b.qs, j) - 8);
    }
}

static void decode_q4_1(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_q4_1), out += 32) {
        pl_block_q4_1 b;
        memcpy(&b, p, sizeof b);
        float d = pl_f16_to_f32(b.d), m = pl_f16_to_f32(b.m);
        for (int j = 0; j < 32; j++) out[j] = d * (float)nibble(b.qs, j) + m;
    }
}

static void decode_q5_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_q5_0), out += 32) {
        pl_block_q5_0 b;
        memcpy(&b, p, sizeof b);
        float d = pl_f16_to_f32(b.d);
        for (int j = 0; j < 32; j++)
            out[j] = d * (float)((nibble(b.qs, j) | fifth_bit(b.qh, j)) - 16);
    }
}

static void decode_q5_1(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_q5_1), out += 32) {
        pl_block_q5_1 b;
        memcpy(&b, p, sizeof b);
        float d = pl_f16_to_f32(b.d), m = pl_f16_to_f32(b.m);
        for (int j = 0; j < 32; j++)
            out[j] = d * (float)(nibble(b.qs, j) | fifth_bit(b.qh, j)) + m;
    }
}

static void decode_f8_e4m3(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i++) {
        uint32_t sign = (p[i] & 0x80u) << 24, value = p[i] & 0x7fu;
        float tiny = (float)(int32_t)value * 0x1p-9f;           /* where the exponent is 0 */
        uint32_t bits = value < 8 ? pl_f32_bits(tiny) : (value << 20) + (120u << 23);
        out[i] = pl_bits_f32(sign | (value == 0x7f ? 0x7ff00000u : bits));
    }
}

static void decode_f8_e5m2(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i++) out[i] = pl_f16_to_f32((uint16_t)(p[i] << 8));
}

static void decode_f8_e8m0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i++) {
        uint32_t e = p[i];
        out[i] = pl_bits_f32(e == 255 ? 0x7fc00000u : e == 0 ? 0x00400000u : e << 23);
    }
}

const pl_dtype pl_dtypes[PL_DTYPES_ALL] = {
    [PL_F32]  = { "f32",  1,  4,  0,  "F32",  decode_f32,  { -1, -1 }, NULL },
    [PL_F16]  = { "f16",  1,  2,  1,  "F16",  pl_f16_to_f32_plain, { -1, -1 }, NULL },
    [PL_BF16] = { "bf16", 1,  2,  30, "BF16", pl_bf16_to_f32_plain, { -1, -1 }, NULL },
    [PL_Q8_0] = { "q8_0", 32, 34, 8,  NULL,   decode_q8_0, { 0, -1 }, NULL },
    [PL_Q4_0] = { "q4_0", 32, 18, 2,  NULL,   decode_q4_0, { 0, -1 }, NULL },
    [PL_Q4_1] = { "q4_1", 32, 20, 3,  NULL,   decode_q4_1, { 0, 2 }, NULL },
    [PL_Q5_0] = { "q5_0", 32, 22, 6,  NULL,   decode_q5_0, { 0, -1 }, NULL },
    [PL_Q5_1] = { "q5_1", 32, 24, 7,  NULL,   decode_q5_1, { 0, 2 }, NULL },
    [PL_F8_E4M3] = { "f8_e4m3", 1, 1, -1, "F8_E4M3", decode_f8_e4m3, { -1, -1 }, NULL },
    [PL_F8_E5M2] = { "f8_e5m2", 1, 1, -1, "F8_E5M2", decode_f8_e5m2, { -1, -1 }, NULL },
    [PL_F8_E8M0] = { "f8_e8m0", 1, 1, -1, "F8_E8M0", decode_f8_e8m0, { -1, -1 }, NULL },
    [PL_F4_E2M1] = { "f4_e2m1", 2, 1, -1, "F4", pl_decode_f4_e2m1, { -1, -1 }, NULL },
    [PL_U32] = { "u32", 1, 4, -1, "U32", NULL, { -1, -1 }, NULL },
    [PL_U8] = { "u8", 1, 1, -1, "U8", NULL, { -1, -1 }, NULL },
    [PL_Q2_K] = { "q2_k", 256, 84, 10, NULL, pl_decode_q2_k, { 80, 82 }, NULL },
    [PL_Q3_K] = { "q3_k", 256, 110, 11, NULL, pl_decode_q3_k, { 108, -1 }, NULL },
    [PL_Q4_K] = { "q4_k", 256, 144, 12, NULL, pl_decode_q4_k, { 0, 2 }, NULL },
    [PL_Q5_K] = { "q5_k", 256, 176, 13, NULL, pl_decode_q5_k, { 0, 2 }, NULL },
    [PL_Q6_K] = { "q6_k", 256, 210, 14, NULL, pl_decode_q6_k, { 208, -1 }, NULL },
    [PL_IQ2_XXS] = { "iq2_xxs", 256, 66, 16, NULL, pl_decode_iq2_xxs, { 0, -1 }, NULL },
    [PL_IQ2_XS] = { "iq2_xs", 256, 74, 17, NULL, pl_decode_iq2_xs, { 0, -1 }, NULL },
    [PL_IQ2_S] = { "iq2_s", 256, 82, 22, NULL, pl_decode_iq2_s, { 0, -1 }, NULL },
    [PL_IQ3_XXS] = { "iq3_xxs", 256, 98, 18, NULL, pl_decode_iq3_xxs, { 0, -1 }, NULL },
    [PL_IQ3_S] = { "iq3_s", 256, 110, 21, NULL, pl_decode_iq3_s, { 0, -1 }, NULL },
    [PL_IQ1_S] = { "iq1_s", 256, 50, 19, NULL, pl_decode_iq1_s, { 0, -1 }, NULL },
    [PL_IQ1_M] = { "iq1_m", 256, 56, 29, NULL, pl_decode_iq1_m, { -1, -1 }, pl_bad_iq1_m },
    [PL_IQ4_NL] = { "iq4_nl", 32, 18, 20, NULL, pl_decode_iq4_nl, { 0, -1 }, NULL },
    [PL_IQ4_XS] = { "iq4_xs", 256, 136, 23, NULL, pl_decode_iq4_xs, { 0, -1 }, NULL },
    [PL_TQ1_0] = { "tq1_0", 256, 54, 34, NULL, pl_decode_tq1_0, { 52, -1 }, NULL },
    [PL_TQ2_0] = { "tq2_0", 256, 66, 35, NULL, pl_decode_tq2_0, { 64, -1 }, NULL },
    [PL_MXFP4] = { "mxfp4", 32, 17, 39, NULL, pl_decode_mxfp4, { -1, -1 }, pl_bad_mxfp4 },
    [PL_NVFP4] = { "nvfp4", 64, 36, 40, NULL, pl_decode_nvfp4, { -1, -1 }, pl_bad_nvfp4 },
    [PL_Q1_0] = { "q1_0", 128, 18, 41, NULL, pl_decode_q1_0, { 0, -1 }, NULL },
    [PL_Q2_0] = { "q2_0", 64, 18, 42, NULL, pl_decode_q2_0, { 0, -1 }, NULL },
};

const pl_dtype *pl_dtype_find(const char *name)
{
    for (int i = 0; i < PL_DTYPES_READ; i++)
        if (strcasecmp(pl_dtypes[i].name, name) == 0) return &pl_dtypes[i];
    return NULL;
}

const pl_dtype *pl_dtype_by_gguf(int id)
{
    if (id < 0) return NULL;
    for (int i = 0; i < PL_DTYPES_READ; i++)
        if (pl_dtypes[i].gguf_id == id) return &pl_dtypes[i];
    return NULL;
}

const pl_dtype *pl_dtype_by_safetensors(const char *name)
{
    for (int i = 0; i < PL_DTYPES_READ; i++)
        if (pl_dtypes[i].safetensors && strcmp(pl_dtypes[i].safetensors, name) == 0)
            return &pl_dtypes[i];
    return NULL;
}

const char *pl_dtype_gguf_name(int id)
{
    /* gaps: numbers that ggml gave to types it has removed since */
    static const char *const names[] = {
        [0] = "f32", [1] = "f16", [2] = "q4_0", [3] = "q4_1", [6] = "q5_0", [7] = "q5_1",
        [8] = "q8_0", [9] = "q8_1", [10] = "q2_k", [11] = "q3_k", [12] = "q4_k", [13] = "q5_k",
        [14] = "q6_k", [15] = "q8_k", [16] = "iq2_xxs", [17] = "iq2_xs", [18] = "iq3_xxs",
        [19] = "iq1_s", [20] = "iq4_nl", [21] = "iq3_s", [22] = "iq2_s", [23] = "iq4_xs",
        [24] = "i8", [25] = "i16", [26] = "i32", [27] = "i64", [28] = "f64", [29] = "iq1_m",
        [30] = "bf16", [34] = "tq1_0", [35] = "tq2_0", [39] = "mxfp4", [40] = "nvfp4",
        [41] = "q1_0", [42] = "q2_0",
    };
    return id >= 0 && id < PL_COUNT(names) ? names[id] : NULL;
}

bool pl_dtype_is_float(const pl_dtype *dtype)
{
    return dtype == &pl_dtypes[PL_F32] || dtype == &pl_dtypes[PL_F16] || dtype == &pl_dtypes[PL_BF16];
}

pl_status pl_dtype_row_bytes(const pl_dtype *dtype, int64_t cols, int64_t *bytes)
{
    if (cols < 0 || cols % dtype->block != 0)
        return pl_fail(PL_E_WISH, "%s holds rows of a multiple of %d values, not of %lld",
                       dtype->name, dtype->block, (long long)cols);
    if (!pl_mul_ok(cols / dtype->block, dtype->bytes, bytes))
        return pl_fail(PL_E_INPUT, "a row of %lld values is too long", (long long)cols);
    return PL_OK;
}

void pl_decoders_init(pl_decoders *list, unsigned cpu_flags)
{
    pl_half_rows rows;
    pl_half_rows_init(&rows, cpu_flags);
    *list = (pl_decoders){ { NULL } };
    list->decode[PL_F16] = rows.f16_to_f32;
    list->decode[PL_BF16] = rows.bf16_to_f32;
#if defined(PL_X86)
    if (cpu_flags & PL_CPU_AVX2) {
        pl_decoders_avx2(list);
        pl_decoders_iq_avx2(list);
        pl_decoders_k_avx2(list);
        pl_decoders_low_avx2(list);
    }
    if (cpu_flags & PL_CPU_AVX512) {
        pl_decoders_avx512(list);
        pl_decoders_iq_avx512(list);
        pl_decoders_k_avx512(list);
        pl_decoders_low_avx512(list);
    }
#elif defined(PL_NEON)
    if (cpu_flags & PL_CPU_NEON) {
        pl_decoders_neon(list);
        pl_decoders_iq_neon(list);
        pl_decoders_k_neon(list);
        pl_decoders_low_neon(list);
    }
#endif
}

static pl_decoders fastest;
static void choose(void) { pl_decoders_init(&fastest, pl_cpu_flags()); }

void pl_decode(const pl_dtype *dtype, const void *blocks, float *out, int64_t count)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose);
    void (*decode)(const void *, float *, int64_t) = fastest.decode[dtype - pl_dtypes];
    (decode ? decode : dtype->decode)(blocks, out, count);
}

static bool finite_f16(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return (h & 0x7c00) != 0x7c00;
}

int64_t pl_dtype_find_nonfinite(const pl_dtype *dtype, const void *blocks, int64_t count)
{
    const uint8_t *p = blocks;
    if (dtype->block == 1) {                /* the values themselves may be bad */
        float wide[1024];
        for (int64_t i = 0; i < count; i += PL_COUNT(wide)) {
            int64_t n = pl_min64(count - i, PL_COUNT(wide));
            pl_decode(dtype, p + i * dtype->bytes, wide, n);
            int64_t bad = pl_find_nonfinite(wide, n);
            if (bad >= 0) return i + bad;
        }
        return -1;
    }
    for (int64_t i = 0; i < count; i += dtype->block, p += dtype->bytes) {
        if (dtype->bad && dtype->bad(p)) return i;
        for (int k = 0; k < 2; k++)
            if (dtype->scale_at[k] >= 0 && !finite_f16(p + dtype->scale_at[k])) return i;
    }
    return -1;
}
