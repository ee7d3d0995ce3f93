/* arch.c: names to identities and back, and whether a model's tensors are what its table says. */
#include "formats/arch.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

const pl_arch *const pl_archs[] = {
    &pl_arch_llama, &pl_arch_qwen2, &pl_arch_qwen2moe, &pl_arch_qwen3, &pl_arch_qwen3moe, &pl_arch_gemma,
    &pl_arch_gemma2, &pl_arch_gemma3, &pl_arch_phi3, &pl_arch_smollm3, &pl_arch_gpt2, &pl_arch_bert, NULL,
};

const pl_arch *pl_arch_find(const char *gguf_name)
{
    for (int i = 0; pl_archs[i]; i++)
        if (!strcmp(pl_archs[i]->name, gguf_name)) return pl_archs[i];
    return NULL;
}

const pl_arch *pl_arch_find_hf(const char *architecture)
{
    for (int i = 0; pl_archs[i]; i++)
        for (const char *const *name = pl_archs[i]->hf; *name; name++)
            if (!strcmp(*name, architecture)) return pl_archs[i];
    return NULL;
}

const char *pl_arch_list(void)
{
    static _Thread_local char list[1024];
    size_t len = 0;
    for (int i = 0; pl_archs[i]; i++)
        for (const char *const *name = pl_archs[i]->hf; *name; name++)
            len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", len ? ", " : "", *name);
    return list;
}

const pl_arch_tensor *pl_arch_row(const pl_arch *arch, int role)
{
    for (int i = 0; role >= 0 && i < arch->tensors; i++)
        if (arch->tensor[i].role == role) return &arch->tensor[i];
    return NULL;
}

/* ---- names ---- */

static const char *pattern_of(const pl_arch_tensor *row, pl_naming naming)
{
    return naming == PL_NAMES_HF ? row->hf : row->gguf;
}

/* Numbers that a pattern leaves open: 0, 1 (layer), 2 (layer, expert). */
static int gaps(const char *pattern)
{
    int count = 0;
    for (const char *at = pattern; at && (at = strstr(at, "%d")); at += 2) count++;
    return count;
}

static int most_gaps(const pl_arch_tensor *row)
{
    int hf = gaps(row->hf), gguf = gaps(row->gguf);
    return hf > gguf ? hf : gguf;
}

static bool per_layer(const pl_arch_tensor *row) { return most_gaps(row) > 0; }
bool pl_arch_per_expert(const pl_arch_tensor *row) { return most_gaps(row) > 1; }
bool pl_arch_stacked(const pl_arch_tensor *row)
{
    return pl_arch_per_expert(row) && gaps(row->gguf) == 1;
}

/* Reads a number below `limit` and moves *at behind it. It is spelled one way only, or two names could
 * mean one tensor. */
static bool read_number(const char **at, int limit, int *out)
{
    const char *s = *at;
    int value = 0;
    if (*s < '0' || *s > '9' || (*s == '0' && s[1] >= '0' && s[1] <= '9')) return false;
    for (; *s >= '0' && *s <= '9'; s++) {
        value = value * 10 + *s - '0';
        if (value >= limit) return false;
    }
    *at = s;
    *out = value;
    return true;
}

/* Is the name the pattern with numbers in its gaps? */
static bool matches(const char *pattern, const char *name, int *layer, int *expert)
{
    *layer = *expert = -1;
    for (; *pattern; pattern++) {
        if (*pattern != '%') {
            if (*pattern != *name++) return false;
            continue;
        }
        bool first = *layer < 0;
        if (!read_number(&name, first ? PL_MAX_LAYERS : PL_MAX_EXPERTS, first ? layer : expert))
            return false;
        pattern++;
    }
    return !*name;
}

bool pl_arch_identify(const pl_arch *arch, pl_naming naming, const char *name, pl_id *id)
{
    size_t prefix = naming == PL_NAMES_HF && arch->prefix ? strlen(arch->prefix) : 0;
    if (prefix && !strncmp(name, arch->prefix, prefix)) name += prefix;
    for (int i = 0; i < arch->tensors; i++) {
        const char *pattern = pattern_of(&arch->tensor[i], naming);
        int layer, expert;
        if (!pattern || !matches(pattern, name, &layer, &expert)) continue;
        *id = pl_id_make(arch->tensor[i].role, layer, expert);
        return true;
    }
    return false;
}

/* A pattern with numbers in its gaps; "-" for no pattern. */
static void fill_pattern(const char *pattern, pl_id id, char *out, size_t size)
{
    const int number[] = { id.layer, id.expert };
    int gap = 0;
    size_t len = 0;
    for (const char *at = pattern ? pattern : "-"; *at && len < size; at++) {
        bool open = *at == '%';
        len += open ? (size_t)snprintf(out + len, size - len, "%d", number[gap++ > 0])
                    : (size_t)snprintf(out + len, size - len, "%c", *at);
        if (open) at++;
    }
}

const pl_arch_tensor *pl_arch_row_of(const pl_arch *arch, pl_id id)
{
    for (int i = 0; id.role >= 0 && i < arch->tensors; i++) {
        const pl_arch_tensor *row = &arch->tensor[i];
        if (row->role == id.role && (id.layer >= 0) == per_layer(row) &&
            (id.expert >= 0) == pl_arch_per_expert(row))
            return row;
    }
    return NULL;
}

