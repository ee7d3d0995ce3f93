/* hf_words.c: GPTQ and AWQ, whose words of codes stand in columns, turned into rows; zero points, which stand in
 * columns with compressed-tensors, too. */
#include "formats/hf_words.h"

#include <string.h>

enum { EIGHT = 8 };             /* rows in one of AWQ's words */

/* Where a word of AWQ's keeps row 0 .. 7 of its eight. */
static const uint8_t awq_place[EIGHT] = { 0, 4, 1, 5, 2, 6, 3, 7 };

static uint32_t word_at(const uint8_t *words, int64_t i)
{
    uint32_t word;
    memcpy(&word, words + 4 * i, sizeof word);
    return word;
}

/* Field of so many bits that begins at `bit` of words which stand `step` apart. */
static unsigned field(const uint8_t *words, int64_t step, int64_t bit, int bits)
{
    int64_t word = bit / 32;
    int at = (int)(bit % 32);
    uint64_t two = word_at(words, word * step);
    if (at + bits > 32) two |= (uint64_t)word_at(words, (word + 1) * step) << 32;
    return (unsigned)(two >> at) & ((1u << bits) - 1);
}

static pl_status fail(const pl_hf_state *state, const pl_st_tensor *t, const char *what, int64_t at)
{
    return pl_fail(PL_E_INPUT, "%s: '%s' %s (at %lld)", pl_hf_place(&state->set, t), t->name, what, (long long)at);
}

/* ---- zero points ---- */

pl_status pl_hf_words_zeros(const pl_hf_state *state, const pl_hf_weight *w, int64_t groups, int64_t first,
                            int64_t count, uint8_t *out, pl_arena *scratch)
{
    int bits = w->coded.bits, top = (1 << bits) - 1;
    int64_t across = w->biases->shape[1], from = 0, words = w->biases->shape[0];
    bool down = w->words == PL_WORDS_ROWS;      /* a stream down each column; else along each row */
    const uint8_t *bytes;
    if (down) {
        from = first * bits / 32;
        words = pl_ceil_div((first + count) * bits, 32) - from;
    }
    PL_TRY(pl_hf_stored(state, w->biases, from * across * 4, words * across * 4, scratch, &bytes));
    for (int64_t r = 0; r < count; r++)
        for (int64_t g = 0; g < groups; g++) {
            int64_t row = first + r, bit = row * bits;
            if (w->words == PL_WORDS_AWQ) bit = row / EIGHT * 32 + awq_place[row % EIGHT] * bits;
            unsigned zero = down ? field(bytes + 4 * g, across, bit - from * 32, bits)
                                 : field(bytes + 4 * g * across, 1, bit, bits);
            out[r * groups + g] = (uint8_t)((zero + w->less) & (unsigned)top);
        }
    return PL_OK;
}

/* ---- codes ---- */

/* Two columns of words, those of rows first .. first+count-1 from eights words on: a byte in each of the rows. */
static void put_two(const uint8_t *left, const uint8_t *right, int64_t first, int64_t count, int64_t pitch,
                    uint8_t *out)
{
    for (int64_t word = 0; word * EIGHT < first + count; word++) {
        uint32_t a = word_at(left, word), b = right ? word_at(right, word) : 0;
        for (int i = 0; i < EIGHT; i++) {
            int64_t row = word * EIGHT + i - first;
            int shift = 4 * awq_place[i];
            if (row >= 0 && row < count) out[row * pitch] = (uint8_t)((a >> shift & 15) | (b >> shift & 15) << 4);
        }
    }
}

static pl_status awq_codes(const pl_hf_state *state, const pl_hf_weight *w, int64_t cols, int64_t first, int64_t count,
                           pl_part *part, pl_arena *scratch)
{
    int64_t across = w->from->shape[1] * 4, skipped = first / EIGHT;
    uint8_t *codes = PL_ZNEW(scratch, uint8_t, part->bytes);
    const uint8_t *words;
    if (!codes) return PL_E_MEMORY;
    PL_TRY(pl_hf_stored(state, w->from, 0, w->from->bytes, scratch, &words));
    words += skipped * 4;
    for (int64_t c = 0; c < cols; c += 2)
        put_two(words + c * across, c + 1 < cols ? words + (c + 1) * across : NULL, first - skipped * EIGHT, count,
                part->stride, codes + c / 2);
    part->ptr = codes;
    return PL_OK;
}

