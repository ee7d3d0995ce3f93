/* gguf_write.c: GGUF files as a sink. One function emits the header; without a file it only counts,
 * so that the size told beforehand and the bytes written cannot differ. */
#include <stdio.h>
#include <string.h>

#include "core/half.h"
#include "core/sink.h"
#include "formats/gguf_emit.h"
#include "formats/gguf_keys.h"
#include "formats/gguf_layout.h"
#include "formats/registry.h"

typedef struct part_place { int shard; int64_t at, bytes; } part_place;

typedef struct gguf_state {
    pl_outfile **file;          /* [files] */
    int files;
    part_place *part;           /* [parts] by the plan's ids; at: from the start of the file */
    int parts;
} gguf_state;

static void put_zeros(pl_emitter *e, int64_t count)
{
    static const uint8_t zeros[64];
    for (; count > 0; count -= 64) pl_emit_bytes(e, zeros, (size_t)pl_min64(count, 64));
}

/* ---- keys ---- */

/* A text cut to 127 bytes, behind a whole character. */
static void emit_key_short(pl_emitter *e, const char *key, const char *text)
{
    size_t len = strlen(text);
    if (len > 127) {
        len = 127;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80) len--;
    }
    pl_emit_key(e, key, PL_META_STRING);
    pl_emit_text(e, text, len);
}

/* Which statistics guided the encoder, told as llama-quantize does: of several texts the first, and of texts no more
 * than its fields hold. */
static void emit_stats(pl_emitter *e, const pl_stats *stats)
{
    if (!stats) return;
    emit_key_short(e, PL_GGUF_KEY_IMATRIX_FILE, stats->path);
    if (stats->datasets > 0) emit_key_short(e, PL_GGUF_KEY_IMATRIX_DATASET, stats->dataset[0]);
    pl_emit_key_u32(e, PL_GGUF_KEY_IMATRIX_ENTRIES, stats->entries);
    if (stats->chunks > 0) pl_emit_key_u32(e, PL_GGUF_KEY_IMATRIX_CHUNKS, stats->chunks);
}

static void emit_general(pl_emitter *e, const pl_gguf_layout *l)
{
    pl_emit_key_text(e, PL_GGUF_KEY_ARCH, l->model->arch);
    pl_emit_key_text(e, PL_GGUF_KEY_TYPE, "model");
    pl_emit_key_text(e, PL_GGUF_KEY_NAME, l->model->name);
    int file_type = pl_mix_file_type(l->plan->mix, &l->plan->type);
    pl_emit_key_u32(e, PL_GGUF_KEY_FTYPE, file_type < 0 ? PL_GGUF_FTYPE_OTHER : file_type);
    pl_emit_key_u32(e, PL_GGUF_KEY_QUANT, PL_GGUF_QUANT_VERSION);
    emit_stats(e, l->plan->stats);
}

/* The architecture's keys. pl_emit_key keeps pointers, so their names lie in the arena. */
static void emit_hparams(pl_emitter *e, const pl_gguf_layout *l, pl_arena *arena)
{
    pl_gguf_keys keys;
    pl_status code = pl_gguf_keys_list(pl_arch_find(l->model->arch), &l->model->hp, &keys);
    if (code != PL_OK && e->status == PL_OK) e->status = code;
    if (!l->model->vocab) pl_gguf_keys_add_vocab(&keys, l->model->hp.vocab);
    if (e->file) pl_gguf_keys_warn(pl_arch_find(l->model->arch), &keys);
    for (int i = 0; i < keys.count && e->status == PL_OK; i++) {
        const pl_gguf_key *key = &keys.key[i];
        const char *name = key->name;
        if (!key->whole) name = pl_arena_format(arena, "%s.%s", l->model->arch, key->name);
        if (!name) {
            e->status = PL_E_MEMORY;
            return;
        }
        if (key->type == PL_META_STRING) pl_emit_key_text(e, name, key->text);
        else if (key->type == PL_META_F32) pl_emit_key_f32(e, name, (float)key->number);
        else if (key->type == PL_META_BOOL) pl_emit_key_bool(e, name, key->number != 0);
        else if (key->type == PL_META_U32) pl_emit_key_u32(e, name, (int64_t)key->number);
        else {
            pl_emit_key_array(e, name, PL_META_BOOL, keys.layers);
            pl_emit_bytes(e, keys.windows, (size_t)keys.layers);
        }
    }
}

