/* mlx_names.c: Hugging Face's names with what mlx-lm changes: experts are stacked, GPT-2's names get a prefix and its
 * matrices are turned around. */
#include "formats/mlx_names.h"

#include <stdio.h>
#include <string.h>

/* Architectures by GGUF's names; `output`: a model with an output matrix of its own can be loaded. */
static const struct { const char *arch; bool output; } known[] = {
    { "llama", true }, { "qwen2", true }, { "qwen2moe", true }, { "qwen3", true }, { "qwen3moe", true },
    { "gemma", false }, { "gemma2", false }, { "gemma3", true }, { "phi3", true }, { "smollm3", true },
    { "gpt2", false },
};

static const char model_prefix[] = "model.";
static const char experts_word[] = ".experts.", stack_word[] = ".switch_mlp.";
/* Mixtral's names of an expert's matrices. */
static const struct { const char *hf, *mlx; } mixtral[] = {
    { "w1.", "gate_proj." }, { "w2.", "down_proj." }, { "w3.", "up_proj." },
};

bool pl_mlx_has(const char *arch, bool output)
{
    for (int i = 0; i < PL_COUNT(known); i++)
        if (!strcmp(known[i].arch, arch)) return known[i].output || !output;
    return false;
}

const char *pl_mlx_list(void)
{
    static _Thread_local char list[256];
    size_t len = 0;
    for (int i = 0; i < PL_COUNT(known); i++)
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "", known[i].arch);
    return list;
}

static bool prefixed(const pl_arch *arch) { return !strcmp(arch->name, "gpt2"); }

const char *pl_mlx_name(const pl_arch *arch, pl_id id, pl_arena *arena)
{
    const char *name = pl_arch_name(arch, PL_NAMES_HF, id, arena);
    if (name && prefixed(arch)) return pl_arena_format(arena, "%s%s", model_prefix, name);
    if (!name || id.expert < 0) return name;
    const char *at = strstr(name, experts_word);
    const char *what = at ? strchr(at + strlen(experts_word), '.') : NULL;
    if (!what) return NULL;
    what++;
    const char *word = "", *rest = what;
    for (int i = 0; i < PL_COUNT(mixtral); i++) {
        if (strncmp(what, mixtral[i].hf, strlen(mixtral[i].hf))) continue;
        word = mixtral[i].mlx;
        rest = what + strlen(mixtral[i].hf);
    }
    return pl_arena_format(arena, "%.*s%s%s%s", (int)(at - name), name, stack_word, word, rest);
}

void pl_mlx_resolve(const pl_arch *arch, const char *name, pl_mlx_alias *out)
{
    const char *at = strstr(name, stack_word), *word = "";
    out->turned = prefixed(arch) && !strncmp(name, model_prefix, strlen(model_prefix));
    out->stacked = at != NULL;
    if (out->turned) name += strlen(model_prefix);
    if (!out->stacked) {
        snprintf(out->name, sizeof out->name, "%s", name);
        return;
    }
    const char *rest = at + strlen(stack_word);
    bool renamed = at - name >= 16 && !strncmp(at - 16, "block_sparse_moe", 16);
    for (int i = 0; renamed && i < PL_COUNT(mixtral); i++) {
        if (strncmp(rest, mixtral[i].mlx, strlen(mixtral[i].mlx))) continue;
        word = mixtral[i].hf;
        rest += strlen(mixtral[i].mlx);
        renamed = false;
    }
    snprintf(out->name, sizeof out->name, "%.*s%s0.%s%s", (int)(at - name), name, experts_word, word, rest);
}
