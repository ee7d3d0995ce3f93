/* hf_data.c: reading weights of a Hugging Face checkpoint, from windows or from the map. */
#include "formats/hf_data.h"

#include <float.h>
#include <string.h>

#include "core/half.h"
#include "formats/hf_words.h"

enum {
    SLAB_BYTES = 1 << 16,           /* of a transposed tensor, read or turned at a time */
    SKIPPED_BYTES = 1 << 12         /* reading so many bytes too many costs less than another call */
};

static const pl_hf_weight *weight_of(const pl_source *s, int tensor)
{
    const pl_hf_state *state = s->state;
    return &state->weight[tensor];
}

pl_status pl_hf_stored(const pl_hf_state *state, const pl_st_tensor *from, int64_t offset, int64_t len,
                       pl_arena *scratch, const uint8_t **out)
{
    if (state->map) {
        *out = state->map[from->file] + from->offset + offset;
        return PL_OK;
    }
    uint8_t *bytes = PL_NEW(scratch, uint8_t, len);
    if (!bytes) return PL_E_MEMORY;
    *out = bytes;
    return pl_file_read(state->set.file[from->file], from->offset + offset, bytes, (size_t)len);
}

/* ---- transposed ---- */

#define TURN(name, unit)                                                                           \
    static void name(const uint8_t *from, int64_t pitch, int64_t rows, int64_t cols, uint8_t *to,  \
                     int64_t to_pitch)                                                             \
    {                                                                                              \
        for (int64_t r = 0; r < rows; r++)                                                         \
            for (int64_t c = 0; c < cols; c++)                                                     \
                memcpy(to + r * to_pitch + c * (unit), from + c * pitch + r * (unit), (unit));     \
    }

TURN(turn1, 1)
TURN(turn2, 2)
TURN(turn4, 4)

/* [cols] pieces of `rows` elements, `pitch` bytes apart -> [rows][cols] */
static void turn(int unit, const uint8_t *from, int64_t pitch, int64_t rows, int64_t cols, uint8_t *to,
                 int64_t to_pitch)
{
    (unit == 1 ? turn1 : unit == 2 ? turn2 : turn4)(from, pitch, rows, cols, to, to_pitch);
}

/* `n` pieces of a file, `step` bytes from one to the next, one behind another. */
static pl_status read_pieces(pl_file *file, int64_t offset, int64_t step, int64_t piece, int64_t n,
                             pl_arena *scratch, const uint8_t **out)
{
    uint8_t *bytes = PL_NEW(scratch, uint8_t, n * piece);
    if (!bytes) return PL_E_MEMORY;
    *out = bytes;
    for (int64_t i = 0; i < n; i++)
        PL_TRY(pl_file_read(file, offset + i * step, bytes + i * piece, (size_t)piece));
    return PL_OK;
}

pl_status pl_hf_gather(const pl_hf_state *state, const pl_st_tensor *from, int unit, int64_t rows, int64_t cols,
                       int64_t first, int64_t count, pl_arena *scratch, const uint8_t **out)
{
    int64_t row_bytes = rows * unit, piece = count * unit, to_pitch = cols * unit;
    uint8_t *to = PL_NEW(scratch, uint8_t, count * to_pitch);
    if (!to) return PL_E_MEMORY;
    *out = to;
    if (count == 0) return PL_OK;
    bool pieces = !state->map && row_bytes - piece > SKIPPED_BYTES;
    int64_t pitch = pieces ? piece : row_bytes;
    int64_t slab = pl_max64(1, SLAB_BYTES / (state->map ? piece : pitch));
    for (int64_t at = 0; at < cols; at += slab) {
        int64_t n = pl_min64(slab, cols - at), offset = at * row_bytes + first * unit;
        const uint8_t *bytes;
        pl_arena_mark mark = pl_arena_save(scratch);
        if (pieces)
            PL_TRY(read_pieces(state->set.file[from->file], from->offset + offset, row_bytes, piece, n, scratch,
                               &bytes));
        else
            PL_TRY(pl_hf_stored(state, from, offset, (n - 1) * row_bytes + piece, scratch, &bytes));
        turn(unit, bytes, pitch, count, n, to + at * unit, to_pitch);
        pl_arena_restore(scratch, mark);
    }
    return PL_OK;
}

