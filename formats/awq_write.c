/* awq_write.c: folders in AWQ's "gemm" layout, as a sink: a word holds the codes of eight rows in one column, scales
 * and zero points stand in columns. */
#include <string.h>

#include "formats/hf_ints.h"
#include "formats/registry.h"

enum {
    BITS = 4, ROWS = 8,         /* of a word */
    AT_ONCE = 1 << 14           /* words */
};

static const pl_ints_format format = { "AWQ", "[u]int4[-g{32,64,128}]", NULL, &pl_dtypes[PL_F16] };

/* AWQ always has zero points, so they are used. */
static pl_type awq_form(const pl_sink *s, pl_type wish, const pl_tensor *t)
{
    if (wish.scheme == &pl_scheme_ints) wish.symmetric = false;
    return pl_ints_form(&format, s, wish, t);
}

static pl_status awq_resolve(pl_sink *s, const pl_model *model, const pl_tensor *t, pl_type wish, pl_packed *out,
                             const char **name, pl_arena *arena)
{
    PL_TRY(pl_ints_resolve(&format, model, t, wish, out, name, arena));
    if (out->type.scheme != &pl_scheme_ints) return PL_OK;
    if (out->type.bits != BITS)
        return pl_fail(PL_E_WISH, "%s has codes of %d bits, not %s ('%s')", format.title, BITS,
                       pl_type_name(&out->type), t->name);
    if (t->rows % ROWS == 0 && t->cols % ROWS == 0) return PL_OK;
    return pl_fail(PL_E_WISH, "%s has rows and columns in multiples of %d, '%s' has %lld and %lld; --keep can leave it "
                   "as it is", format.title, ROWS, t->name, (long long)t->rows, (long long)t->cols);
}

/* ---- tensors ---- */

/* qweight [columns][rows / 8], scales [groups][rows], and behind them qzeros. */
static pl_status add_codes(pl_folder *f, const pl_step *step)
{
    const pl_packed *p = &step->out;
    const pl_part *codes = &p->part[0], *scales = &p->part[1];
    int64_t groups = pl_packed_groups(p), rows = p->rows;
    int64_t of_codes[2] = { p->cols, rows / ROWS }, of_scales[2] = { groups, rows };
    int64_t of_zeros[2] = { groups, rows / ROWS };
    int first = pl_ints_add(f, step, "qweight", "I32", 2, of_codes);
    int second = pl_ints_add(f, step, "scales", scales->dtype->safetensors, 2, of_scales);
    int third = pl_ints_add(f, step, "qzeros", "I32", 2, of_zeros);
    if (first < 0 || second < 0 || third < 0) return PL_E_MEMORY;
    if (p->nparts > 2) f->place[p->part[2].id] = (pl_folder_place){ .tensor = third, .bytes = p->part[2].bytes };
    f->place[codes->id] = (pl_folder_place){ .tensor = first, .bytes = codes->bytes };
    f->place[scales->id] = (pl_folder_place){ .tensor = second, .bytes = scales->bytes, .rows = rows, .cols = groups };
    return PL_OK;
}

static pl_status fill(pl_folder *f, pl_sink *s)
{
    const pl_type *type = &((pl_ints_folder *)s->state)->type;
    pl_json_writer *w;
    PL_TRY(pl_ints_tensors(f, s, &format, add_codes));
    PL_TRY(pl_json_writer_create(&w));
    pl_json_begin_object(w, NULL);
    pl_json_put_int(w, "bits", BITS);
    pl_json_put_int(w, "group_size", type->group ? type->group : -1);
    pl_json_begin_array(w, "modules_to_not_convert");
    pl_ints_left_out(f, NULL, w);
    pl_json_end(w);
    pl_json_put_text(w, "quant_method", "awq");
    pl_json_put_text(w, "version", "gemm");
    pl_json_put_bool(w, "zero_point", true);
    return pl_ints_config(f, w);
}

/* ---- operations ---- */

static pl_status awq_size(pl_sink *s, const pl_plan *plan, const pl_model *model, int64_t *bytes)
{
    return pl_folder_size(s, plan, model, fill, bytes);
}

