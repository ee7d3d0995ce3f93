/* target_config.c: config.json through every architecture, and what is read for people. */
#include <string.h>

#include "formats/arch_config.h"
#include "formats/ct_read.h"
#include "formats/gptq_read.h"
#include "formats/hf_fp8.h"
#include "formats/hf_meta.h"
#include "formats/mlx_read.h"
#include "tests/fuzz/fuzz.h"

/* Sizes that were let through can be multiplied, and name tensors. */
static void look(const pl_arch *arch, const pl_hparams *hp, pl_arena *arena)
{
    fuzz_check(hp->layers >= 1 && hp->layers <= PL_MAX_LAYERS && hp->experts >= 0 && hp->experts <= PL_MAX_EXPERTS);
    fuzz_check(hp->hidden > 0 && hp->heads > 0 && hp->kv_heads > 0 && hp->head_dim > 0 && hp->vocab > 0);
    fuzz_check(hp->heads % hp->kv_heads == 0 && hp->rope_dim >= 0 && hp->rope_dim <= hp->head_dim);
    for (int i = 0; i < arch->tensors; i++) {
        const pl_arch_tensor *row = &arch->tensor[i];
        int64_t elements;
        if (row->role < 0 || (row->when && !row->when(hp))) continue;
        int64_t rows = row->rows(hp), cols = row->cols(hp);
        fuzz_check(rows >= 0 && cols >= 0 && pl_mul_ok(rows, cols, &elements));
        if (row->order) fuzz_check(row->order(hp) >= 0);
        pl_arena_mark mark = pl_arena_save(arena);
        pl_arch_name(arch, PL_NAMES_GGUF, pl_id_make(row->role, hp->layers - 1, -1), arena);
        pl_arena_restore(arena, mark);
    }
}

static void read_factors(const pl_json *config, const pl_hparams *hp)
{
    static float factor[1 << 20];
    if (hp->rope_dim / 2 > PL_COUNT(factor)) return;
    if (hp->rope_scaling == PL_ROPE_LLAMA3) fuzz_refused(pl_arch_rope_factors(config, hp, PL_ROPE_FREQS, factor));
    if (hp->rope_scaling != PL_ROPE_LONGROPE) return;
    fuzz_refused(pl_arch_rope_factors(config, hp, PL_ROPE_LONG, factor));
    fuzz_refused(pl_arch_rope_factors(config, hp, PL_ROPE_SHORT, factor));
}

static void read_all(const pl_json *config, pl_arena *arena)
{
    static pl_hparams hp;
    pl_model model = { .parameters = 134515008 };
    pl_hf_fp8 fp8;
    pl_mlx mlx;
    pl_ct ct;
    pl_gptq gptq;
    for (int i = 0; pl_archs[i]; i++) {
        hp = (pl_hparams){ 0 };
        if (fuzz_refused(pl_archs[i]->config(config, "config.json", &hp))) continue;
        look(pl_archs[i], &hp, arena);
        read_factors(config, &hp);
    }
    fuzz_refused(pl_hf_fp8_config(config, "config.json", &fp8));
    fuzz_refused(pl_mlx_config(config, "config.json", &mlx));
    if (!fuzz_refused(pl_ct_config(config, "config.json", &ct))) fuzz_check(ct.groups >= 0 && ct.groups <= PL_CT_GROUPS);
    if (!fuzz_refused(pl_gptq_config(config, "config.json", &gptq)) && gptq.there)
        fuzz_check(gptq.bits >= 2 && gptq.bits <= 8 && gptq.width >= 0 && gptq.less <= 1);
    if (fuzz_refused(pl_hf_meta_read(fuzz_folder_path(), config, arena, &model))) return;
    for (int i = 0; i < model.metas; i++) fuzz_check(model.meta[i].key[0]);
}

static void run(const fuzz_part *part, int parts)
{
    pl_arena *arena;
    pl_json *config;
    fuzz_file("README.md", fuzz_part_at(part, parts, 1));
    if (!fuzz_must(pl_arena_create(&arena))) return;
    if (!fuzz_refused(pl_json_parse((const char *)part[0].data, part[0].len, "config.json", &config))) {
        if (pl_json_is(config, PL_JSON_OBJECT)) read_all(config, arena);
        pl_json_free(config);
    }
    pl_arena_destroy(arena);
}

const fuzz_target fuzz_config = { "config", "jt", run };
