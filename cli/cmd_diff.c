/* cmd_diff.c: planish diff. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/opts.h"
#include "core/diff.h"

static const pl_usage usage = {
    .command = "diff",
    .arguments = "A B [options]",
    .summary = "Compares two models tensor by tensor, whatever formats they are in: are they stored alike, do they\n"
               "have the same values, or how far are they apart? The error is relative to A: the root of the\n"
               "squares of all differences over those of all values. Exit code 0 if all values are the same, else 1.",
    .example = "  planish diff smol.pl smol.gguf\n"
               "  planish diff SmolLM2-135M smol-q4_k_m.gguf --json",
    .positional = 2,
};

static const char *const kinds[] = {
    [PL_DIFF_BYTES] = "same bytes", [PL_DIFF_VALUES] = "same values", [PL_DIFF_CLOSE] = "apart",
    [PL_DIFF_SHAPE] = "another shape", [PL_DIFF_ONLY_A] = "only in A", [PL_DIFF_ONLY_B] = "only in B",
};

typedef struct job {
    const char *path[3];        /* two, and NULL */
    bool json, all;
    int32_t threads;
    pl_source *a, *b;
    pl_diff diff;
} job;

static const pl_tensor *shown(const job *j, const pl_diff_row *r)
{
    return r->a >= 0 ? &j->a->model->tensor[r->a] : &j->b->model->tensor[r->b];
}

static const char *type_in(const pl_source *s, int tensor)
{
    return tensor < 0 ? "" : pl_type_name(&s->model->tensor[tensor].type);
}

static bool differs(const pl_diff_row *r) { return r->kind > PL_DIFF_VALUES; }

static int differing(const job *j)
{
    int n = 0;
    for (int i = 0; i < j->diff.rows; i++) n += differs(&j->diff.row[i]);
    return n;
}

static pl_status print_rows(const job *j)
{
    pl_table *table;
    PL_TRY(pl_table_create(7, (bool[]){ false, false, false, false, true, true, true }, &table));
    pl_status code = pl_table_row(table, (const char *[]){ "tensor", "in A", "in B", "", "differ", "error",
                                                           "largest" });
    for (int i = 0; i < j->diff.rows && code == PL_OK; i++) {
        const pl_diff_row *r = &j->diff.row[i];
        char different[32] = "", error[32] = "", largest[32] = "";
        if (!j->all && !differs(r)) continue;
        if (r->kind == PL_DIFF_CLOSE) {
            pl_ui_count(r->different, different);
            snprintf(error, sizeof error, "%.3g", r->error);
            snprintf(largest, sizeof largest, "%.3g", r->largest);
        }
        code = pl_table_row(table, (const char *[]){ shown(j, r)->name, type_in(j->a, r->a), type_in(j->b, r->b),
                                                     kinds[r->kind], different, error, largest });
    }
    if (code == PL_OK) pl_table_print(table);
    pl_table_destroy(table);
    return code;
}

static pl_status print_text(const job *j)
{
    if (j->all || differing(j)) {
        PL_TRY(print_rows(j));
        pl_ui_print("\n");
    }
    pl_ui_print("%d tensor%s:", j->diff.rows, j->diff.rows == 1 ? "" : "s");
    const char *before = " ";
    for (int k = 0; k < PL_COUNT(kinds); k++) {
        if (!j->diff.count[k]) continue;
        pl_ui_print("%s%d %s", before, j->diff.count[k], kinds[k]);
        before = ", ";
    }
    pl_ui_print("\n");
    return PL_OK;
}

static pl_status print_json(const job *j)
{
    char *text = NULL;
    pl_json_writer *w;
    PL_TRY(pl_json_writer_create(&w));
    pl_json_begin_object(w, NULL);
    pl_json_put_text(w, "schema", "planish.diff/1");
    pl_json_put_text(w, "a", j->path[0]);
    pl_json_put_text(w, "b", j->path[1]);
    pl_json_put_bool(w, "same", differing(j) == 0);
    pl_json_begin_array(w, "tensors");
    for (int i = 0; i < j->diff.rows; i++) {
        const pl_diff_row *r = &j->diff.row[i];
        pl_json_begin_object(w, NULL);
        pl_json_put_text(w, "name", shown(j, r)->name);
        pl_json_put_text(w, "a", r->a < 0 ? NULL : type_in(j->a, r->a));
        pl_json_put_text(w, "b", r->b < 0 ? NULL : type_in(j->b, r->b));
        pl_json_put_text(w, "result", kinds[r->kind]);
        pl_json_put_int(w, "weights", r->weights);
        pl_json_put_int(w, "different", r->different);
        pl_json_put_number(w, "rel_error", r->error);
        pl_json_put_number(w, "largest", r->largest);
        pl_json_end(w);
    }
    pl_status code = pl_json_finish(w, &text);
    if (code == PL_OK) code = pl_ui_json(text, "-");
    pl_free(text);
    pl_json_writer_destroy(w);
    return code;
}

static pl_status compare(job *j, pl_arena *arena)
{
    pl_pool *pool = NULL;
    PL_TRY(pl_wire_open(j->path[0], NULL, &j->a));
    PL_TRY(pl_wire_open(j->path[1], NULL, &j->b));
    PL_TRY(pl_pool_create(j->threads, &pool));
    pl_status code = pl_diff_sources(j->a, j->b, pool, arena, &j->diff);
    pl_pool_destroy(pool);
    if (code != PL_OK) return code;
    PL_TRY(j->json ? print_json(j) : print_text(j));
    int n = differing(j);
    if (!n) return PL_OK;
    return pl_fail(PL_E_CHECK, "%d of %d tensors differ", n, j->diff.rows);
}

static pl_status run(int argc, const char **argv)
{
    job j = { 0 };
    bool help;
    const pl_opt opts[] = {
        { "all", 'a', PL_OPT_FLAG, &j.all, NULL, "list the tensors that are the same, too", 0, 0, NULL },
        { "json", 0, PL_OPT_FLAG, &j.json, NULL, "print the result as JSON", 0, 0, NULL },
        { "threads", 'j', PL_OPT_INT, &j.threads, "N", "threads (default: one per processor)", 1, PL_MAX_THREADS,
          NULL },
    };
    PL_TRY(pl_opts_parse(argc, argv, &usage, opts, PL_COUNT(opts), j.path, &help));
    if (help) return PL_OK;
    pl_arena *arena;
    PL_TRY(pl_arena_create(&arena));
    pl_status code = compare(&j, arena);
    pl_source_close(j.a);
    pl_source_close(j.b);
    pl_arena_destroy(arena);
    return code;
}

const pl_command pl_cmd_diff = { "diff", "compare two models tensor by tensor", run };
