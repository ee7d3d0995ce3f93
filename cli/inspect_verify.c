/* inspect_verify.c: planish inspect --verify: reads everything and says whether it is whole. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/inspect.h"
#include "core/verify.h"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static pl_status print_text(const pl_source *s, const pl_verify *v)
{
    pl_table *table;
    char bytes[32], digest[40], count[32];
    PL_TRY(pl_table_create(3, (bool[]){ false, true, false }, &table));
    pl_status code = pl_table_row(table, (const char *[]){ "file", "bytes", "digest" });
    for (int i = 0; i < v->files && code == PL_OK; i++) {
        const pl_verify_file *f = &v->file[i];
        code = pl_table_row(table, (const char *[]){ base_name(f->path), pl_ui_count(f->bytes, bytes),
                                                     pl_digest_text(f->digest, digest) });
    }
    if (v->files > 1 && code == PL_OK)
        code = pl_table_row(table, (const char *[]){ "together", pl_ui_count(v->bytes, bytes),
                                                     pl_digest_text(v->digest, digest) });
    if (code == PL_OK) pl_table_print(table);
    pl_table_destroy(table);
    if (code == PL_OK && !v->faults)
        pl_ui_print("\nall is there and finite: %d tensors of %s weights\n", s->model->tensors,
                    pl_ui_count(s->model->parameters, count));
    return code;
}

static void fault_json(pl_json_writer *w, const char *file, const char *tensor, const char *sentence)
{
    pl_json_begin_object(w, NULL);
    pl_json_put_text(w, "file", file);
    pl_json_put_text(w, "tensor", tensor);
    pl_json_put_text(w, "sentence", sentence);
    pl_json_end(w);
}

/* Source NULL: it could not be opened, for the reason that pl_error() has. */
static pl_status print_json(const char *path, const pl_source *s, const pl_verify *v)
{
    char digest[40], *text = NULL;
    pl_json_writer *w;
    PL_TRY(pl_json_writer_create(&w));
    pl_json_begin_object(w, NULL);
    pl_json_put_text(w, "schema", "planish.verify/1");
    pl_json_put_text(w, "model", path);
    pl_json_put_bool(w, "whole", s && !v->faults);
    if (s) {
        pl_json_put_text(w, "format", s->ops->name);
        pl_json_put_int(w, "tensors", s->model->tensors);
        pl_json_put_int(w, "parameters", s->model->parameters);
        pl_json_put_int(w, "bytes", v->bytes);
        pl_json_put_text(w, "digest", pl_digest_text(v->digest, digest));
    }
    pl_json_begin_array(w, "files");
    for (int i = 0; s && i < v->files; i++) {
        pl_json_begin_object(w, NULL);
        pl_json_put_text(w, "name", base_name(v->file[i].path));
        pl_json_put_int(w, "bytes", v->file[i].bytes);
        pl_json_put_text(w, "digest", pl_digest_text(v->file[i].digest, digest));
        pl_json_end(w);
    }
    pl_json_end(w);
    pl_json_begin_array(w, "faults");
    for (int i = 0; s && i < v->faults; i++)
        fault_json(w, v->fault[i].file, v->fault[i].tensor, v->fault[i].sentence);
    if (!s) fault_json(w, NULL, NULL, pl_error());
    pl_json_end(w);
    pl_status code = pl_json_finish(w, &text);
    if (code == PL_OK) code = pl_ui_json(text, "-");
    pl_free(text);
    pl_json_writer_destroy(w);
    return code;
}

static pl_status verify(pl_source *s, int threads, bool as_json, pl_arena *arena)
{
    pl_pool *pool;
    pl_verify v;
    pl_source_drop_vocab(s);
    PL_TRY(pl_pool_create(threads, &pool));
    pl_status code = pl_verify_source(s, pool, arena, &v);
    pl_pool_destroy(pool);
    pl_ui_end();
    if (code == PL_OK) code = as_json ? print_json(s->path, s, &v) : print_text(s, &v);
    if (code != PL_OK || !v.faults) return code;
    if (v.faults == 1) return pl_fail(PL_E_INPUT, "%s", v.fault[0].sentence);
    return pl_fail(PL_E_INPUT, "%s (and %d more)", v.fault[0].sentence, v.faults - 1);
}

pl_status pl_inspect_verify(const char *path, const pl_open_options *options, int threads, bool as_json)
{
    pl_open_options how = *options;
    pl_source *source;
    pl_arena *arena = NULL;
    how.how = PL_OPEN_STORED;
    pl_status code = pl_wire_open(path, &how, &source);
    if (code == PL_E_INPUT && as_json) {
        char sentence[PL_ERROR_BYTES];
        snprintf(sentence, sizeof sentence, "%s", pl_error());
        pl_status printed = print_json(path, NULL, NULL);
        return printed == PL_OK ? pl_fail(code, "%s", sentence) : printed;
    }
    if (code == PL_OK) {
        code = pl_arena_create(&arena);
        if (code == PL_OK) code = verify(source, threads, as_json, arena);
        pl_arena_destroy(arena);
        pl_source_close(source);
    }
    return code;
}
