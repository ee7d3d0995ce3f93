/* gguf_model.c: what the keys of a GGUF file say of a model, all but its tensors. */
#include <string.h>

#include "formats/gguf_keys.h"

/* Keys that the sink derives again: they are only checked. */
static pl_status read_derived(const pl_gguf *g, pl_arena *arena)
{
    int64_t number = 0;
    const char *type = "model";
    PL_TRY(pl_gguf_int(g, PL_GGUF_KEY_FTYPE, false, 0, UINT32_MAX, 0, &number));
    PL_TRY(pl_gguf_int(g, PL_GGUF_KEY_QUANT, false, 0, UINT32_MAX, 0, &number));
    PL_TRY(pl_gguf_string(g, PL_GGUF_KEY_TYPE, false, arena, &type));
    if (strcmp(type, "model"))
        return pl_fail(PL_E_INPUT, "%s: holds a GGUF '%.40s', not a model", g->path, type);
    return PL_OK;
}

static pl_status carry(const pl_gguf *g, const pl_gguf_kv *kv, pl_arena *arena, pl_meta *out)
{
    *out = (pl_meta){ .key = kv->key, .type = kv->type, .element = kv->element,
                      .count = kv->count };
    if (kv->bytes > PL_GGUF_MAX_CARRIED)
        return pl_fail(PL_E_INPUT, "%s: the key '%s' holds %lld bytes, at most %d are carried over",
                       g->path, kv->key, (long long)kv->bytes, PL_GGUF_MAX_CARRIED);
    if (kv->type == PL_META_ARRAY && kv->element == PL_META_STRING) {
        pl_text *text;
        PL_TRY(pl_gguf_strings(g, kv, arena, &text));
        out->value.array = text;
    } else if (kv->type == PL_META_ARRAY || kv->type == PL_META_STRING) {
        void *bytes;
        PL_TRY(pl_gguf_bytes(g, kv, arena, &bytes));
        if (kv->type == PL_META_ARRAY) out->value.array = bytes;
        else out->value.text = (pl_text){ bytes, (uint32_t)kv->count };
    } else if (kv->type == PL_META_F32 || kv->type == PL_META_F64) {
        out->value.f = kv->value.f;
    } else {
        out->value.u = kv->value.u;
    }
    return PL_OK;
}

pl_status pl_gguf_carry_over(const pl_gguf *g, pl_arena *arena, pl_model *model)
{
    model->meta = PL_NEW(arena, pl_meta, g->kvs);
    if (!model->meta) return PL_E_MEMORY;
    for (int i = 0; i < g->kvs; i++)
        if (!g->kv[i].used) PL_TRY(carry(g, &g->kv[i], arena, &model->meta[model->metas++]));
    return PL_OK;
}

pl_status pl_gguf_model_read(const pl_gguf *g, const char *pre, pl_arena *arena, pl_arena *vocab_arena, pl_model *model,
                             const pl_arch **out)
{
    const char *slash = strrchr(g->path, '/');
    PL_TRY(pl_gguf_string(g, PL_GGUF_KEY_ARCH, true, arena, &model->arch));
    const pl_arch *arch = *out = pl_arch_find(model->arch);
    if (!arch)
        return pl_fail(PL_E_INPUT, "%s: the architecture '%.60s' is not supported (%s)", g->path,
                       model->arch, pl_arch_list());
    PL_TRY(read_derived(g, arena));
    model->name = slash ? slash + 1 : g->path;
    PL_TRY(pl_gguf_string(g, PL_GGUF_KEY_NAME, false, arena, &model->name));
    PL_TRY(pl_gguf_vocab(g, pre, vocab_arena, &model->vocab));
    return pl_gguf_keys_read(g, arch, arena, model);
}
