/* best_iq.h: the search of the IQ types on grids, iq1 to iq3, over lanes: scales and points of a block that leave less
 * weighted error than the reference's. */
#ifndef QUANTIZERS_BEST_IQ_H
#define QUANTIZERS_BEST_IQ_H

#include "core/dtype_iq.h"
#include "quantizers/best_keep.h"
#include "quantizers/iq_list.h"
#include "quantizers/iq_pack.h"

/* Values of a block; octets of eight values: those share a byte of signs and, of iq1, the sign of their eighths;
 * the most groups (values of one point) and sub-blocks (values under one scale). */
enum { BQ_BLOCK = 256, BQ_OCTETS = 32, BQ_GROUPS = 64, BQ_SUBS = 16 };

/* A type: value = d (2 code + 1) q with a q of `level`, which is what readers take for a level, and not quite the odd
 * number that the reference works with. Of iq1 there are two sets of levels and values have no signs beside them. */
typedef struct bq_form {
    int dtype, n;               /* values of a sub-block */
    int dims, bits;             /* values of a point, bits of a level */
    int top;                    /* the largest code of a scale */
    int sets, octets;           /* sets of levels, octets that share one */
    bool even;                  /* the number of negative values in an octet has to be even */
    int levels;
    float level[2][16];         /* repeated */
    float unit;                 /* what pl_iq_group's factors are made of */
    pl_iq_group (*group)(const uint8_t *block, int b, const pl_iq_grids *grids);
    pl_iq_packer pack;
    int most;                   /* of the nearest points are looked at */
    int rounds;                 /* of one step of scales up and one down; without any, d alone is fitted */
} bq_form;

/* A block: magnitudes or, of iq1, values; once more with value i of group g at [i * groups + g]. */
typedef struct bq_values {
    float x[BQ_BLOCK], h[BQ_BLOCK], x_of[BQ_BLOCK], h_of[BQ_BLOCK];
    uint8_t signs[BQ_OCTETS];
    bool odd[BQ_OCTETS];        /* one sign has to turn */
} bq_values;

/* Scales, and what they lead to: points by their keys, sets of levels, the error of each sub-block. */
typedef struct bq_state {
    float d, factor[BQ_SUBS], error[BQ_SUBS], key[BQ_GROUPS], set[BQ_OCTETS];
} bq_state;

PL_INLINE void bq_load(const float *w, const float *h, const bq_form f, bq_values *v)
{
    const int groups = BQ_BLOCK / f.dims;
    for (int o = 0; o < BQ_OCTETS; o++) {
        unsigned signs = 0;
        for (int i = 0; f.sets == 1 && i < 8; i++) signs |= (unsigned)(w[8 * o + i] < 0.0f) << i;
        v->signs[o] = (uint8_t)signs;
        v->odd[o] = f.even && __builtin_parity(signs);
    }
    for (int i = 0; i < BQ_BLOCK; i++) {
        int to = i % f.dims * groups + i / f.dims;
        v->x_of[to] = v->x[i] = f.sets == 1 ? fabsf(w[i]) : w[i];
        v->h_of[to] = v->h[i] = h ? h[i] : 1.0f;
    }
}

/* ---- the points for given scales ---- */

/* Keys of the levels nearest to the values, one group per lane. */
PL_INLINE void bq_keys(const bq_values *v, const bq_form f, const bq_state *t, int set, float *key)
{
    const int groups = BQ_BLOCK / f.dims, per_sub = f.n / f.dims;
    float inverse[BQ_GROUPS];
    for (int g = 0; g < groups; g++) inverse[g] = 1.0f / (t->d * t->factor[g / per_sub]);
    for (int g = 0; g < groups; g += PL_LANES) {
        vf packed = v_every(0.0f);
        for (int i = 0; i < f.dims; i++) {
            vf y = v_at(v->x_of + i * groups + g, 1) * v_at(inverse + g, 1), digit = v_every((float)(1 << f.bits * i));
            for (int l = 1; l < f.levels; l++) {
                vm above = v_less(v_every(0.5f * (f.level[set][l - 1] + f.level[set][l])), y);
                packed = packed + v_pick(above, digit, v_every(0.0f));
            }
        }
        v_put(packed, key + g);
    }
}

/* The point near these levels with the least error, its key in place of theirs. */
PL_INLINE float bq_find(const pl_iq_near *near, const bq_form f, const pl_iq_table *term, const pl_iq_table *turn,
                        float *key)
{
    uint16_t single[1 + PL_IQ_NEAR_SPARE] = { 1, (uint16_t)*key };
    int32_t place = near->place[(int)*key];
    const uint16_t *list = place < 0 ? near->near_keys - 1 - place : single;
    int n = list[0] < f.most ? list[0] : f.most;
    pl_iq_found found = pl_iq_nearest(list + 1, n, term, turn, f.dims, f.bits);
    *key = (float)found.key;
    return found.sum;
}

