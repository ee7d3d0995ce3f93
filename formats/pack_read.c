/* pack_read.c: packs as a source of models. Every frame is checked by XXH3 whenever it is read; for the engine all of
 * them are when it opens the file. */
#include <string.h>

#include "formats/gguf_keys.h"
#include "formats/pack_read.h"
#include "formats/registry.h"

static pl_status pack_probe(const char *path, bool *mine)
{
    pl_file *file;
    PL_TRY(pl_file_open(path, &file));
    pl_status code = pl_pack_is(file, mine);
    pl_file_close(file);
    return code;
}

/* ---- the model ---- */

static pl_status check_file(const pl_pack_state *state, const pl_pack_file *f)
{
    uint8_t *bytes = pl_alloc_aligned(PL_PACK_FRAME, 1);
    pl_status code = bytes ? PL_OK : PL_E_MEMORY;
    for (int64_t i = 0; i < pl_pack_frames_of(&f->blob) && code == PL_OK; i++)
        code = pl_pack_read_stored(&state->pack, state->file, f->blob.first + i, false, bytes);
    pl_free(bytes);
    return code;
}

/* Keys and vocabulary: a GGUF file without tensors. */
static pl_status read_head(pl_source *s, const char *pre, const char *architecture, pl_gguf *g, const pl_arch **arch)
{
    pl_pack_state *state = s->state;
    const pl_pack_file *head = &state->pack.file[0];
    int64_t at;
    if (strcmp(head->name, "model.gguf")) return pl_fail(PL_E_INPUT, "%s: its first file is not model.gguf", s->path);
    PL_TRY(check_file(state, head));
    pl_pack_plain(&state->pack, &head->blob, &at);
    PL_TRY(pl_gguf_scan_inside(state->file, at, head->blob.bytes, s->arena, g));
    if (g->infos) return pl_fail(PL_E_INPUT, "%s: its model.gguf has tensors", s->path);
    PL_TRY(pl_gguf_model_read(g, pre, s->arena, s->vocab_arena, s->model, arch));
    if (!strcmp(architecture, s->model->arch)) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: the index says %.60s, model.gguf %.60s", s->path, architecture, s->model->arch);
}

static pl_status describe(const pl_source *s, const pl_arch *arch, const pl_pack_tensor *from, pl_tensor *t)
{
    const pl_arch_tensor *row = pl_arch_row_of(arch, from->id);
    if (!row)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has no place in this %s model", s->path, from->name, arch->name);
    *t = (pl_tensor){ .id = from->id, .name = from->name, .rows = from->shape.rows, .cols = from->shape.cols,
                      .type = from->shape.type,
                      .flags = from->shape.cols > 1 && !row->keep ? PL_TENSOR_MATRIX : 0 };
    for (int p = 0; p < from->shape.nparts && !t->layout; p++)
        if (from->layout[p]) t->layout = from->layout[p]->name;
    return PL_OK;
}

/* For a Hugging Face folder: no tensors that are computed there; and what such a folder has in another form than the
 * model uses it cannot be given back exactly. */
static pl_status as_stored(const pl_source *s, const pl_arch *arch, pl_id id, bool *keep)
{
    const pl_arch_tensor *row = pl_arch_row_of(arch, id);
    *keep = !row || row->hf;
    if (!row || (row->offset == 0 && !row->transposed)) return PL_OK;
    return pl_fail(PL_E_WISH,
                   "%s: a folder of a %s model has %s in another form than a pack; make it from the original "
                   "checkpoint, or a GGUF file from this one", s->path, arch->name, pl_role_name(id.role));
}

