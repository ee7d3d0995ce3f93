/* arch.c: names to identities and back, and whether a model's tensors are what its table says. */
#include "formats/arch.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* pl_arch_list() spells this list. */
static const pl_arch *const archs[] = { &pl_arch_llama };

const pl_arch *pl_arch_find(const char *gguf_name)
{
    for (int i = 0; i < PL_COUNT(archs); i++)
        if (!strcmp(archs[i]->name, gguf_name)) return archs[i];
    return NULL;
}

const pl_arch *pl_arch_find_hf(const char *architecture)
{
    for (int i = 0; i < PL_COUNT(archs); i++)
        for (const char *const *name = archs[i]->hf; *name; name++)
            if (!strcmp(*name, architecture)) return archs[i];
    return NULL;
}

const char *pl_arch_list(void) { return "llama (LlamaForCausalLM)"; }

const pl_arch_tensor *pl_arch_row(const pl_arch *arch, int role)
{
    for (int i = 0; role >= 0 && i < arch->tensors; i++)
        if (arch->tensor[i].role == role) return &arch->tensor[i];
    return NULL;
}

static const char *pattern_of(const pl_arch_tensor *row, pl_naming naming)
{
    return naming == PL_NAMES_HF ? row->hf : row->gguf;
}

static bool per_layer(const pl_arch_tensor *row)
{
    return strstr(row->hf ? row->hf : row->gguf, "%d") != NULL;
}

/* The first part of a name that is a number, as ".12." is: its place, value and end. A number is
 * spelled one way only, or two names could mean one tensor. */
static bool find_layer(const char *name, size_t *begin, size_t *end, int *layer)
{
    for (size_t i = 1; name[i - 1] && name[i]; i++) {
        if (name[i - 1] != '.' || name[i] < '0' || name[i] > '9') continue;
        int value = 0;
        size_t at = i;
        for (; name[at] >= '0' && name[at] <= '9'; at++) {
            value = value * 10 + name[at] - '0';
            if (value >= PL_MAX_LAYERS) return false;
        }
        if (name[at] != '.') continue;
        if (name[i] == '0' && at > i + 1) return false;
        *begin = i;
        *end = at;
        *layer = value;
        return true;
    }
    return false;
}

bool pl_arch_identify(const pl_arch *arch, pl_naming naming, const char *name, pl_id *id)
{
    size_t begin = 0, end = 0;
    int layer = -1;
    bool numbered = find_layer(name, &begin, &end, &layer);
    for (int i = 0; i < arch->tensors; i++) {
        const char *pattern = pattern_of(&arch->tensor[i], naming);
        if (!pattern) continue;
        bool same = numbered ? !strncmp(pattern, name, begin) &&
                                   !strncmp(pattern + begin, "%d", 2) &&
                                   !strcmp(pattern + begin + 2, name + end)
                             : !strstr(pattern, "%d") && !strcmp(pattern, name);
        if (!same) continue;
        *id = pl_id_make(arch->tensor[i].role, layer, -1);
        return true;
    }
    return false;
}

/* A pattern with the layer in place of its gap; "-" for no pattern. */
static void fill_pattern(const char *pattern, int layer, char *out, size_t size)
{
    const char *gap = pattern ? strstr(pattern, "%d") : NULL;
    if (gap) snprintf(out, size, "%.*s%d%s", (int)(gap - pattern), pattern, layer, gap + 2);
    else snprintf(out, size, "%s", pattern ? pattern : "-");
}

const char *pl_arch_name(const pl_arch *arch, pl_naming naming, pl_id id, pl_arena *arena)
{
    const pl_arch_tensor *row = pl_arch_row(arch, id.role);
    const char *pattern = row ? pattern_of(row, naming) : NULL;
    if (!pattern || id.expert >= 0 || (id.layer >= 0) != per_layer(row)) return NULL;
    char name[PL_MAX_NAME + 1];
    fill_pattern(pattern, id.layer, name, sizeof name);
    return pl_arena_text(arena, name, strlen(name));
}

/* ---- check ---- */

static pl_status check_tensor(const pl_arch *arch, const pl_hparams *hp, const pl_tensor *t,
                              const char *origin)
{
    const pl_arch_tensor *row = pl_arch_row(arch, t->id.role);
    if (!row || per_layer(row) != (t->id.layer >= 0) || t->id.expert >= 0)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has no place in a %s model", origin, t->name,
                       arch->name);
    if (t->id.layer >= hp->layers)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' belongs to layer %d, the model has layers 0 to %d",
                       origin, t->name, (int)t->id.layer, (int)hp->layers - 1);
    int64_t rows = row->rows(hp), cols = row->cols(hp);
    bool matrix = t->flags & PL_TENSOR_MATRIX;
    if (t->rows != rows || t->cols != cols || matrix != (cols > 1)) {
        char expected[48], found[48];
        snprintf(expected, sizeof expected, cols > 1 ? "%lld x %lld" : "%lld", (long long)rows,
                 (long long)cols);
        snprintf(found, sizeof found, matrix ? "%lld x %lld" : "%lld", (long long)t->rows,
                 (long long)t->cols);
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' should be %s, is %s", origin, t->name, expected,
                       found);
    }
    return PL_OK;
}

/* "attn_q of layer 3 is missing ('model.layers.3.self_attn.q_proj.weight' or 'blk.3.attn_q.weight')". */
static pl_status missing(const pl_arch_tensor *row, int layer, const char *origin)
{
    char where[32] = "", hf[PL_MAX_NAME + 1], gguf[PL_MAX_NAME + 1];
    if (layer >= 0) snprintf(where, sizeof where, " of layer %d", layer);
    fill_pattern(row->hf, layer, hf, sizeof hf);
    fill_pattern(row->gguf, layer, gguf, sizeof gguf);
    return pl_fail(PL_E_INPUT, "%s: %s%s is missing ('%s' or '%s')", origin,
                   pl_role_name(row->role), where, hf, gguf);
}

/* One row of the table against all layers. */
static pl_status check_row(const pl_arch_tensor *row, const pl_model *model, const char *origin)
{
    const pl_hparams *hp = &model->hp;
    if (!per_layer(row)) {
        bool needed = row->required && !(row->role == PL_OUTPUT && hp->tied);
        if (needed && pl_model_find(model, pl_id_make(row->role, -1, -1)) < 0)
            return missing(row, -1, origin);
        return PL_OK;
    }
    int found = 0, first_gap = -1;
    for (int layer = 0; layer < hp->layers; layer++) {
        if (pl_model_find(model, pl_id_make(row->role, layer, -1)) >= 0) found++;
        else if (first_gap < 0) first_gap = layer;
    }
    if (first_gap >= 0 && (row->required || found)) return missing(row, first_gap, origin);
    return PL_OK;
}

pl_status pl_arch_check(const pl_arch *arch, pl_model *model, const char *origin)
{
    assert(model->entry || !model->tensors);
    model->parameters = 0;
    for (int i = 0; i < model->tensors; i++) {
        const pl_tensor *t = &model->tensor[i];
        PL_TRY(check_tensor(arch, &model->hp, t, origin));
        model->parameters += t->rows * t->cols;     /* both as the checked hyper-parameters say */
    }
    for (int i = 0; i < arch->tensors; i++)
        if (arch->tensor[i].role >= 0) PL_TRY(check_row(&arch->tensor[i], model, origin));
    return PL_OK;
}
