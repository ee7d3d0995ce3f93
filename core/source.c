/* source.c: opening sources, range checks, and rows in the order that a sink wants. */
#include "core/source.h"

#include <malloc.h>
#include <string.h>

#include "core/fs.h"
#include "core/pre.h"

static pl_status check_pre(const char *pre)
{
    char list[PL_PRE_LIST];
    if (!pre || pl_pre_find(pre)) return PL_OK;
    pl_pre_list(list);
    return pl_fail(PL_E_WISH, "unknown pre-tokenizer '%.100s'; known are %s", pre, list);
}

pl_status pl_source_open(const pl_source_ops *const *formats, const char *path, const pl_open_options *options,
                         pl_source **out)
{
    static const pl_open_options plain = { .how = PL_OPEN_WINDOWS };
    *out = NULL;
    if (!options) options = &plain;
    PL_TRY(check_pre(options->pre));
    if (!pl_path_exists(path))
        return pl_fail(PL_E_INPUT, "cannot open '%s': no such file or folder", path);
    for (bool mine = false; *formats; formats++) {
        pl_status looked = (*formats)->probe(path, &mine);
        if (looked != PL_OK && looked != PL_E_INPUT) return looked;
        if (looked == PL_OK && mine) break;
    }
    if (!*formats)
        return pl_fail(PL_E_INPUT,
                       "'%s' is no model: expected a folder with config.json and *.safetensors, one "
                       ".safetensors file beside its config.json, a GGUF file or a pack (.pl)", path);
    pl_source *s = pl_alloc(1, sizeof *s);
    if (!s) return PL_E_MEMORY;
    s->ops = *formats;
    pl_status code = pl_arena_create(&s->arena);
    if (code == PL_OK) code = pl_arena_create(&s->vocab_arena);
    if (code == PL_OK) {
        s->state = pl_alloc((int64_t)s->ops->state_size, 1);
        s->path = pl_arena_text(s->arena, path, strlen(path));
        if (!s->state || !s->path) code = PL_E_MEMORY;
    }
    if (code == PL_OK) code = s->ops->open(s, path, options);
    if (code == PL_OK && options->how == PL_OPEN_STREAM && !s->streams)
        code = pl_fail(PL_E_WISH, "%s: only a pack (.pl) can be streamed: planish convert %s -o OUT.pl makes one",
                       path, path);
    if (code != PL_OK) {
        pl_source_close(s);
        return code;
    }
    *out = s;
    return PL_OK;
}

void pl_source_close(pl_source *s)
{
    if (!s) return;
    if (s->state && s->ops->close) s->ops->close(s);
    pl_source_close(s->inner);
    pl_free(s->state);
    pl_arena_destroy(s->vocab_arena);
    pl_arena_destroy(s->arena);
    pl_free(s);
}

void pl_source_drop_vocab(pl_source *s)
{
    s->model->vocab = NULL;
    pl_arena_destroy(s->vocab_arena);
    s->vocab_arena = NULL;
    malloc_trim(0);                 /* the freed pages count against the memory limit otherwise */
}

static pl_status check_range(const pl_source *s, int tensor, int64_t first, int64_t count)
{
    int64_t end;
    if (tensor < 0 || tensor >= s->model->tensors)
        return pl_fail(PL_E_INPUT, "%s: tensor %d of %d", s->path, tensor, s->model->tensors);
    const pl_tensor *t = &s->model->tensor[tensor];
    if (!pl_add_ok(first, count, &end) || end > t->rows)
        return pl_fail(PL_E_INPUT, "%s: %lld rows from row %lld of tensor '%s' with %lld rows", s->path,
                       (long long)count, (long long)first, t->name, (long long)t->rows);
    return PL_OK;
}

pl_status pl_source_rows(pl_source *s, int tensor, int64_t first, int64_t count, float *out,
                         pl_arena *scratch)
{
    PL_TRY(check_range(s, tensor, first, count));
    return s->ops->rows(s, tensor, first, count, out, scratch);
}