const char *pl_arch_name(const pl_arch *arch, pl_naming naming, pl_id id, pl_arena *arena)
{
    const pl_arch_tensor *row = pl_arch_row_of(arch, id);
    const char *pattern = row ? pattern_of(row, naming) : NULL;
    if (!pattern) return NULL;
    char name[PL_MAX_NAME + 1];
    fill_pattern(pattern, id, name, sizeof name);
    return pl_arena_text(arena, name, strlen(name));
}

/* ---- windows ---- */

void pl_arch_default_windows(const pl_arch *arch, pl_hparams *hp)
{
    int period = arch->windows_period;
    for (int i = 0; i < hp->layers; i++) {
        hp->layer[i] &= (uint8_t)~PL_LAYER_WINDOW;
        if (hp->window && (!period || i % period < period - 1)) hp->layer[i] |= PL_LAYER_WINDOW;
    }
}

/* ---- check ---- */

static pl_status check_tensor(const pl_arch *arch, const pl_hparams *hp, const pl_tensor *t,
                              const char *origin)
{
    const pl_arch_tensor *row = pl_arch_row_of(arch, t->id);
    if (!row || (row->when && !row->when(hp)))
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has no place in a %s model", origin, t->name,
                       arch->name);
    if (t->id.layer >= hp->layers)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' belongs to layer %d, the model has layers 0 to %d",
                       origin, t->name, (int)t->id.layer, (int)hp->layers - 1);
    if (t->id.expert >= hp->experts)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' belongs to expert %d of %d", origin, t->name,
                       (int)t->id.expert, (int)hp->experts);
    int64_t rows = row->rows(hp), cols = row->cols(hp);
    bool matrix = t->flags & PL_TENSOR_MATRIX;
    if (t->rows != rows || t->cols != cols || matrix != (cols > 1 && !row->keep)) {
        char expected[48], found[48];
        snprintf(expected, sizeof expected, cols > 1 ? "%lld x %lld" : "%lld", (long long)rows,
                 (long long)cols);
        snprintf(found, sizeof found, t->cols > 1 || matrix ? "%lld x %lld" : "%lld", (long long)t->rows,
                 (long long)t->cols);
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' should be %s, is %s", origin, t->name, expected,
                       found);
    }
    return PL_OK;
}

/* "attn_q of layer 3 is missing ('model.layers.3.self_attn.q_proj.weight' or 'blk.3.attn_q.weight')". */
static pl_status missing(const pl_arch_tensor *row, pl_id id, const char *origin)
{
    char where[64] = "", hf[PL_MAX_NAME + 1], gguf[PL_MAX_NAME + 1];
    if (id.layer >= 0) snprintf(where, sizeof where, " of layer %d", id.layer);
    if (id.expert >= 0) snprintf(where, sizeof where, " of expert %d, layer %d", id.expert, id.layer);
    fill_pattern(row->hf, id, hf, sizeof hf);
    fill_pattern(row->gguf, id, gguf, sizeof gguf);
    return pl_fail(PL_E_INPUT, "%s: %s%s is missing ('%s' or '%s')", origin,
                   pl_role_name(row->role), where, hf, gguf);
}

/* One row of the table against all layers and experts. */
static pl_status check_row(const pl_arch_tensor *row, const pl_model *model, const char *origin)
{
    const pl_hparams *hp = &model->hp;
    if (row->when && !row->when(hp)) return PL_OK;
    bool needed = row->required && !(row->role == PL_OUTPUT && hp->tied);
    int layers = per_layer(row) ? hp->layers : 1;
    int experts = pl_arch_per_expert(row) ? hp->experts : 1;
    bool found = false, gap = false;
    pl_id first_gap = { -1, -1, -1 };
    for (int i = 0; i < layers; i++) {
        for (int k = 0; k < experts; k++) {
            pl_id id = pl_id_make(row->role, per_layer(row) ? i : -1, pl_arch_per_expert(row) ? k : -1);
            if (pl_model_find(model, id) >= 0) found = true;
            else if (!gap) gap = true, first_gap = id;
        }
    }
    return gap && (needed || found) ? missing(row, first_gap, origin) : PL_OK;
}

static bool counts(int role)
{
    return role != PL_ROPE_FREQS && role != PL_ROPE_LONG && role != PL_ROPE_SHORT;
}

pl_status pl_arch_check(const pl_arch *arch, pl_model *model, const char *origin)
{
    assert(model->entry || !model->tensors);
    model->parameters = 0;
    for (int i = 0; i < model->tensors; i++) {
        const pl_tensor *t = &model->tensor[i];
        PL_TRY(check_tensor(arch, &model->hp, t, origin));
        /* rows and cols are as the checked hyper-parameters say; experts and layers multiply them */
        int64_t weights = t->rows * t->cols;
        if (counts(t->id.role) && !pl_add_ok(model->parameters, weights, &model->parameters))
            return pl_fail(PL_E_INPUT, "%s: more weights than can be counted", origin);
    }
    for (int i = 0; i < arch->tensors; i++)
        if (arch->tensor[i].role >= 0) PL_TRY(check_row(&arch->tensor[i], model, origin));
    return PL_OK;
}
