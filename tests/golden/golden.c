/* golden.c: digests of what conversions of a seeded tiny model put out, for every storage type, held
 * against a file. Usage: golden FILE [--update]. Methods that promise the same bytes on every processor
 * only; the suite runs this under each PLANISH_CPU. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/convert.h"
#include "core/cpu.h"
#include "core/fs.h"
#include "formats/registry.h"
#include "quantizers/registry.h"
#include "tests/unit/fake_model.h"

/* Sizes that fill blocks of 32 or of 256, and ones that make ffn_down fall back to shorter ones or to f16. */
static const fake_options models[] = {
    { .layers = 2, .hidden = 128, .heads = 4, .kv_heads = 2, .ffn = 352, .vocab = 500, .dtype = PL_BF16, .seed = 1 },
    { .layers = 1, .hidden = 96, .heads = 2, .kv_heads = 1, .ffn = 172, .vocab = 300, .dtype = PL_F16, .tied = true,
      .interleaved = true, .seed = 2 },
    { .layers = 1, .hidden = 64, .heads = 8, .kv_heads = 4, .ffn = 160, .vocab = 257, .dtype = PL_F32, .seed = 3 },
    { .layers = 1, .hidden = 256, .heads = 4, .kv_heads = 2, .ffn = 320, .vocab = 300, .dtype = PL_BF16, .seed = 4 },
};

/* Types whose scales lie apart: by the rule and by the search. */
static const char *const grouped[] = { "affine2-g64", "affine3-g32", "affine4-g64", "affine6-g128", "affine8-g32", "mxfp8" };

static pl_status convert(pl_source *source, pl_sink *sink, pl_arena *arena, pl_pool *pool, pl_type type,
                         const char *encoder, char *digest)
{
    static const pl_registries registries = { pl_methods, pl_grids };
    pl_recipe recipe = { .type = type, .encoder = encoder };
    pl_plan *plan;
    PL_TRY(pl_plan_create(source->model, &recipe, sink, &registries, &(pl_plan_options){ .threads = 2 }, arena, &plan));
    for (int i = 0; i < plan->steps; i++)
        if (!(plan->step[i].method->flags & PL_METHOD_EXACT))
            return pl_fail(PL_E_CHECK, "method '%s' promises no exact bytes", plan->step[i].method->name);
    plan->range_elements = 5000;
    PL_TRY(pl_convert(plan, source, sink, "", pool, &(pl_convert_options){ 0 }, NULL));
    pl_digest_text(pl_sink_digest_value(sink), digest);
    return PL_OK;
}

/* One line of the file: model, type, encoder if it is given, digest. */
static pl_status line_of(int model, pl_type type, const char *encoder, pl_pool *pool, char *line, size_t size)
{
    pl_arena *arena = NULL;
    pl_sink *sink = NULL;
    pl_source *source = fake_model_create(&models[model]);
    pl_status code = source ? pl_arena_create(&arena) : PL_E_MEMORY;
    if (code == PL_OK) code = pl_sink_create(&pl_sink_digest, &sink);
    char digest[40];
    if (code == PL_OK) code = convert(source, sink, arena, pool, type, encoder, digest);
    if (code == PL_OK)
        snprintf(line, size, "model %d %s to %s%s%s: %s\n", model + 1, pl_dtypes[models[model].dtype].name,
                 pl_type_name(&type), encoder ? " " : "", encoder ? encoder : "", digest);
    pl_sink_close(sink);
    pl_source_close(source);
    pl_arena_destroy(arena);
    return code;
}

static pl_status all_lines(char *text, size_t size)
{
    pl_pool *pool;
    PL_TRY(pl_pool_create(2, &pool));
    pl_status code = PL_OK;
    size_t used = 0;
    for (int m = 0; m < PL_COUNT(models) && code == PL_OK; m++) {
        for (int t = 0; t < PL_DTYPES && code == PL_OK; t++) {
            code = line_of(m, pl_type_plain(t), NULL, pool, text + used, size - used);
            if (code == PL_OK) used += strlen(text + used);
        }
        for (int i = 0; i < 2 * PL_COUNT(grouped) && code == PL_OK; i++) {
            pl_type type;
            code = pl_type_parse(grouped[i / 2], &type);
            if (code == PL_OK) code = line_of(m, type, i % 2 ? "best" : "rtn", pool, text + used, size - used);
            if (code == PL_OK) used += strlen(text + used);
        }
    }
    pl_pool_destroy(pool);
    return code;
}

/* Prints each line that is not the same in both. */
static int compare(const char *expected, const char *found)
{
    int differ = 0;
    while (*expected || *found) {
        size_t a = strcspn(expected, "\n"), b = strcspn(found, "\n");
        if (a != b || memcmp(expected, found, a)) {
            printf("expected %.*s\n   found %.*s\n", (int)a, expected, (int)b, found);
            differ++;
        }
        expected += a + (expected[a] != 0);
        found += b + (found[b] != 0);
    }
    return differ;
}

int main(int argc, char **argv)
{
    static char text[1 << 16];
    char cpu[64], *expected;
    if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "--update"))) {
        fprintf(stderr, "usage: golden FILE [--update]\n");
        return 2;
    }
    pl_status code = all_lines(text, sizeof text);
    if (code == PL_OK && argc == 3) code = pl_file_save(argv[1], text, strlen(text));
    if (code == PL_OK) code = pl_file_load(argv[1], sizeof text, &expected, NULL);
    if (code != PL_OK) {
        fprintf(stderr, "golden: %s\n", pl_error());
        return pl_status_exit(code);
    }
    int differ = compare(expected, text);
    printf("%d lines differ on a processor with: %s\n", differ, pl_cpu_names(pl_cpu_flags(), cpu, sizeof cpu));
    pl_free(expected);
    return differ != 0;
}