/* Points of octet o from the keys of its nearest levels; returns their error. Where a sign has to turn, value i adds
 * (x + s q)^2 - (x - s q)^2 = 4 x s q to its term, and which of the eight it is comes out together with the points. */
PL_INLINE float bq_octet(const bq_values *v, const pl_iq_near *near, const bq_form f, int o, int set, float scale,
                         float *key)
{
    const pl_iq_table q = pl_iq_levels(f.level[set]);
    const float *x = v->x + 8 * o, *h = v->h + 8 * o;
    pl_iq_table term[8], turn[8];
    for (int i = 0; i < 8; i++) term[i] = pl_iq_term(q, scale, x[i], h[i]);
    for (int i = 0; v->odd[o] && i < 8; i++) turn[i] = pl_iq_times(q, 4.0f * h[i] * x[i] * scale);
    if (f.dims == 8) return bq_find(near, f, term, v->odd[o] ? turn : NULL, key);
    float other[2] = { key[0], key[1] }, error[2], turned[2];
    for (int g = 0; g < 2; g++) error[g] = bq_find(near, f, term + 4 * g, NULL, key + g);
    if (!v->odd[o]) return error[0] + error[1];
    for (int g = 0; g < 2; g++) turned[g] = bq_find(near, f, term + 4 * g, turn + 4 * g, other + g);
    int at = turned[1] + error[0] < turned[0] + error[1];
    key[at] = other[at];
    return turned[at] + error[1 - at];
}

/* All points of `t` by its scales. keep: those of its sets of levels only. */
PL_INLINE void bq_measure(const bq_values *v, const pl_iq_near *near, const bq_form f, bool keep, bq_state *t)
{
    const int per_octet = 8 / f.dims, octets = f.n / 8;
    float key[2][BQ_GROUPS], error[2][BQ_OCTETS];
    for (int set = 0; set < f.sets; set++) {
        bq_keys(v, f, t, set, key[set]);
        for (int o = 0; o < BQ_OCTETS; o++) {
            error[set][o] = INFINITY;
            if (keep && t->set[o] != (float)set) continue;
            error[set][o] = bq_octet(v, near, f, o, set, t->d * t->factor[o / octets], key[set] + o * per_octet);
        }
    }
    memset(t->error, 0, sizeof t->error);
    for (int o = 0; o < BQ_OCTETS; o += f.octets) {
        float sum[2] = { 0.0f, 0.0f };
        for (int set = 0; set < f.sets; set++)
            for (int i = o; i < o + f.octets; i++) sum[set] += error[set][i];
        int set = f.sets == 2 && sum[1] < sum[0];
        t->error[o / octets] += sum[set];
        for (int i = o; i < o + f.octets; i++) t->set[i] = (float)set;
        memcpy(t->key + o * per_octet, key[set] + o * per_octet, (size_t)(f.octets * per_octet) * sizeof(float));
    }
}

PL_INLINE float bq_error(const bq_state *t, const bq_form f)
{
    float sum = 0.0f;
    for (int k = 0; k < BQ_BLOCK / f.n; k++) sum += t->error[k];
    return sum;
}

/* ---- other scales ---- */

/* Codes of all scales one up or down; sub-blocks that have less error then stay so. */
PL_INLINE void bq_step(const bq_values *v, const pl_iq_near *near, const bq_form f, float step, bq_state *t)
{
    const int octets = f.n / 8, groups = f.n / f.dims;
    const float top = (float)(2 * f.top + 1);
    bq_state other = *t;
    for (int k = 0; k < BQ_BLOCK / f.n; k++) {
        float factor = t->factor[k] + step;
        other.factor[k] = factor < 1.0f ? 1.0f : factor > top ? top : factor;
    }
    bq_measure(v, near, f, false, &other);
    for (int k = 0; k < BQ_BLOCK / f.n; k++) {
        if (!(other.error[k] < t->error[k])) continue;
        t->factor[k] = other.factor[k];
        t->error[k] = other.error[k];
        memcpy(t->key + k * groups, other.key + k * groups, (size_t)groups * sizeof(float));
        memcpy(t->set + k * octets, other.set + k * octets, (size_t)octets * sizeof(float));
    }
}