/* All of them the middle of the codes. */
static pl_status write_zeros(pl_folder *f, const pl_packed *p)
{
    int64_t bytes = pl_packed_groups(p) * p->rows * BITS / 8;
    uint8_t *zeros = pl_alloc(bytes, 1);
    if (!zeros) return PL_E_MEMORY;
    memset(zeros, 0x88, (size_t)bytes);
    pl_status code = pl_folder_write(f, f->place[p->part[1].id].tensor + 1, 0, zeros, (size_t)bytes);
    pl_free(zeros);
    return code;
}

static pl_status awq_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model)
{
    PL_TRY(pl_ints_begin(s, path, plan, model, fill, ROWS));
    for (int i = 0; i < plan->steps; i++)
        if (pl_ints_coded(&plan->step[i]) && plan->step[i].out.type.symmetric)
            PL_TRY(write_zeros(s->state, &plan->step[i].out));
    return PL_OK;
}

static const uint8_t row_of[ROWS] = { 0, 2, 4, 6, 1, 3, 5, 7 };        /* in a word, from its low bits on */

static void pack_zeros(const uint8_t *zeros, int64_t n, int bits, uint8_t *words)
{
    for (int64_t r = 0; r < n; r += ROWS, words += 4) {
        uint32_t word = 0;
        for (int i = 0; i < ROWS; i++) word |= (uint32_t)zeros[r + row_of[i]] << (i * bits);
        memcpy(words, &word, sizeof word);
    }
}

/* Eight rows of codes, two in a byte, `pitch` bytes apart: their words of columns from .. to-1, `step` words apart. */
static void interleave(const uint8_t *codes, int64_t pitch, int64_t from, int64_t to, uint32_t *words, int64_t step)
{
    for (int64_t c = from; c < to; c++, words += step) {
        uint32_t word = 0;
        for (int i = 0; i < ROWS; i++)
            word |= (uint32_t)(codes[row_of[i] * pitch + c / 2] >> (c % 2 * BITS) & 15) << (i * BITS);
        *words = word;
    }
}

/* Whole rows of codes, in eights. */
static pl_status put_codes(pl_folder *f, const pl_part *part, int64_t offset, const uint8_t *codes, size_t len)
{
    int tensor = f->place[part->id].tensor;
    int64_t cols = f->tensor[tensor].shape[0], across = f->tensor[tensor].shape[1];
    int64_t first = offset / part->stride / ROWS, count = (int64_t)len / part->stride / ROWS;
    int64_t several = pl_min64(cols, pl_max64(1, AT_ONCE / pl_max64(count, 1)));
    uint32_t *words = pl_alloc(several * count, sizeof *words);
    pl_status code = words ? PL_OK : PL_E_MEMORY;
    for (int64_t c = 0; c < cols; c += several) {
        int64_t n = pl_min64(several, cols - c);
        for (int64_t i = 0; i < count && code == PL_OK; i++)
            interleave(codes + i * ROWS * part->stride, part->stride, c, c + n, words + i, count);
        for (int64_t j = 0; j < n && code == PL_OK; j++)
            code = pl_folder_write(f, tensor, ((c + j) * across + first) * 4, words + j * count,
                                   (size_t)count * sizeof *words);
    }
    pl_free(words);
    return code;
}

static pl_status awq_put(pl_sink *s, const pl_part *part, int64_t offset, const void *bytes, size_t len)
{
    pl_folder *f = s->state;
    bool known = part->id >= 0 && part->id < f->parts;
    if (known && part->dtype == &pl_dtypes[PL_U32]) return put_codes(f, part, offset, bytes, len);
    if (known && part->role == PL_ZEROS)
        return pl_ints_put_zeros(s->state, part, offset, bytes, len, false, pack_zeros);
    return pl_folder_put(s, part, offset, bytes, len);
}

const pl_sink_ops pl_sink_awq = {
    .name = "awq",
    .extension = "",
    .flags = PL_SINK_ANY_ORDER | PL_SINK_FOLDER | PL_SINK_AS_STORED | PL_SINK_RESUMES,
    .state_size = sizeof(pl_ints_folder),
    .form = awq_form,
    .resolve = awq_resolve,
    .size = awq_size,
    .file_name = pl_folder_file_name,
    .begin = awq_begin,
    .put = awq_put,
    .finish = pl_folder_finish,
    .close = pl_folder_close,
};