static pl_status read_tensors(pl_source *s, const pl_arch *arch, bool stored)
{
    pl_pack_state *state = s->state;
    const pl_pack *pack = &state->pack;
    pl_model *model = s->model;
    model->tensor = PL_NEW(s->arena, pl_tensor, pack->tensors);
    state->tensor = PL_NEW(s->arena, const pl_pack_tensor *, pack->tensors);
    if (!model->tensor || !state->tensor) return PL_E_MEMORY;
    int most = 0;
    for (int i = 0; i < pack->tensors; i++) {
        state->tensor[i] = &pack->tensor[i];
        PL_TRY(describe(s, arch, &pack->tensor[i], &model->tensor[i]));
        if (pack->tensor[i].shape.rows * pack->tensor[i].shape.cols >
            pack->tensor[most].shape.rows * pack->tensor[most].shape.cols) most = i;
    }
    model->tensors = pack->tensors;
    const char *type = pl_type_name(&model->tensor[most].type);
    model->file_type = pl_arena_text(s->arena, type, strlen(type));
    if (!model->file_type) return PL_E_MEMORY;
    pl_status code = pl_model_index(model, s->arena);
    if (code != PL_OK) return pl_fail_prefix(code, "%s: ", s->path);
    PL_TRY(pl_gguf_keys_settle(model, s->path));
    PL_TRY(pl_arch_check(arch, model, s->path));
    if (!stored) return PL_OK;
    model->tensors = 0;
    for (int i = 0; i < pack->tensors; i++) {
        bool keep;
        PL_TRY(as_stored(s, arch, pack->tensor[i].id, &keep));
        if (!keep) continue;
        state->tensor[model->tensors] = state->tensor[i];
        model->tensor[model->tensors++] = model->tensor[i];
    }
    return pl_model_index(model, s->arena);
}

/* The files that lay beside a Hugging Face checkpoint. */
static pl_status list_sides(pl_source *s)
{
    const pl_pack_state *state = s->state;
    const pl_pack *pack = &state->pack;
    pl_side *side = PL_NEW(s->arena, pl_side, pack->files);
    if (!side) return PL_E_MEMORY;
    for (int i = 1; i < pack->files; i++) {
        pl_side *to = &side[s->model->sides++];
        *to = (pl_side){ .name = pack->file[i].name, .path = s->file[0], .bytes = pack->file[i].blob.bytes };
        PL_TRY(check_file(state, &pack->file[i]));
        pl_pack_plain(pack, &pack->file[i].blob, &to->at);
    }
    s->model->side = side;
    return PL_OK;
}

/* ---- the source ---- */

static pl_status pack_open(pl_source *s, const char *path, const pl_open_options *options)
{
    pl_pack_state *state = s->state;
    const pl_arch *arch;
    const char *architecture, *name;
    pl_gguf g;
    s->model = PL_ZNEW(s->arena, pl_model, 1);
    s->file = PL_NEW(s->arena, const char *, 1);
    if (!s->model || !s->file) return PL_E_MEMORY;
    PL_TRY(pl_file_open(path, &state->file));
    s->file[s->files++] = pl_file_path(state->file);
    PL_TRY(pl_pack_open(state->file, s->arena, &state->pack, &architecture, &name));
    PL_TRY(read_head(s, options->pre, architecture, &g, &arch));
    s->model->name = name;
    char sha[65];
    s->sha256 = pl_arena_text(s->arena, pl_sha_text(state->pack.sha, sha), 64);
    if (!s->sha256) return PL_E_MEMORY;
    PL_TRY(read_tensors(s, arch, options->how == PL_OPEN_STORED));
    PL_TRY(pl_gguf_carry_over(&g, s->arena, s->model));
    PL_TRY(list_sides(s));
    PL_TRY(pl_pack_rows_open(state));
    if (options->how == PL_OPEN_STREAM) return pl_pack_stream(s, options->resident);
    return options->how == PL_OPEN_MAP ? pl_pack_load(s) : PL_OK;
}

static void pack_close(pl_source *s)
{
    pl_pack_state *state = s->state;
    pl_resident_close(state->resident);
    pl_keep_destroy(state->frames);
    pl_keep_destroy(state->turned);
    pl_file_close(state->file);
}