pl_status pl_source_packed(pl_source *s, int tensor, int64_t first, int64_t count, pl_packed *out,
                           pl_arena *scratch)
{
    PL_TRY(check_range(s, tensor, first, count));
    return s->ops->packed(s, tensor, first, count, out, scratch);
}

void pl_source_advise(pl_source *s, int tensor, int64_t first, int64_t count)
{
    if (s->ops->advise && check_range(s, tensor, first, count) == PL_OK)
        s->ops->advise(s, tensor, first, count);
}

/* Where wanted row `row` lies in a source that stores order `have`. */
static int64_t stored_row(int64_t row, int32_t want, int32_t have)
{
    int64_t plain = pl_order_source(row, want);
    if (have == 0) return plain;
    /* the inverse of pl_order_source: half-split s*h/2 + j stands at 2j + s */
    int64_t head = plain / have * have, r = plain % have, half = have / 2;
    return head + (r % half) * 2 + r / half;
}

static int32_t stored_order(const pl_input *in)
{
    return in->source ? in->source->model->tensor[in->tensor].order : 0;
}

static pl_status plain_rows(const pl_input *in, int64_t first, int64_t count, float *out,
                            pl_arena *scratch)
{
    if (in->source) return pl_source_rows(in->source, in->tensor, first, count, out, scratch);
    int64_t end;
    if (!pl_add_ok(first, count, &end) || end > in->rows)
        return pl_fail(PL_E_INPUT, "%lld rows from row %lld of %lld", (long long)count,
                       (long long)first, (long long)in->rows);
    memcpy(out, in->memory + first * in->cols, (size_t)(count * in->cols) * sizeof *out);
    return PL_OK;
}

pl_status pl_rows(const pl_input *in, int64_t first, int64_t count, float *out, pl_arena *scratch)
{
    int32_t have = stored_order(in);
    if (in->order == have) return plain_rows(in, first, count, out, scratch);
    for (int64_t i = 0; i < count; i++) {
        pl_arena_mark mark = pl_arena_save(scratch);
        PL_TRY(plain_rows(in, stored_row(first + i, in->order, have), 1, out + i * in->cols, scratch));
        pl_arena_restore(scratch, mark);
    }
    return PL_OK;
}

pl_status pl_rows_packed(const pl_input *in, int64_t first, int64_t count, pl_packed *out,
                         pl_arena *scratch)
{
    int32_t have = stored_order(in);
    if (in->order == have)
        return pl_source_packed(in->source, in->tensor, first, count, out, scratch);
    const pl_tensor *t = &in->source->model->tensor[in->tensor];
    uint8_t *bytes[PL_MAX_PARTS];
    PL_TRY(pl_packed_init(out, t->type, count, in->cols));
    if (out->granule != 1)
        return pl_fail(PL_E_WISH, "rows of '%s' as %s cannot be put into another order", t->name,
                       pl_type_name(&t->type));
    for (int p = 0; p < out->nparts; p++) {
        out->part[p].ptr = bytes[p] = PL_NEW(scratch, uint8_t, out->part[p].bytes);
        if (!bytes[p]) return PL_E_MEMORY;
    }
    for (int64_t i = 0; i < count; i++) {
        pl_arena_mark mark = pl_arena_save(scratch);
        pl_packed row;
        PL_TRY(pl_source_packed(in->source, in->tensor, stored_row(first + i, in->order, have), 1,
                                &row, scratch));
        for (int p = 0; p < out->nparts; p++) {         /* without a stride: one for all rows */
            int64_t stride = out->part[p].stride;
            memcpy(bytes[p] + i * stride, row.part[p].ptr, (size_t)(stride ? stride : out->part[p].bytes));
        }
        pl_arena_restore(scratch, mark);
    }
    out->order = in->order;
    return PL_OK;
}