/* Rows of a tensor that has no scales, as stored but never transposed. */
static pl_status stored_rows(const pl_hf_state *state, const pl_hf_weight *w, const pl_tensor *t,
                             int64_t first, int64_t count, pl_arena *scratch, const uint8_t **out)
{
    if (w->transposed)
        return pl_hf_gather(state, w->from, w->dtype->bytes, t->rows, t->cols, first, count, scratch, out);
    int64_t row_bytes = t->cols * w->dtype->bytes;
    return pl_hf_stored(state, w->from, (w->before + first) * row_bytes, count * row_bytes, scratch, out);
}

/* ---- parts with so many bytes for each row ---- */

static bool by_rows(const pl_tensor *t)
{
    const pl_type *type = &t->type;
    return type->scheme == &pl_scheme_affine || type->scheme == &pl_scheme_ints ||
           (type->scheme == &pl_scheme_scaled && type->group_rows == 1 && type->group);
}

static pl_status check_scales(const pl_hf_state *state, const pl_st_tensor *from, const pl_part *part, int64_t first)
{
    int64_t across = part->stride / part->dtype->bytes;
    int64_t bad = pl_dtype_find_nonfinite(part->dtype, part->ptr, part->bytes / part->dtype->bytes);
    if (bad < 0) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: the scale in row %lld column %lld of '%s' should be finite, is not",
                   pl_file_path(state->set.file[from->file]), (long long)(first + bad / across),
                   (long long)(bad % across), from->name);
}

/* Rows of signed bytes as codes of 8 bits. */
static pl_status codes_of_bytes(const pl_hf_state *state, const pl_hf_weight *w, const pl_tensor *t, int64_t first,
                                pl_part *part, pl_arena *scratch)
{
    int64_t count = part->bytes / part->stride;
    const uint8_t *bytes;
    uint8_t *codes = PL_ZNEW(scratch, uint8_t, part->bytes);
    if (!codes) return PL_E_MEMORY;
    PL_TRY(pl_hf_stored(state, w->from, first * t->cols, count * t->cols, scratch, &bytes));
    for (int64_t r = 0; r < count; r++)
        for (int64_t c = 0; c < t->cols; c++) codes[r * part->stride + c] = bytes[r * t->cols + c] ^ 0x80;
    part->ptr = codes;
    return PL_OK;
}

/* Zero points, or the number of a whole matrix. */
static pl_status read_third(const pl_hf_state *state, const pl_hf_weight *w, int64_t first, pl_packed *p,
                            pl_arena *scratch)
{
    pl_part *part = &p->part[2];
    float number;
    if (part->role == PL_GLOBAL) {
        PL_TRY(pl_hf_stored(state, w->biases, 0, part->bytes, scratch, &part->ptr));
        memcpy(&number, part->ptr, sizeof number);
        if (number > 0.0f && number <= FLT_MAX) return PL_OK;
        return pl_fail(PL_E_INPUT, "%s: '%s' should be a finite number above 0, is %g",
                       pl_hf_place(&state->set, w->biases), w->biases->name, (double)number);
    }
    uint8_t *zeros = PL_NEW(scratch, uint8_t, part->bytes);
    if (!zeros) return PL_E_MEMORY;
    part->ptr = zeros;
    return pl_hf_words_zeros(state, w, part->stride, first, p->rows, zeros, scratch);
}