/* Bytes from .. from+len-1 of a part: in the map, in memory, or read into scratch. */
static pl_status part_bytes(pl_pack_state *state, const pl_pack_tensor *t, int part, int64_t from, int64_t len,
                            const uint8_t **out, pl_arena *scratch)
{
    if (state->map && len) {
        const pl_pack_blob *b = &t->part[part];
        const uint8_t *expanded = state->expanded[b->first];
        *out = (expanded ? expanded : state->map + state->pack.frame[b->first].at) + from;
        return PL_OK;
    }
    uint8_t *bytes = pl_arena_alloc(scratch, len, 1);
    if (!bytes) return PL_E_MEMORY;
    *out = bytes;
    return pl_pack_rows_read(state, t, part, from, len, bytes, scratch);
}

static pl_status read_packed(pl_source *s, int tensor, int64_t first, int64_t count, pl_packed *out, bool streamed,
                             pl_arena *scratch)
{
    pl_pack_state *state = s->state;
    const pl_pack_tensor *t = state->tensor[tensor];
    PL_TRY(pl_packed_rows(&t->shape, first, count, out));
    for (int p = 0; p < out->nparts; p++) {
        pl_part *part = &out->part[p];
        int64_t from = part->stride ? first / pl_max64(1, t->shape.granule) * part->stride : 0;
        const uint8_t *segment = streamed ? pl_resident_at(state->resident, t->segment) : NULL;
        if (segment) part->ptr = segment + state->content_at[t->part[p].first] + from;
        else PL_TRY(part_bytes(state, t, p, from, part->bytes, &part->ptr, scratch));
    }
    return PL_OK;
}

static pl_status pack_packed(pl_source *s, int tensor, int64_t first, int64_t count, pl_packed *out, pl_arena *scratch)
{
    const pl_pack_state *state = s->state;
    return read_packed(s, tensor, first, count, out, state->resident != NULL, scratch);
}

static pl_status pack_rows(pl_source *s, int tensor, int64_t first, int64_t count, float *out, pl_arena *scratch)
{
    const pl_pack_state *state = s->state;
    const pl_packed *shape = &state->tensor[tensor]->shape;
    int64_t granule = shape->granule ? shape->granule : shape->rows, from = first / granule * granule;
    int64_t end = pl_min64(shape->rows, pl_ceil_div(first + count, granule) * granule);
    pl_packed rows;
    pl_arena_mark mark = pl_arena_save(scratch);
    pl_status code = read_packed(s, tensor, from, end - from, &rows, false, scratch);
    if (code == PL_OK) code = pl_packed_decode(&rows, first - from, count, out, scratch);
    pl_arena_restore(scratch, mark);
    return code;
}

static void pack_advise(pl_source *s, int tensor, int64_t first, int64_t count)
{
    const pl_pack_state *state = s->state;
    const pl_pack_tensor *t = state->tensor[tensor];
    for (int p = 0; p < t->shape.nparts; p++) {
        const pl_part *part = &t->shape.part[p];
        const pl_pack_blob *b = &t->part[p];
        int64_t granule = pl_max64(1, t->shape.granule);
        if (!part->stride || !b->bytes || t->layout[p]) continue;
        int64_t from = first / granule * part->stride, to = pl_ceil_div(first + count, granule) * part->stride - 1;
        const pl_pack_frame *a = &state->pack.frame[b->first + pl_min64(from, b->bytes - 1) / b->frame];
        const pl_pack_frame *z = &state->pack.frame[b->first + pl_min64(to, b->bytes - 1) / b->frame];
        pl_file_advise(state->file, a->at, z->at + z->stored - a->at);
    }
}

static const char *pack_file_of(const pl_source *s, int tensor) { return s->file[0]; }

/* SHA-256 of every frame, and zeros between them: no byte of the file is without a digest. */
static pl_status pack_verify(pl_source *s, pl_arena *scratch)
{
    const pl_pack_state *state = s->state;
    return pl_pack_verify(&state->pack, state->file, scratch);
}

const pl_source_ops pl_source_pack = {
    .name = "pack",
    .state_size = sizeof(pl_pack_state),
    .probe = pack_probe,
    .open = pack_open,
    .close = pack_close,
    .rows = pack_rows,
    .packed = pack_packed,
    .advise = pack_advise,
    .need = pl_pack_need,
    .done = pl_pack_done,
    .streamed = pl_pack_streamed,
    .file_of = pack_file_of,
    .verify = pack_verify,
};