static void emit_meta(pl_emitter *e, const pl_meta *m)
{
    for (int i = 0; i < e->own; i++)
        if (!strcmp(e->own_key[i], m->key)) return;
    e->keys++;
    pl_emit_text(e, m->key, strlen(m->key));
    pl_emit_number(e, m->type, 4);
    if (m->type == PL_META_STRING) {
        pl_emit_text(e, m->value.text.s, m->value.text.len);
    } else if (m->type != PL_META_ARRAY) {
        uint64_t bits = m->value.u;
        if (m->type == PL_META_F32) bits = pl_f32_bits((float)m->value.f);
        pl_emit_number(e, bits, pl_gguf_scalar_bytes(m->type));
    } else {
        pl_emit_number(e, m->element, 4);
        pl_emit_number(e, (uint64_t)m->count, 8);
        if (m->element != PL_META_STRING) {
            size_t bytes = (size_t)pl_gguf_scalar_bytes(m->element);
            pl_emit_bytes(e, m->value.array, (size_t)m->count * bytes);
            return;
        }
        const pl_text *text = m->value.array;
        for (int64_t i = 0; i < m->count; i++) pl_emit_text(e, text[i].s, text[i].len);
    }
}

/* What tells the files of a set apart; one file alone needs none of it. */
static void emit_split(pl_emitter *e, const pl_gguf_layout *l, int shard)
{
    if (l->shards == 1) return;
    pl_emit_key(e, PL_GGUF_KEY_SPLIT_NO, PL_META_U16);
    pl_emit_number(e, (uint64_t)shard, 2);
    pl_emit_key(e, PL_GGUF_KEY_SPLIT_COUNT, PL_META_U16);
    pl_emit_number(e, (uint64_t)l->shards, 2);
    pl_emit_key(e, PL_GGUF_KEY_SPLIT_TENSORS, PL_META_I32);
    pl_emit_number(e, (uint64_t)l->tensors, 4);
}

/* The first file has all that is told of the model. */
static void emit_keys(pl_emitter *e, const pl_gguf_layout *l, int shard, pl_arena *arena)
{
    if (shard == 0) {
        emit_general(e, l);
        emit_hparams(e, l, arena);
        if (l->model->vocab) pl_emit_vocab(e, l->model);
        for (int i = 0; i < l->model->metas; i++) emit_meta(e, &l->model->meta[i]);
    }
    emit_split(e, l, shard);
}

/* ---- headers ---- */

static void emit_info(pl_emitter *e, const pl_gguf_tensor *t)
{
    int dims = pl_gguf_dims(t);
    pl_emit_text(e, t->name, strlen(t->name));
    pl_emit_number(e, (uint64_t)dims, 4);
    if (dims > 1) pl_emit_number(e, (uint64_t)t->cols, 8);
    pl_emit_number(e, (uint64_t)(t->part ? t->experts : t->rows), 8);
    if (dims > 2) pl_emit_number(e, (uint64_t)t->experts, 8);
    pl_emit_number(e, (uint64_t)t->dtype->gguf_id, 4);
    pl_emit_number(e, (uint64_t)t->at, 8);
}

/* Emits the keys and infos of one file. Without `file` they are only counted, which fills keys and
 * header of the shard; with it these must be right already. */
static pl_status emit_header(const pl_gguf_layout *l, int index, pl_outfile *file, int64_t base)
{
    pl_gguf_shard *shard = &l->shard[index];
    pl_arena *arena;
    PL_TRY(pl_arena_create(&arena));
    pl_emitter *e = pl_alloc(1, sizeof *e);
    if (!e) {
        pl_arena_destroy(arena);
        return PL_E_MEMORY;
    }
    e->file = file;
    e->base = base;
    pl_emit_bytes(e, "GGUF", 4);
    pl_emit_number(e, PL_GGUF_VERSION, 4);
    pl_emit_number(e, (uint64_t)shard->tensors, 8);
    pl_emit_number(e, (uint64_t)shard->keys, 8);
    emit_keys(e, l, index, arena);
    for (int i = 0; i < shard->tensors; i++) emit_info(e, &l->tensor[shard->first + i]);
    shard->keys = e->keys;
    shard->header = e->at;
    put_zeros(e, pl_gguf_data_at(shard) - e->at);
    pl_emit_flush(e);
    pl_status code = e->status;
    pl_free(e);
    pl_arena_destroy(arena);
    return code;
}