static pl_status grouped_packed(const pl_hf_state *state, const pl_hf_weight *w, const pl_tensor *t, int64_t first,
                                int64_t count, pl_packed *out, pl_arena *scratch)
{
    const pl_st_tensor *const from[] = { w->from, w->scales, w->biases };
    if (w->words != PL_WORDS_ROWS) return pl_hf_words_packed(state, w, t->cols, first, count, out, scratch);
    PL_TRY(pl_packed_init(out, t->type, count, t->cols));
    for (int i = 0; i < out->nparts; i++) {
        pl_part *part = &out->part[i];
        if (i == 2 && part->role != PL_BIASES) return read_third(state, w, first, out, scratch);
        if (i == 0 && !strcmp(w->from->dtype, "I8")) PL_TRY(codes_of_bytes(state, w, t, first, part, scratch));
        else PL_TRY(pl_hf_stored(state, from[i], (w->before + first) * part->stride, part->bytes, scratch, &part->ptr));
        if (i > 0) PL_TRY(check_scales(state, from[i], part, w->before + first));
    }
    return PL_OK;
}

static pl_status grouped_rows(const pl_hf_state *state, const pl_hf_weight *w, const pl_tensor *t, int64_t first,
                              int64_t count, float *out, pl_arena *scratch)
{
    pl_packed p;
    PL_TRY(grouped_packed(state, w, t, first, count, &p, scratch));
    return pl_packed_decode(&p, 0, count, out, scratch);
}

/* ---- scaled, with blocks of any shape ---- */

/* The whole tensor as it would be packed, without pointers. */
static pl_status layout_of(const pl_tensor *t, pl_packed *out)
{
    return pl_packed_init(out, t->type, t->rows, t->cols);
}

/* Scales of the blocks that rows first .. first+count-1 touch; the first of them belongs to block *block. */
static pl_status stored_scales(const pl_hf_state *state, const pl_hf_weight *w, const pl_packed *p,
                               int64_t first, int64_t count, pl_arena *scratch, const uint8_t **out,
                               int64_t *block)
{
    const pl_part *part = &p->part[1];
    const pl_dtype *dtype = part->dtype;
    *block = part->stride ? first / p->granule : 0;
    int64_t end = part->stride ? pl_ceil_div(first + count, p->granule) * part->stride : part->bytes;
    int64_t offset = *block * part->stride, n = (end - offset) / dtype->bytes;
    PL_TRY(pl_hf_stored(state, w->scales, offset, n * dtype->bytes, scratch, out));
    int64_t bad = pl_dtype_find_nonfinite(dtype, *out, n);
    if (bad < 0) return PL_OK;
    int64_t across = part->stride ? part->stride / dtype->bytes : 1;
    return pl_fail(PL_E_INPUT, "%s: the scale in row %lld column %lld of '%s' should be finite, is not",
                   pl_file_path(state->set.file[w->scales->file]), (long long)(*block + bad / across),
                   (long long)(bad % across), w->scales->name);
}

/* Rows may begin and end inside blocks: what lies in one block row is a matrix with one row of scales. */
static pl_status scaled_rows(const pl_hf_state *state, const pl_hf_weight *w, const pl_tensor *t,
                             int64_t first, int64_t count, float *out, pl_arena *scratch)
{
    pl_packed p;
    const uint8_t *codes, *scales;
    int64_t block, row_bytes = t->cols * w->dtype->bytes;
    PL_TRY(layout_of(t, &p));
    PL_TRY(pl_hf_stored(state, w->from, first * row_bytes, count * row_bytes, scratch, &codes));
    PL_TRY(stored_scales(state, w, &p, first, count, scratch, &scales, &block));
    pl_type one_row = t->type;
    one_row.group_rows = 0;
    for (int64_t r = first; r < first + count; block++, scales += p.part[1].stride) {
        int64_t end = p.part[1].stride ? pl_min64((block + 1) * p.granule, first + count) : first + count;
        pl_packed piece;
        PL_TRY(pl_packed_init(&piece, one_row, end - r, t->cols));
        piece.part[0].ptr = codes + (r - first) * row_bytes;
        piece.part[1].ptr = scales;
        PL_TRY(pl_packed_decode(&piece, 0, end - r, out + (r - first) * t->cols, scratch));
        r = end;
    }
    return PL_OK;
}