/* d by least squares for the points as they are, rounded to f16; it stays if the points for it have less error. */
PL_INLINE void bq_refit(const bq_values *v, const pl_iq_near *near, const bq_form f, bq_state *t)
{
    const int groups = BQ_BLOCK / f.dims, per_octet = 8 / f.dims;
    const pl_iq_table level[2] = { pl_iq_levels(f.level[0]), pl_iq_levels(f.level[f.sets - 1]) };
    float qx[BQ_GROUPS], q2[BQ_GROUPS], lowest[BQ_GROUPS], sum_qx = 0.0f, sum_q2 = 0.0f;
    for (int g = 0; g < groups; g += PL_LANES) {
        vi keys = v_keys(v_at(t->key + g, 1));
        vf sums_qx = v_every(0.0f), sums_q2 = sums_qx, least = v_every(FLT_MAX);
        for (int i = 0; i < f.dims; i++) {
            vf q = v_look(&level[0], keys, i * f.bits), h = v_at(v->h_of + i * groups + g, 1);
            if (f.sets == 2)
                q = v_pick(v_less(v_every(0.0f), v_at(t->set + g, 1)), v_look(&level[1], keys, i * f.bits), q);
            vf hq = h * q, hqx = hq * v_at(v->x_of + i * groups + g, 1);
            sums_qx = sums_qx + hqx;
            sums_q2 = sums_q2 + hq * q;
            least = v_min(least, hqx);
        }
        v_put(sums_qx, qx + g);
        v_put(sums_q2, q2 + g);
        v_put(least, lowest + g);
    }
    for (int o = 0; o < BQ_OCTETS; o++) {
        float factor = t->factor[o * 8 / f.n], least = lowest[o * per_octet];
        for (int g = o * per_octet; g < (o + 1) * per_octet; g++) {
            sum_qx += factor * qx[g];
            sum_q2 += factor * factor * q2[g];
            least = lowest[g] < least ? lowest[g] : least;
        }
        if (v->odd[o]) sum_qx -= 2.0f * factor * least;         /* of the value whose sign turns */
    }
    bq_state other = *t;
    other.d = pl_f16_to_f32(pl_f32_to_f16(sum_qx / sum_q2));
    if (!(other.d > 0.0f && other.d < INFINITY)) return;
    bq_measure(v, near, f, true, &other);
    if (bq_error(&other, f) < bq_error(t, f)) *t = other;
}

/* ---- blocks ---- */

PL_INLINE void bq_put(const bq_values *v, const pl_iq_near *near, const bq_form f, const bq_state *t, uint8_t *out)
{
    pl_iq_codes codes = { .d = pl_f32_to_f16(t->d) };
    for (int k = 0; k < BQ_BLOCK / f.n; k++) codes.scale[k] = (uint8_t)((int)t->factor[k] >> 1);
    for (int g = 0; g < BQ_BLOCK / f.dims; g++) codes.index[g] = (uint16_t)near->place[(int)t->key[g]];
    for (int o = 0; o < BQ_OCTETS; o++) {
        codes.signs[o] = f.sets == 1 ? v->signs[o] : t->set[o] != 0.0f ? 0xff : 0;
        float least = INFINITY;
        int turned = 0;
        for (int i = 8 * o; v->odd[o] && i < 8 * o + 8; i++) {
            int level = (int)t->key[i / f.dims] >> i % f.dims * f.bits & ((1 << f.bits) - 1);
            float cost = v->h[i] * f.level[0][level] * v->x[i];
            if (!(cost < least)) continue;
            least = cost;
            turned = i % 8;
        }
        if (v->odd[o]) codes.signs[o] ^= (uint8_t)(1u << turned);
    }
    f.pack(&codes, out);
}

/* The block in `out` is the reference's: the search begins with its scales. One without is not looked at. */
PL_INLINE void bq_improve(const float *w, const float *h, const pl_iq_near *near, const bq_form f, uint8_t *out)
{
    const pl_iq_grids *grids = pl_iq_grids_get();
    uint8_t mine[PL_BEST_BYTES];
    bq_values v;
    bq_state t;
    for (int b = 0; b < BQ_BLOCK / 32; b++) {
        pl_iq_group group = f.group(out, b, grids);
        t.d = pl_f16_to_f32(group.d);
        for (int k = 0; k < 32 / f.n; k++) t.factor[b * (32 / f.n) + k] = group.factor[k] / f.unit;
    }
    if (!(t.d > 0.0f && t.d < INFINITY)) return;
    bq_load(w, h, f, &v);
    bq_measure(&v, near, f, false, &t);
    bq_refit(&v, near, f, &t);
    for (int round = 0; round < f.rounds; round++) {
        bq_step(&v, near, f, -2.0f, &t);
        bq_step(&v, near, f, 2.0f, &t);
        bq_refit(&v, near, f, &t);
    }
    bq_put(&v, near, f, &t, mine);
    pl_best_keep(&pl_dtypes[f.dtype], w, h, BQ_BLOCK, 0, BQ_BLOCK, mine, out);
}