pl_status pl_gguf_write_keys(const pl_plan *plan, const pl_model *model, pl_outfile *file, int64_t at, int64_t *bytes)
{
    pl_gguf_shard shard = { 0 };
    const pl_gguf_layout l = { .plan = plan, .model = model, .shard = &shard, .shards = 1 };
    PL_TRY(emit_header(&l, 0, NULL, 0));
    *bytes = pl_gguf_data_at(&shard);
    return file ? emit_header(&l, 0, file, at) : PL_OK;
}

static int64_t file_bytes(const pl_gguf_shard *s) { return pl_gguf_data_at(s) + s->data; }

/* The layout of a plan, in as many files as the sink was told; *bytes: of all. */
static pl_status lay_out(pl_sink *s, const pl_plan *plan, const pl_model *model, pl_arena *arena,
                         pl_gguf_layout *l, int64_t *bytes)
{
    PL_TRY(pl_gguf_lay_out(plan, model, arena, l));
    PL_TRY(emit_header(l, 0, NULL, 0));
    if (s->max_shard > 0 && file_bytes(&l->shard[0]) > s->max_shard) {
        /* What the headers take before tensors come in. */
        pl_gguf_shard empty[2] = { { 0 } };
        pl_gguf_layout bare = *l;
        bare.shard = empty;
        bare.shards = 2;
        for (int i = 0; i < 2; i++) PL_TRY(emit_header(&bare, i, NULL, 0));
        PL_TRY(pl_gguf_cut(l, s->max_shard, empty[0].header, empty[1].header, arena));
        for (int i = 0; i < l->shards; i++) PL_TRY(emit_header(l, i, NULL, 0));
    }
    s->files = l->shards;
    *bytes = 0;
    for (int i = 0; i < l->shards; i++) *bytes += file_bytes(&l->shard[i]);
    return PL_OK;
}

/* ---- the sink ---- */

static pl_status gguf_resolve(pl_sink *s, const pl_model *model, const pl_tensor *t, pl_type wish,
                              pl_packed *out, const char **name, pl_arena *arena)
{
    const pl_arch *arch = pl_arch_find(model->arch);
    const pl_arch_tensor *row = arch ? pl_arch_row_of(arch, t->id) : NULL;
    *name = row ? pl_arch_name(arch, PL_NAMES_GGUF, t->id, arena) : NULL;
    if (!*name)
        return pl_fail(PL_E_WISH, "GGUF has no name for the tensor '%s' of a %s model", t->name,
                       model->arch);
    if (strlen(*name) > PL_GGUF_MAX_NAME)
        return pl_fail(PL_E_WISH, "the tensor name '%s' is longer than GGUF's %d bytes",
                       *name, PL_GGUF_MAX_NAME);
    out->type = t->flags & PL_TENSOR_MATRIX ? wish : pl_type_plain(PL_F32);
    if (out->type.scheme == &pl_scheme_scaled && !pl_gguf_takes_factor(model, t->id))
        out->type = pl_type_plain((int)(out->type.element - pl_dtypes));
    if (!pl_gguf_holds(&out->type))
        return pl_fail(PL_E_WISH, "GGUF cannot hold '%s' as %s", t->name, pl_type_name(&out->type));
    out->rows = t->rows;
    out->cols = t->cols;
    out->order = row->order ? row->order(&model->hp) : 0;
    int64_t row_bytes;
    return pl_dtype_row_bytes(out->type.element, out->cols, &row_bytes);
}

static pl_status gguf_size(pl_sink *s, const pl_plan *plan, const pl_model *model, int64_t *bytes)
{
    pl_gguf_layout l;
    pl_arena *arena;
    PL_TRY(pl_arena_create(&arena));
    pl_status code = lay_out(s, plan, model, arena, &l, bytes);
    pl_arena_destroy(arena);
    return code;
}

/* "out.gguf" becomes "out-00001-of-00003.gguf". A path of this form gives its prefix only: how many
 * files there are is not the user's to say. */