/* The group of each column, all below `groups`. */
static pl_status read_order(const pl_hf_state *state, const pl_hf_weight *w, int64_t cols, int64_t groups,
                            const uint8_t **out, pl_arena *scratch)
{
    int64_t width = w->coded.group ? w->coded.group : cols;
    PL_TRY(pl_hf_stored(state, w->order, 0, cols * 4, scratch, out));
    for (int64_t c = 0; c < cols; c++) {
        uint32_t group = word_at(*out, c);
        if (group >= groups) return fail(state, w->order, "names a group that there is not", c);
        if (!w->unordered && group != c / width)
            return fail(state, w->order, "is not in order, though config.json has no desc_act", c);
    }
    return PL_OK;
}

/* All parts, scales and zero points group by group, whatever columns belong to them. */
static pl_status read_parts(const pl_hf_state *state, const pl_hf_weight *w, int64_t cols, int64_t first, int64_t count,
                            pl_packed *out, pl_arena *scratch)
{
    PL_TRY(pl_packed_init(out, w->coded, count, cols));
    int64_t words = out->part[0].stride / 4, groups = w->scales->shape[0], rows = w->scales->shape[1];
    const pl_dtype *scale = w->coded.scale;
    int middle = 1 << (w->coded.bits - 1);
    if (w->words == PL_WORDS_AWQ) PL_TRY(awq_codes(state, w, cols, first, count, &out->part[0], scratch));
    else PL_TRY(pl_hf_gather(state, w->from, 4, rows, words, first, count, scratch, &out->part[0].ptr));
    PL_TRY(pl_hf_gather(state, w->scales, scale->bytes, rows, groups, first, count, scratch, &out->part[1].ptr));
    int64_t bad = pl_dtype_find_nonfinite(scale, out->part[1].ptr, count * groups);
    if (bad >= 0)
        return pl_fail(PL_E_INPUT, "%s: the scale in row %lld column %lld of '%s' should be finite, is not",
                       pl_hf_place(&state->set, w->scales), (long long)(bad % groups),
                       (long long)(first + bad / groups), w->scales->name);
    uint8_t *zeros = PL_NEW(scratch, uint8_t, count * groups);
    if (!zeros) return PL_E_MEMORY;
    PL_TRY(pl_hf_words_zeros(state, w, groups, first, count, zeros, scratch));
    if (!w->coded.symmetric) out->part[2].ptr = zeros;
    for (int64_t i = 0; w->coded.symmetric && i < count * groups; i++)
        if (zeros[i] != middle)
            return fail(state, w->biases, "has zero points besides the middle, though config.json says that codes are "
                        "symmetric", first + i / groups);
    return PL_OK;
}

/* ---- rows ---- */

pl_status pl_hf_words_packed(const pl_hf_state *state, const pl_hf_weight *w, int64_t cols, int64_t first,
                             int64_t count, pl_packed *out, pl_arena *scratch)
{
    const uint8_t *order;
    PL_TRY(read_parts(state, w, cols, first, count, out, scratch));
    return w->order ? read_order(state, w, cols, w->scales->shape[0], &order, scratch) : PL_OK;
}

pl_status pl_hf_words_rows(const pl_hf_state *state, const pl_hf_weight *w, int64_t cols, int64_t first, int64_t count,
                           float *out, pl_arena *scratch)
{
    pl_packed p;
    const uint8_t *order;
    if (!w->unordered) {
        PL_TRY(pl_hf_words_packed(state, w, cols, first, count, &p, scratch));
        return pl_packed_decode(&p, 0, count, out, scratch);
    }
    int bits = w->coded.bits;
    int64_t groups = w->scales->shape[0];
    PL_TRY(read_parts(state, w, cols, first, count, &p, scratch));
    PL_TRY(read_order(state, w, cols, groups, &order, scratch));
    uint8_t *codes = PL_NEW(scratch, uint8_t, cols);
    float *scale = PL_NEW(scratch, float, groups);
    if (!codes || !scale) return PL_E_MEMORY;
    for (int64_t r = 0; r < count; r++, out += cols) {
        const uint8_t *zeros = w->coded.symmetric ? NULL : p.part[2].ptr + r * groups;
        pl_bits_unpack(p.part[0].ptr + r * p.part[0].stride, cols, bits, codes);
        pl_decode(w->coded.scale, p.part[1].ptr + r * p.part[1].stride, scale, groups);
        for (int64_t c = 0; c < cols; c++) {
            uint32_t group = word_at(order, c);
            int zero = zeros ? zeros[group] : 1 << (bits - 1);
            out[c] = (float)(codes[c] - zero) * scale[group];
        }
    }
    return PL_OK;
}
