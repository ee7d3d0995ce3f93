/* target_imatrix.c: statistics of activations, read for a small model with experts, written and read again. */
#include <math.h>
#include <string.h>

#include "formats/arch.h"
#include "formats/imatrix.h"
#include "tests/fuzz/fuzz.h"

enum { LAYERS = 2, EXPERTS = 2, MOST_TENSORS = 64 };

static bool make_model(pl_model *m, pl_tensor *tensor, pl_arena *arena)
{
    *m = (pl_model){ .arch = "llama", .tensor = tensor };
    m->hp = (pl_hparams){ .layers = LAYERS, .hidden = 4, .heads = 2, .kv_heads = 1, .head_dim = 2, .ffn = 6, .vocab = 8,
                          .experts = EXPERTS, .experts_used = 1, .expert_ffn = 6 };
    const pl_arch *arch = pl_arch_find(m->arch);
    for (int i = 0; i < arch->tensors; i++) {
        const pl_arch_tensor *row = &arch->tensor[i];
        if (!row->required || (row->when && !row->when(&m->hp))) continue;
        bool layers = strstr(row->gguf, "%d"), experts = pl_arch_per_expert(row);
        for (int k = layers ? 0 : -1; k < (layers ? LAYERS : 0); k++) {
            for (int e = experts ? 0 : -1; e < (experts ? EXPERTS : 0); e++) {
                pl_tensor *t = &tensor[m->tensors++];
                *t = (pl_tensor){ .id = pl_id_make(row->role, k, e), .rows = row->rows(&m->hp), .cols = row->cols(&m->hp) };
                t->flags = t->cols > 1 && !row->keep ? PL_TENSOR_MATRIX : 0;
                fuzz_check(m->tensors < MOST_TENSORS);
            }
        }
    }
    return fuzz_must(pl_model_index(m, arena));
}

static void check_stat(const pl_model *m, const pl_stat *s)
{
    float weight[8];
    int tensor = pl_model_find(m, s->id);
    fuzz_check(tensor >= 0 && s->count >= 0 && isfinite(s->count) && s->cols <= PL_COUNT(weight));
    for (int64_t c = 0; c < s->cols; c++) fuzz_check(s->sum2[c] >= 0 && isfinite(s->sum2[c]));
    pl_stat_importance(s, weight);
    for (int64_t c = 0; c < s->cols; c++) fuzz_check(weight[c] >= 0 && isfinite(weight[c]));
    pl_stat_weights(s, weight);
    for (int64_t c = 0; c < s->cols; c++) fuzz_check(weight[c] > 0 && isfinite(weight[c]));
}

/* A whole number of experts of each stack is there, so what was read can be written. */
static void write_and_read(const pl_stats *stats, const pl_model *m, pl_arena *arena)
{
    const char *path = fuzz_file("again.gguf", &(fuzz_part){ (const uint8_t *)"", 0 });
    pl_stats *again;
    if (!fuzz_must(pl_imatrix_save(path, stats, m, true)) || !fuzz_must(pl_imatrix_load(path, m, arena, &again))) return;
    fuzz_check(again->count == stats->count && again->datasets == stats->datasets && again->chunks == stats->chunks);
    for (int i = 0; i < stats->count; i++) {
        const pl_stat *a = &stats->stat[i], *b = &again->stat[i];
        fuzz_check(pl_id_equal(a->id, b->id) && a->count == b->count);
        fuzz_check(!memcmp(a->sum2, b->sum2, (size_t)a->cols * sizeof *a->sum2));
    }
}

static void run_imatrix(const fuzz_part *part, int parts)
{
    pl_model model;
    pl_tensor tensor[MOST_TENSORS];
    pl_arena *arena;
    pl_stats *stats;
    if (!fuzz_must(pl_arena_create(&arena))) return;
    const char *path = fuzz_file("stats", part);
    if (make_model(&model, tensor, arena) && !fuzz_refused(pl_imatrix_load(path, &model, arena, &stats))) {
        int all, missing = pl_imatrix_missing(stats, &model, &all);
        fuzz_check(missing >= 0 && missing <= all);
        for (int i = 0; i < stats->count; i++) check_stat(&model, &stats->stat[i]);
        write_and_read(stats, &model, arena);
    }
    pl_arena_destroy(arena);
}

const fuzz_target fuzz_imatrix = { "imatrix", "g", run_imatrix };
