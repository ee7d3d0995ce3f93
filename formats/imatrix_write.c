/* imatrix_write.c: activation statistics as llama.cpp's GGUF form. One function emits the whole file; without a file
 * it only counts, so that the room on the disk is known before. */
#include <stdlib.h>
#include <string.h>

#include "formats/arch.h"
#include "formats/gguf_emit.h"
#include "formats/imatrix.h"
#include "formats/imatrix_keys.h"

/* A matrix, or a stack of experts: its statistics stand one behind the other. */
typedef struct group {
    const char *name;
    const pl_stat *stat;        /* [experts] */
    int64_t cols;
    int experts;
} group;

static int compare_groups(const void *a, const void *b)
{
    return strcmp(((const group *)a)->name, ((const group *)b)->name);
}

/* Group of the statistics from `first` on. */
static pl_status join(const char *path, const pl_stats *stats, int first, const pl_model *model, const pl_arch *arch,
                      pl_arena *arena, group *out)
{
    const pl_stat *s = &stats->stat[first];
    const pl_arch_tensor *row = pl_arch_row_of(arch, s->id);
    if (!row || pl_model_find(model, s->id) < 0)
        return pl_fail(PL_E_INPUT, "%s: statistics of '%s' in layer %d, which the model has not", path,
                       pl_role_name(s->id.role), (int)s->id.layer);
    *out = (group){ pl_arch_name(arch, PL_NAMES_GGUF, s->id, arena), s, s->cols, 1 };
    if (!out->name) return PL_E_MEMORY;
    if (!pl_arch_stacked(row)) return PL_OK;
    out->experts = model->hp.experts;
    for (int k = 0; k < out->experts; k++)
        if (first + k >= stats->count || s[k].cols != s->cols ||
            !pl_id_equal(s[k].id, pl_id_make(s->id.role, s->id.layer, k)))
            return pl_fail(PL_E_INPUT, "%s: no statistics of expert %d of '%s'", path, k, out->name);
    return PL_OK;
}

/* ---- bytes ---- */

static void emit_info(pl_emitter *e, const group *g, const char *ending, int64_t cols, int64_t *offset)
{
    size_t len = strlen(g->name), end = strlen(ending);
    pl_emit_number(e, len + end, 8);
    pl_emit_bytes(e, g->name, len);
    pl_emit_bytes(e, ending, end);
    pl_emit_number(e, 2, 4);
    pl_emit_number(e, (uint64_t)cols, 8);
    pl_emit_number(e, (uint64_t)g->experts, 8);
    pl_emit_number(e, (uint64_t)pl_dtypes[PL_F32].gguf_id, 4);
    pl_emit_number(e, (uint64_t)*offset, 8);
    *offset += cols * g->experts * (int64_t)sizeof(float);
    *offset = (*offset + PL_GGUF_ALIGNMENT - 1) / PL_GGUF_ALIGNMENT * PL_GGUF_ALIGNMENT;
}

static void pad(pl_emitter *e)
{
    static const uint8_t zeros[PL_GGUF_ALIGNMENT];
    pl_emit_bytes(e, zeros, (size_t)(-e->at & (PL_GGUF_ALIGNMENT - 1)));
}

static void emit_file(pl_emitter *e, const pl_stats *stats, const group *list, int groups)
{
    int64_t offset = 0, tensors = 0;
    for (int i = 0; i < groups; i++) tensors += list[i].stat->sum ? 3 : 2;
    pl_emit_bytes(e, "GGUF", 4);
    pl_emit_number(e, PL_GGUF_VERSION, 4);
    pl_emit_number(e, (uint64_t)tensors, 8);
    pl_emit_number(e, 4, 8);
    pl_emit_key_text(e, PL_GGUF_KEY_TYPE, PL_IMATRIX_TYPE);
    pl_emit_key_array(e, PL_IMATRIX_DATASETS, PL_META_STRING, stats->datasets);
    for (int i = 0; i < stats->datasets; i++) pl_emit_text(e, stats->dataset[i], strlen(stats->dataset[i]));
    pl_emit_key_u32(e, PL_IMATRIX_CHUNKS, stats->chunks);
    pl_emit_key_u32(e, PL_IMATRIX_CHUNK_SIZE, stats->chunk_size);
    for (int i = 0; i < groups; i++) {
        if (list[i].stat->sum) emit_info(e, &list[i], PL_IMATRIX_SUM, list[i].cols, &offset);
        emit_info(e, &list[i], PL_IMATRIX_SUM2, list[i].cols, &offset);
        emit_info(e, &list[i], PL_IMATRIX_COUNTS, 1, &offset);
    }
    for (int i = 0; i < groups; i++) {
        const pl_stat *s = list[i].stat;
        pad(e);
        for (int k = 0; s->sum && k < list[i].experts; k++)
            pl_emit_bytes(e, s[k].sum, (size_t)s[k].cols * sizeof *s->sum);
        pad(e);
        for (int k = 0; k < list[i].experts; k++) pl_emit_bytes(e, s[k].sum2, (size_t)s[k].cols * sizeof *s->sum2);
        pad(e);
        for (int k = 0; k < list[i].experts; k++) pl_emit_bytes(e, &s[k].count, sizeof s->count);
    }
    pad(e);
}

static pl_status write_file(const char *path, const pl_stats *stats, const group *list, int groups, bool force,
                            pl_emitter *e)
{
    emit_file(e, stats, list, groups);
    PL_TRY(e->status);
    int64_t bytes = e->at;
    *e = (pl_emitter){ 0 };
    PL_TRY(pl_outfile_create(path, bytes, force, &e->file));
    emit_file(e, stats, list, groups);
    pl_emit_flush(e);
    if (e->status == PL_OK) return pl_outfile_commit(e->file);
    pl_outfile_abandon(e->file);
    return e->status;
}

pl_status pl_imatrix_save(const char *path, const pl_stats *stats, const pl_model *model, bool force)
{
    pl_arena *arena;
    PL_TRY(pl_arena_create(&arena));
    const pl_arch *arch = pl_arch_find(model->arch);
    group *list = PL_NEW(arena, group, stats->count);
    pl_emitter *e = PL_ZNEW(arena, pl_emitter, 1);
    pl_status code = list && e ? PL_OK : PL_E_MEMORY;
    int groups = 0;
    for (int i = 0; i < stats->count && code == PL_OK;) {
        code = join(path, stats, i, model, arch, arena, &list[groups]);
        if (code == PL_OK) i += list[groups++].experts;
    }
    if (code == PL_OK) {
        qsort(list, (size_t)groups, sizeof *list, compare_groups);
        code = write_file(path, stats, list, groups, force, e);
    }
    pl_arena_destroy(arena);
    return code;
}
