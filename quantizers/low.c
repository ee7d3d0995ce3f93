/* low.c: the encoders of TQ1_0, TQ2_0, Q1_0 and Q2_0: one scale per block, no search. */
#include <math.h>
#include <string.h>

#include "core/half.h"
#include "quantizers/encoders.h"

static float largest_magnitude(const float *w, int n)
{
    float largest = 0.0f;
    for (int i = 0; i < n; i++)
        if (fabsf(w[i]) > largest) largest = fabsf(w[i]);
    return largest;
}

static void put_f16(uint8_t *out, float x)
{
    uint16_t d = pl_f32_to_f16(x);
    memcpy(out, &d, 2);
}

/* What w is multiplied by. Infinite for a block whose largest value is below 2^-128. */
static float inverse_of(float d) { return d > 0.0f ? 1.0f / d : 0.0f; }

/* -1, 0, 1 as 0, 1, 2, halves away from zero; |w| <= d. What is not finite counts as 0. */
static int trit(float w, float inverse)
{
    float x = w * inverse;
    if (!(fabsf(x) < INFINITY)) return 1;
    return x >= 0.5f ? 2 : x <= -0.5f ? 0 : 1;
}

/* `digits` values at distance `stride` as a number in base 3 of five digits, scaled up to a byte so that the
 * decoder gets them back by multiplications. */
static uint8_t five_trits(const float *w, int digits, int stride, float inverse)
{
    int value = 0;
    for (int n = 0; n < 5; n++) value = 3 * value + (n < digits ? trit(w[n * stride], inverse) : 0);
    return (uint8_t)((value * 256 + 242) / 243);
}

void pl_encode_tq1_0(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)
{
    for (int64_t i = 0; i < rows * cols; i += 256, w += 256, out += 54) {
        float d = largest_magnitude(w, 256), inverse = inverse_of(d);
        for (int j = 0; j < 32; j++) out[j] = five_trits(w + j, 5, 32, inverse);
        for (int j = 0; j < 16; j++) out[32 + j] = five_trits(w + 160 + j, 5, 16, inverse);
        for (int j = 0; j < 4; j++) out[48 + j] = five_trits(w + 240 + j, 4, 4, inverse);
        put_f16(out + 52, d);
    }
}

void pl_encode_tq2_0(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)
{
    for (int64_t i = 0; i < rows * cols; i += 256, w += 256, out += 66) {
        float d = largest_magnitude(w, 256), inverse = inverse_of(d);
        for (int j = 0; j < 64; j++) {
            const float *from = w + j / 32 * 128 + j % 32;
            int byte = 0;
            for (int n = 0; n < 4; n++) byte |= trit(from[32 * n], inverse) << (2 * n);
            out[j] = (uint8_t)byte;
        }
        put_f16(out + 64, d);
    }
}

void pl_encode_q1_0(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)
{
    for (int64_t i = 0; i < rows * cols; i += 128, w += 128, out += 18) {
        float sum = 0.0f;
        memset(out, 0, 18);
        for (int j = 0; j < 128; j++) {
            sum += fabsf(w[j]);
            if (w[j] >= 0.0f) out[2 + j / 8] |= (uint8_t)(1 << (j % 8));
        }
        put_f16(out, sum / 128.0f);
    }
}

/* The rule of these codes -1 .. 2 never gives 2: the scale is the largest magnitude. A quotient that is not
 * finite gets the lowest code. */
void pl_encode_q2_0(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)
{
    for (int64_t i = 0; i < rows * cols; i += 64, w += 64, out += 18) {
        float d = largest_magnitude(w, 64), inverse = inverse_of(d);
        memset(out, 0, 18);
        for (int j = 0; j < 64; j++) {
            int code = fabsf(w[j] * inverse) < INFINITY ? trit(w[j], inverse) : 0;
            out[2 + j / 4] |= (uint8_t)(code << (j % 4 * 2));
        }
        put_f16(out, d);
    }
}