static pl_status gguf_file_name(const pl_sink *s, const char *path, int i, char out[PATH_MAX])
{
    size_t prefix, len = strlen(path);
    int no, count, n;
    bool numbered = s->max_shard > 0 && pl_gguf_shard_parse(path, &prefix, &no, &count);
    if (!numbered) prefix = len > 5 && !strcmp(path + len - 5, ".gguf") ? len - 5 : len;
    if (s->files > 1) return pl_gguf_shard_name(path, prefix, i + 1, s->files, out);
    if (numbered) n = snprintf(out, PATH_MAX, "%.*s.gguf", (int)pl_min64((int64_t)prefix, PATH_MAX), path);
    else n = snprintf(out, PATH_MAX, "%s", path);
    if (n < PATH_MAX) return PL_OK;
    return pl_fail(PL_E_WISH, "the output's path is longer than %d bytes", PATH_MAX - 1);
}

/* Places of the parts in one file; the zeros behind each tensor are written here, so that no gap is
 * left to chance. */
static pl_status place_parts(gguf_state *state, const pl_gguf_layout *l, int index)
{
    static const uint8_t zeros[PL_GGUF_ALIGNMENT];
    const pl_gguf_shard *shard = &l->shard[index];
    for (int i = 0; i < shard->tensors; i++) {
        const pl_gguf_tensor *t = &l->tensor[shard->first + i];
        int64_t at = pl_gguf_data_at(shard) + t->at, gap = pl_gguf_padded(t->bytes) - t->bytes;
        for (int x = 0; x < t->experts; x++)
            state->part[l->plan->step[t->first + x].out.part[t->part].id] =
                (part_place){ index, at + x * t->step_bytes, t->step_bytes };
        if (gap) PL_TRY(pl_outfile_write(state->file[index], at + t->bytes, zeros, (size_t)gap));
    }
    return PL_OK;
}

/* All files are opened before anything is written: what stands already is found out first. */
static pl_status open_files(pl_sink *s, const char *path, const pl_gguf_layout *l)
{
    gguf_state *state = s->state;
    char name[PATH_MAX];
    state->file = pl_alloc(l->shards, sizeof *state->file);
    if (!state->file) return PL_E_MEMORY;
    for (; state->files < l->shards; state->files++) {
        PL_TRY(gguf_file_name(s, path, state->files, name));
        PL_TRY(pl_outset_open(&s->set, name, file_bytes(&l->shard[state->files]), &state->file[state->files]));
    }
    return PL_OK;
}

static pl_status gguf_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model)
{
    gguf_state *state = s->state;
    pl_gguf_layout l;
    int64_t bytes;
    pl_arena *arena;
    PL_TRY(pl_arena_create(&arena));
    pl_status code = lay_out(s, plan, model, arena, &l, &bytes);
    if (code == PL_OK) code = open_files(s, path, &l);
    if (code == PL_OK) {
        state->parts = plan->parts;
        state->part = pl_alloc(plan->parts, sizeof *state->part);
        if (!state->part) code = PL_E_MEMORY;
    }
    for (int i = 0; i < state->files && code == PL_OK; i++) {
        code = emit_header(&l, i, state->file[i], 0);
        if (code == PL_OK) code = place_parts(state, &l, i);
    }
    pl_arena_destroy(arena);
    return code;
}

static pl_status gguf_put(pl_sink *s, const pl_part *part, int64_t offset, const void *bytes,
                          size_t len)
{
    const gguf_state *state = s->state;
    const part_place *to = part->id >= 0 && part->id < state->parts ? &state->part[part->id] : NULL;
    PL_TRY(pl_sink_within("part", part->id, to ? to->bytes : -1, offset, len));
    return pl_outfile_write(state->file[to->shard], to->at + offset, bytes, len);
}

static pl_status gguf_finish(pl_sink *s)
{
    gguf_state *state = s->state;
    int files = state->files;
    state->files = 0;
    return pl_outfile_commit_all(state->file, files);
}

static void gguf_close(pl_sink *s)
{
    gguf_state *state = s->state;
    for (int i = 0; i < state->files; i++) pl_outfile_abandon(state->file[i]);
    pl_free(state->file);
    pl_free(state->part);
}

const pl_sink_ops pl_sink_gguf = {
    .name = "gguf",
    .extension = ".gguf",
    .flags = PL_SINK_ANY_ORDER | PL_SINK_RESUMES,
    .state_size = sizeof(gguf_state),
    .resolve = gguf_resolve,
    .size = gguf_size,
    .file_name = gguf_file_name,
    .begin = gguf_begin,
    .put = gguf_put,
    .finish = gguf_finish,
    .close = gguf_close,
};
