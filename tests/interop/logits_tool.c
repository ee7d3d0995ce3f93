/* logits_tool.c: writes what a model computes for given ids, for comparison with other engines.
 *
 *     logits_tool MODEL IDS OUT [fast]
 *
 * IDS: int32, little-endian, one sequence. OUT: float32, [tokens][vocab], of an encoder the hidden states
 * [tokens][hidden]. The context is as long as the sequence. */
#include <stdio.h>
#include <string.h>

#include "core/fs.h"
#include "formats/registry.h"
#include "runtime-check/graph.h"

static pl_status compute(pl_source *source, pl_pool *pool, pl_mode mode, const int32_t *ids, int32_t n, FILE *out)
{
    pl_graph *g;
    const float *hidden, *result = NULL;
    const pl_hparams *hp = &source->model->hp;
    int64_t count = (int64_t)n * (hp->encoder ? hp->hidden : hp->vocab);
    float *logits = hp->encoder ? NULL : pl_alloc(count, sizeof *logits);
    if (!hp->encoder && !logits) return PL_E_MEMORY;
    pl_status status = pl_graph_create(source, pool, mode, n, &g);
    if (status == PL_OK) status = pl_graph_forward(g, ids, n, &hidden);
    if (status == PL_OK && logits) status = pl_graph_logits(g, hidden, n, logits);
    if (status == PL_OK) status = pl_map_check();
    if (status == PL_OK) result = logits ? logits : hidden;
    if (status == PL_OK && fwrite(result, sizeof *result, (size_t)count, out) != (size_t)count) {
        status = pl_fail(PL_E_IO, "could not write %lld values", (long long)count);
    }
    pl_graph_destroy(g);
    pl_free(logits);
    return status;
}

static pl_status run(const char *path, const char *ids_path, const char *out_path, pl_mode mode)
{
    pl_source *source = NULL;
    pl_pool *pool = NULL;
    char *ids = NULL;
    size_t len;
    FILE *out = fopen(out_path, "wb");
    if (!out) return pl_fail(PL_E_IO, "%s: cannot be written", out_path);
    pl_status status = pl_source_open(pl_sources, path, &(pl_open_options){ .how = PL_OPEN_MAP }, &source);
    if (status == PL_OK) status = pl_pool_create(0, &pool);
    if (status == PL_OK) status = pl_file_load(ids_path, INT32_MAX, &ids, &len);
    if (status == PL_OK) {
        status = compute(source, pool, mode, (const int32_t *)ids, (int32_t)(len / sizeof(int32_t)), out);
    }
    if (fclose(out) && status == PL_OK) status = pl_fail(PL_E_IO, "%s: could not be written", out_path);
    pl_free(ids);
    pl_pool_destroy(pool);
    pl_source_close(source);
    return status;
}

int main(int argc, char **argv)
{
    bool fast = argc == 5 && !strcmp(argv[4], "fast");
    if (argc != 4 && !fast) {
        fprintf(stderr, "usage: logits_tool MODEL IDS OUT [fast]\n");
        return 2;
    }
    pl_status status = run(argv[1], argv[2], argv[3], fast ? PL_MODE_FAST : PL_MODE_EXACT);
    if (status != PL_OK) fprintf(stderr, "logits_tool: %s\n", pl_error());
    return pl_status_exit(status);
}
