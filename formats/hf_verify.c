/* hf_verify.c: what a Hugging Face folder tells of itself beyond its headers, held against its data. */
#include <string.h>

#include "formats/hf_data.h"

enum { WINDOW_ELEMENTS = 1 << 18 };

const char *pl_hf_file_of(const pl_source *s, int tensor)
{
    const pl_hf_state *state = s->state;
    const pl_st_tensor *from = state->weight[tensor].from;
    return from ? pl_file_path(state->set.file[from->file]) : NULL;
}

/* The index that the shards were found by: the one file of weights of a folder needs none. */
static const char *index_of(const pl_source *s, const pl_st_set *set)
{
    static const char ending[] = ".safetensors.index.json";
    for (int i = 0; i < s->files; i++) {
        size_t len = strlen(s->file[i]), tail = strlen(ending);
        if (len < tail || strcmp(s->file[i] + len - tail, ending)) continue;
        const char *first = pl_file_path(set->file[0]);
        bool alone = set->files == 1 && strlen(first) == len - strlen(".index.json") &&
                     !strncmp(first, s->file[i], strlen(first));
        return alone ? NULL : s->file[i];
    }
    return NULL;
}

/* Every float of a tensor that the model has no place for. */
static pl_status check_floats(const pl_st_set *set, const pl_st_tensor *t, const pl_dtype *dtype, pl_arena *scratch)
{
    int64_t count = t->bytes / dtype->bytes;
    uint8_t *window = PL_NEW(scratch, uint8_t, pl_min64(count, WINDOW_ELEMENTS) * dtype->bytes);
    if (!window) return PL_E_MEMORY;
    for (int64_t at = 0; at < count; at += WINDOW_ELEMENTS) {
        int64_t n = pl_min64(WINDOW_ELEMENTS, count - at);
        PL_TRY(pl_file_read(set->file[t->file], t->offset + at * dtype->bytes, window, (size_t)(n * dtype->bytes)));
        int64_t bad = pl_dtype_find_nonfinite(dtype, window, n * dtype->block);
        if (bad >= 0)
            return pl_fail(PL_E_INPUT, "%s: tensor '%s': element %lld is not finite", pl_file_path(set->file[t->file]),
                           t->name, (long long)(at * dtype->block + bad));
    }
    return PL_OK;
}

static pl_status check_others(const pl_source *s, const pl_hf_state *state, pl_arena *scratch)
{
    const pl_st_set *set = &state->set;
    bool *used = PL_ZNEW(scratch, bool, set->tensors);
    if (!used) return PL_E_MEMORY;
    for (int i = 0; i < s->model->tensors; i++) {
        const pl_hf_weight *w = &state->weight[i];
        const pl_st_tensor *const part[] = { w->from, w->scales, w->biases };
        for (int k = 0; k < PL_COUNT(part); k++)
            if (part[k]) used[part[k] - set->tensor] = true;
    }
    for (int i = 0; i < set->tensors; i++) {
        const pl_dtype *dtype = pl_dtype_by_safetensors(set->tensor[i].dtype);
        if (used[i] || !dtype) continue;
        pl_arena_mark mark = pl_arena_save(scratch);
        PL_TRY(check_floats(set, &set->tensor[i], dtype, scratch));
        pl_arena_restore(scratch, mark);
    }
    return PL_OK;
}

/* X.weight_shape beside the codes of compressed-tensors: runtimes unpack by it. */
static pl_status check_shape(const pl_hf_state *state, const pl_hf_weight *w, const pl_tensor *t)
{
    const pl_st_set *set = &state->set;
    uint8_t raw[16];
    size_t stem = w->from ? pl_hf_stem(w->from->name, "weight_packed") : 0;
    const pl_st_tensor *shape = stem ? pl_hf_beside(set, w->from->name, stem, "weight_shape") : NULL;
    if (!shape || strcmp(shape->dtype, "I64") || shape->bytes != sizeof raw) return PL_OK;
    PL_TRY(pl_file_read(set->file[shape->file], shape->offset, raw, sizeof raw));
    uint64_t said[2] = { 0 };
    for (int i = 15; i >= 0; i--) said[i / 8] = said[i / 8] << 8 | raw[i];
    if (said[0] == (uint64_t)t->rows && said[1] == (uint64_t)t->cols) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: tensor '%s' says %lld x %lld, the codes beside it are of %lld x %lld",
                   pl_hf_place(set, shape), shape->name, (long long)said[0], (long long)said[1],
                   (long long)t->rows, (long long)t->cols);
}

pl_status pl_hf_verify(pl_source *s, pl_arena *scratch)
{
    const pl_hf_state *state = s->state;
    const char *index = index_of(s, &state->set);
    if (index) PL_TRY(pl_st_check_index(&state->set, index));
    for (int i = 0; i < s->model->tensors; i++)
        PL_TRY(check_shape(state, &state->weight[i], &s->model->tensor[i]));
    return check_others(s, state, scratch);
}
