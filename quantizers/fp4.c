/* fp4.c: the encoders of MXFP4 and NVFP4: 4-bit floats under scales of 8 bits. */
#include <math.h>
#include <string.h>

#include "core/half.h"
#include "quantizers/encoders.h"

/* Twice the values of the codes 0 .. 7; 8 .. 15 are the same below zero. */
static const float twice[8] = { 0.0f, 1.0f, 2.0f, 3.0f, 4.0f, 6.0f, 8.0f, 12.0f };

/* Code of the value nearest to x, half: half the scale. Of equals the lower code. */
static int nearest_code(float x, float half)
{
    int best = 0;
    float least = fabsf(x);
    for (int code = 1; code < 16; code++) {
        float value = code < 8 ? twice[code] * half : -twice[code - 8] * half;
        float error = fabsf(value - x);
        if (error >= least) continue;
        best = code;
        least = error;
    }
    return best;
}

/* n codes, the first half of them in low nibbles. */
static void put_codes(const float *w, int n, float half, uint8_t *out)
{
    for (int j = 0; j < n / 2; j++)
        out[j] = (uint8_t)(nearest_code(w[j], half) | nearest_code(w[j + n / 2], half) << 4);
}

static float largest_magnitude(const float *w, int n)
{
    float largest = 0.0f;
    for (int i = 0; i < n; i++)
        if (fabsf(w[i]) > largest) largest = fabsf(w[i]);
    return largest;
}

/* floor of the f32 nearest to log2(x), x > 0: the reference takes the floor after that rounding, so the last few
 * floats below a power of two count as that power. How many: the distance from log2 to the power, (1 - x / 2^k)
 * / ln 2, is below half a step of the floats around k. */
static int floor_log2(float x)
{
    uint32_t bits = pl_f32_bits(x);
    int shift = bits < 0x800000u ? __builtin_clz(bits) - 8 : 0;
    int exponent = (bits < 0x800000u ? 1 - shift : (int)(bits >> 23)) - 127;
    int missing = 0x800000 - (int)(bits << shift & 0x7fffffu);      /* of 2^23, up to the next power */
    int next = exponent + 1, size = next > 0 ? next - 1 : -next;   /* |log2 x| is in size .. size+1 */
    float limit = 0.0f;                                             /* in units of 2^-24 of the power */
    if (size > 0) limit = 0.69314718f * (float)(1 << (31 - __builtin_clz((uint32_t)size)));
    return (float)missing < limit ? next : exponent;
}

/* Below 2^-125 there is no exponent for this rule (the reference's wraps around, up to the NaN); such a block
 * gets the smallest. */
void pl_encode_mxfp4(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)
{
    for (int64_t i = 0; i < rows * cols; i += 32, w += 32, out += 17) {
        float largest = largest_magnitude(w, 32);
        int e = largest > 0.0f ? floor_log2(largest) - 2 + 127 : 0;
        if (e < 0) e = 0;
        out[0] = (uint8_t)e;
        /* 2^(e - 128) */
        put_codes(w, 32, pl_bits_f32(e >= 2 ? (uint32_t)(e - 1) << 23 : 0x200000u << e), out + 1);
    }
}

/* x >= 0 to 4 bits of exponent, bias 7, and 3 of mantissa; half away from zero. The reference knows one value in
 * the last binade, 448, and gives it to all that rounds to 256 or more. */
static uint8_t to_ue4m3(float x)
{
    if (!(x < 256.0f)) return 0x7e;
    if (x < 0x1p-6f) {
        int steps = (int)(x * 512.0f + 0.5f);
        return (uint8_t)(steps > 7 ? 7 : steps);
    }
    uint32_t rounded = (pl_f32_bits(x) + 0x80000u) >> 20;
    uint32_t code = rounded - (120u << 3);
    return (uint8_t)(code < 0x78 ? code : 0x7e);
}

static float half_ue4m3(uint8_t code)
{
    if (code < 8) return (float)code * 0x1p-10f;
    return pl_bits_f32(((uint32_t)code << 20) + (119u << 23));
}

void pl_encode_nvfp4(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)
{
    for (int64_t i = 0; i < rows * cols; i += 64, out += 36)
        for (int s = 0; s < 4; s++, w += 16) {
            out[s] = to_ue4m3(largest_magnitude(w, 16) / 6.0f);
            put_codes(w, 16, half_ue4m3(out[s]), out + 4 + 8 * s);
        }
}