static pl_status scaled_packed(const pl_hf_state *state, const pl_hf_weight *w, const pl_tensor *t,
                               int64_t first, int64_t count, pl_packed *out, pl_arena *scratch)
{
    pl_packed whole;
    int64_t block;
    PL_TRY(layout_of(t, &whole));
    PL_TRY(pl_packed_rows(&whole, first, count, out));
    PL_TRY(pl_hf_stored(state, w->from, first * t->cols * w->dtype->bytes, out->part[0].bytes, scratch,
                  &out->part[0].ptr));
    return stored_scales(state, w, &whole, first, count, scratch, &out->part[1].ptr, &block);
}

/* ---- operations ---- */

pl_status pl_hf_weight_rows(const pl_hf_state *state, const pl_hf_weight *w, const pl_tensor *t, int64_t first,
                            int64_t count, float *out, pl_arena *scratch)
{
    int64_t values = count * t->cols;
    const uint8_t *bytes;
    if (!w->from) {
        memcpy(out, w->values + first * t->cols, (size_t)values * sizeof *out);
        return PL_OK;
    }
    if (w->words != PL_WORDS_ROWS) return pl_hf_words_rows(state, w, t->cols, first, count, out, scratch);
    if (w->scales && by_rows(t)) return grouped_rows(state, w, t, first, count, out, scratch);
    if (w->scales) return scaled_rows(state, w, t, first, count, out, scratch);
    PL_TRY(stored_rows(state, w, t, first, count, scratch, &bytes));
    pl_decode(w->dtype, bytes, out, values);
    if (w->offset != 0.0f)
        for (int64_t i = 0; i < values; i++) out[i] += w->offset;
    return PL_OK;
}

pl_status pl_hf_rows(pl_source *s, int tensor, int64_t first, int64_t count, float *out,
                     pl_arena *scratch)
{
    pl_arena_mark mark = pl_arena_save(scratch);
    PL_TRY(pl_hf_weight_rows(s->state, weight_of(s, tensor), &s->model->tensor[tensor], first, count, out, scratch));
    pl_arena_restore(scratch, mark);
    return PL_OK;
}

pl_status pl_hf_packed(pl_source *s, int tensor, int64_t first, int64_t count, pl_packed *out,
                       pl_arena *scratch)
{
    const pl_tensor *t = &s->model->tensor[tensor];
    const pl_hf_weight *w = weight_of(s, tensor);
    if (w->scales && by_rows(t)) return grouped_packed(s->state, w, t, first, count, out, scratch);
    if (w->scales && !w->unordered) return scaled_packed(s->state, w, t, first, count, out, scratch);
    PL_TRY(pl_packed_init(out, t->type, count, t->cols));
    if (w->from && w->offset == 0.0f && !w->unordered)
        return stored_rows(s->state, w, t, first, count, scratch, &out->part[0].ptr);
    float *values = PL_NEW(scratch, float, count * t->cols);
    if (!values) return PL_E_MEMORY;
    out->part[0].ptr = (const uint8_t *)values;
    return pl_hf_rows(s, tensor, first, count, values, scratch);
}

void pl_hf_advise(pl_source *s, int tensor, int64_t first, int64_t count)
{
    pl_hf_state *state = s->state;
    const pl_tensor *t = &s->model->tensor[tensor];
    const pl_hf_weight *w = weight_of(s, tensor);
    pl_packed row;
    if (!w->from || pl_packed_init(&row, t->type, 1, t->cols) != PL_OK) return;
    int64_t row_bytes = w->offset != 0.0f ? t->cols * w->dtype->bytes : row.part[0].bytes;
    int64_t offset = (w->before + first) * row_bytes, len = count * row_bytes;
    if (w->transposed || w->words != PL_WORDS_ROWS) {   /* every range has a piece of every stored row */
        offset = 0;
        len = w->from->bytes;
    }
    pl_file_advise(state->set.file[w->from->file], w->from->offset + offset, len);
}