PL_INLINE void bq_encode(const bq_form f, const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)
{
    const pl_dtype *dtype = &pl_dtypes[f.dtype];
    const pl_iq_near *near = pl_iq_near_of(f.dtype);
    pl_reference_encoder(dtype)(w, h, rows, cols, out);
    for (int64_t i = 0; i < rows * cols; i += BQ_BLOCK, out += dtype->bytes)
        bq_improve(w + i, h ? h + i % cols : NULL, near, f, out);
}

#define BQ_FOUR(...) { __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__ }
#define BQ_TWO(...) { __VA_ARGS__, __VA_ARGS__ }
#define BQ_IQ2 .dims = 8, .bits = 2, .top = 15, .sets = 1, .octets = 1, .most = 512, .levels = 3, .unit = 0.125f, \
    .level = { BQ_FOUR(1.0f, 3.125f, 5.375f, 0.0f) }
#define BQ_IQ3 .dims = 4, .bits = 3, .top = 15, .sets = 1, .octets = 1, .most = 512, .levels = 8
#define BQ_IQ1 .dims = 8, .bits = 2, .top = 7, .sets = 2, .levels = 3, .unit = 1.0f, \
    .level = { BQ_FOUR(-0.875f, 0.125f, 1.125f, 0.0f), BQ_FOUR(-1.125f, -0.125f, 0.875f, 0.0f) }
#define BQ_NAMES(name) .group = pl_##name##_group, .pack = pl_iq_pack_##name

static const bq_form bq_iq2_xxs = { .dtype = PL_IQ2_XXS, .n = 32, BQ_IQ2, .even = true, .rounds = 2,
                                    BQ_NAMES(iq2_xxs) };
static const bq_form bq_iq2_xs = { .dtype = PL_IQ2_XS, .n = 16, BQ_IQ2, .even = true, .rounds = 2,
                                   BQ_NAMES(iq2_xs) };
static const bq_form bq_iq2_s = { .dtype = PL_IQ2_S, .n = 16, BQ_IQ2, .rounds = 1, BQ_NAMES(iq2_s) };
static const bq_form bq_iq3_xxs = { .dtype = PL_IQ3_XXS, .n = 32, BQ_IQ3, .even = true, .rounds = 1, .unit = 0.25f,
                                    .level = { BQ_TWO(1, 3, 5, 7, 9, 11, 13, 15.5f) }, BQ_NAMES(iq3_xxs) };
static const bq_form bq_iq3_s = { .dtype = PL_IQ3_S, .n = 32, BQ_IQ3, .rounds = 1, .unit = 1.0f,
                                  .level = { BQ_TWO(1, 3, 5, 7, 9, 11, 13, 15) }, BQ_NAMES(iq3_s) };
static const bq_form bq_iq1_s = { .dtype = PL_IQ1_S, .n = 32, BQ_IQ1, .octets = 4, .most = 32, BQ_NAMES(iq1_s) };
static const bq_form bq_iq1_m = { .dtype = PL_IQ1_M, .n = 16, BQ_IQ1, .octets = 1, .most = 16, BQ_NAMES(iq1_m) };

#define BQ_ENCODER(name)                                                                                       \
    static void best_##name(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)          \
    {                                                                                                          \
        bq_encode(bq_##name, w, h, rows, cols, out);                                                           \
    }

/* The encoders, and the function of this name that enters them. */
#define BQ_ENCODERS(list_name)                                                                                 \
    BQ_ENCODER(iq2_xxs)                                                                                        \
    BQ_ENCODER(iq2_xs)                                                                                         \
    BQ_ENCODER(iq2_s)                                                                                          \
    BQ_ENCODER(iq3_xxs)                                                                                        \
    BQ_ENCODER(iq3_s)                                                                                          \
    BQ_ENCODER(iq1_s)                                                                                          \
    BQ_ENCODER(iq1_m)                                                                                          \
    void list_name(pl_row_encoders *list)                                                                      \
    {                                                                                                          \
        list->encode[PL_IQ2_XXS] = best_iq2_xxs;                                                               \
        list->encode[PL_IQ2_XS] = best_iq2_xs;                                                                 \
        list->encode[PL_IQ2_S] = best_iq2_s;                                                                   \
        list->encode[PL_IQ3_XXS] = best_iq3_xxs;                                                               \
        list->encode[PL_IQ3_S] = best_iq3_s;                                                                   \
        list->encode[PL_IQ1_S] = best_iq1_s;                                                                   \
        list->encode[PL_IQ1_M] = best_iq1_m;                                                                   \
    }

#endif
