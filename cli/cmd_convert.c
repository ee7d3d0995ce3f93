/* cmd_convert.c: planish convert. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/opts.h"
#include "core/convert.h"
#include "core/fs.h"
#include "core/log.h"

typedef struct arguments {
    const char *model, *out, *type, *recipe, *to, *pre;
    bool dry_run, force, json, allow_nonfinite;
    int32_t threads;
    int64_t memory, max_shard;
} arguments;

static const pl_usage usage = {
    .command = "convert",
    .arguments = "MODEL -o OUT.gguf --type TYPE [options]",
    .summary = "Quantizes a checkpoint and writes it for another engine. TYPE means that storage type for\n"
               "every matrix; norms and biases stay f32, and matrices whose rows do not fill the type's\n"
               "blocks become f16 (the plan says which). Under OUT stands a whole file or nothing; so it\n"
               "is with all files of a split output.",
    .example = "  planish convert SmolLM2-135M -o smol.gguf --type q4_0\n"
               "  planish convert SmolLM2-135M -o smol.gguf --type q4_0 --dry-run\n"
               "  planish convert SmolLM2-135M -o smol.gguf --type q8_0 --max-shard-size 50M",
    .positional = 1,
};

static pl_status parse(int argc, const char **argv, arguments *a, bool *help)
{
    const pl_opt opts[] = {
        { "out", 'o', PL_OPT_TEXT, &a->out, "FILE", "the file to write", 0, 0, NULL },
        { "type", 't', PL_OPT_TEXT, &a->type, "TYPE", "q8_0 q5_1 q5_0 q4_1 q4_0 f16 bf16 f32", 0, 0, NULL },
        { "recipe", 'r', PL_OPT_TEXT, &a->recipe, "FILE", "JSON with other types for some tensors (docs/recipe.md)", 0, 0, NULL },
        { "dry-run", 'n', PL_OPT_FLAG, &a->dry_run, NULL, "show every part, the exact size and the memory needed; write nothing", 0, 0, NULL },
        { "pre", 0, PL_OPT_TEXT, &a->pre, "NAME", "pre-tokenizer of the vocabulary, if its files do not tell", 0, 0, NULL },
        { "threads", 'j', PL_OPT_INT, &a->threads, "N", "threads (default: one per processor)", 1, PL_MAX_THREADS, NULL },
        { "memory", 'm', PL_OPT_SIZE, &a->memory, "SIZE", "own memory to stay below, as 500M or 1GiB", 0, 0, NULL },
        { "max-shard-size", 0, PL_OPT_SIZE, &a->max_shard, "SIZE", "cut the output into files of at most this size, OUT-00001-of-0000N.gguf", 0, 0, NULL },
        { "force", 'f', PL_OPT_FLAG, &a->force, NULL, "replace an existing output", 0, 0, NULL },
        { "json", 0, PL_OPT_FLAG, &a->json, NULL, "print the result as JSON, with each tensor's error", 0, 0, NULL },
        { "allow-nonfinite", 0, PL_OPT_FLAG, &a->allow_nonfinite, NULL, "keep weights that are NaN or infinite; without it they are refused", 0, 0, NULL },
        { "to", 0, PL_OPT_TEXT, &a->to, "FORMAT", "gguf (default), digest (writes nothing, prints a digest)", 0, 0, NULL },
    };
    PL_TRY(pl_opts_parse(argc, argv, &usage, opts, PL_COUNT(opts), &a->model, help));
    if (*help) return PL_OK;
    if (!a->out && !a->dry_run && !strcmp(a->to, "gguf"))
        return pl_fail(PL_E_WISH, "no output named; usage: planish convert %s", usage.arguments);
    if (a->out && !a->out[0]) return pl_fail(PL_E_WISH, "--out takes a file's name, not ''");
    return PL_OK;
}

/* One tensor as JSON; error < 0: not measured. */
static void step_json(const pl_step *step, double error, pl_json_writer *w)
{
    pl_json_begin_object(w, NULL);
    pl_json_put_text(w, "name", step->name);
    pl_json_put_text(w, "role", pl_role_name(step->id.role));
    pl_json_put_int(w, "layer", step->id.layer);
    pl_json_put_int(w, "expert", step->id.expert);
    pl_json_put_text(w, "type", pl_type_name(&step->out.type));
    pl_json_put_text(w, "method", step->method->name);
    pl_json_put_int(w, "bytes", pl_packed_bytes(&step->out));
    if (step->why) pl_json_put_text(w, "why", step->why);
    if (error >= 0) pl_json_put_number(w, "rel_error", error);
    pl_json_end(w);
}

static pl_status print_json(const arguments *a, const pl_plan *plan, const pl_model *model,
                            const pl_sink *sink, const double *error, double seconds,
                            const char *digest, int64_t nonfinite)
{
    double body, file;
    char plan_digest[40], *text = NULL;
    pl_json_writer *w;
    PL_TRY(pl_json_writer_create(&w));
    pl_plan_bpw(plan, model, &body, &file);
    pl_json_begin_object(w, NULL);
    pl_json_put_text(w, "schema", "planish.convert/1");
    pl_json_put_text(w, "model", a->model);
    pl_json_put_text(w, "out", a->out ? a->out : "");
    pl_json_put_int(w, "files", sink->files);
    pl_json_put_int(w, "bytes_planned", plan->bytes);
    pl_json_put_int(w, "peak_planned", plan->peak);
    pl_json_put_number(w, "bpw_body", body);
    pl_json_put_number(w, "bpw_file", file);
    pl_json_put_int(w, "threads", plan->threads);
    pl_json_put_text(w, "plan", pl_digest_text(plan->digest, plan_digest));
    if (!a->dry_run) {
        pl_json_put_int(w, "bytes", plan->bytes);
        pl_json_put_number(w, "seconds", seconds);
        pl_json_put_int(w, "peak_rss_bytes", pl_rss_peak_bytes());
        pl_json_put_int(w, "nonfinite", nonfinite);
        if (digest) pl_json_put_text(w, "digest", digest);
    }
    pl_json_begin_array(w, "tensors");
    for (int i = 0; i < plan->steps; i++) step_json(&plan->step[i], error ? error[i] : -1, w);
    pl_status code = pl_json_finish(w, &text);
    if (code == PL_OK) code = pl_ui_json(text, "-");
    pl_free(text);
    pl_json_writer_destroy(w);
    return code;
}

/* How many experts from this step on are to be stored alike; 1 where there are none. */
static int alike(const pl_plan *plan, int first)
{
    const pl_step *a = &plan->step[first];
    int count = 1;
    for (; a->id.expert >= 0 && first + count < plan->steps; count++) {
        const pl_step *b = &plan->step[first + count];
        if (b->id.role != a->id.role || b->id.layer != a->id.layer || b->method != a->method ||
            b->out.rows != a->out.rows || b->out.cols != a->out.cols || !b->why != !a->why ||
            !pl_type_equal(&b->out.type, &a->out.type))
            break;
    }
    return count;
}

/* Every part that will be written. */
static pl_status print_parts(const pl_plan *plan)
{
    pl_table *table;
    PL_TRY(pl_table_create(6, (bool[]){ false, true, false, false, true, false }, &table));
    pl_status code = pl_table_row(table, (const char *[]){ "tensor", "shape", "type", "method", "bytes", "" });
    for (int i = 0, count; i < plan->steps && code == PL_OK; i += count) {
        const pl_step *step = &plan->step[i];
        char name[PL_MAX_NAME + 16], shape[48], bytes[32];
        count = alike(plan, i);
        pl_ui_times(step->name, count, name, sizeof name);
        pl_ui_shape(step->out.rows, step->out.cols, shape);
        pl_ui_count(count * pl_packed_bytes(&step->out), bytes);
        code = pl_table_row(table, (const char *[]){ name, shape, pl_type_name(&step->out.type),
                                                     step->method->name, bytes,
                                                     step->why ? step->why : "" });
    }
    if (code == PL_OK) pl_table_print(table);
    pl_table_destroy(table);
    return code;
}

static void print_totals(const arguments *a, const pl_plan *plan, const pl_model *model,
                         const pl_sink *sink)
{
    double body, file;
    char bytes[24], count[32], peak[24], files[32] = "";
    pl_plan_bpw(plan, model, &body, &file);
    if (sink->files > 1) snprintf(files, sizeof files, " in %d files", sink->files);
    pl_ui_print("size:   %s bytes (%s)%s, %.3f bits per weight in the blocks, %.3f over the whole %s\n",
                pl_ui_count(plan->bytes, count), pl_ui_bytes(plan->bytes, bytes), files, body, file,
                sink->files > 1 ? "output" : "file");
    pl_ui_print("memory: at most %s of its own, %d thread%s\n", pl_ui_bytes(plan->peak, peak),
                plan->threads, plan->threads == 1 ? "" : "s");
    bool f16 = true;
    for (int i = 0; i < plan->steps; i++)
        f16 = f16 && (!plan->step[i].why || plan->step[i].out.type.element == &pl_dtypes[PL_F16]);
    if (plan->changed)
        pl_ui_print("note:   %d matri%s %s, as %s rows fill no whole blocks%s\n", plan->changed,
                    plan->changed == 1 ? "x is" : "ces are", f16 ? "f16" : "of another type",
                    plan->changed == 1 ? "its" : "their",
                    a->dry_run ? "" : " (--dry-run shows which)");
}

static pl_status print_done(const arguments *a, const pl_plan *plan, const pl_model *model,
                            const pl_sink *sink, double seconds, const char *digest)
{
    char read[24], name[PATH_MAX], more[32] = "";
    int64_t input = 0;
    int tensors = 0;
    for (int i = 0; i < plan->steps; i++) {
        int64_t bytes;
        if (pl_tensor_bytes(&model->tensor[plan->step[i].tensor], &bytes) == PL_OK) input += bytes;
        tensors += plan->step[i].id.expert <= 0;        /* those of all experts are one */
    }
    PL_TRY(pl_sink_file_name(sink, a->out ? a->out : "", 0, name));
    if (sink->files > 1) snprintf(more, sizeof more, " and %d more", sink->files - 1);
    pl_ui_print("%s %s%s: %d tensors in %.2f s (%s/s of input)\n", digest ? "digest" : "wrote",
                digest ? digest : name, more, tensors, seconds,
                pl_ui_bytes((int64_t)((double)input / (seconds > 1e-9 ? seconds : 1e-9)), read));
    print_totals(a, plan, model, sink);
    return PL_OK;
}

/* What the output will lack that its user may not expect. */
static void warn(const pl_model *model)
{
    if (!model->vocab)
        pl_log(PL_LOG_WARN, "the input has no vocabulary: no engine will read text with the output");
    for (int i = 0; i < model->tensors; i++) {
        const pl_tensor *t = &model->tensor[i];
        if (!(t->flags & PL_TENSOR_MATRIX) || t->type.element->block == 1) continue;
        pl_log(PL_LOG_WARN, "the input is quantized already (%s): what that lost stays lost",
               pl_type_name(&t->type));
        return;
    }
}

static pl_status work(const arguments *a, pl_source *source, pl_sink *sink, const pl_plan *plan)
{
    pl_pool *pool = NULL;
    double *error = NULL;
    pl_status code = pl_pool_create(plan->threads, &pool);
    if (code == PL_OK && a->json) {
        error = pl_alloc(plan->steps, sizeof *error);
        if (!error) code = PL_E_MEMORY;
    }
    double began = pl_seconds();
    pl_nonfinite found = { 0 };
    pl_convert_options options = { .force = a->force, .measure = a->json,
                                   .nonfinite = a->allow_nonfinite ? &found : NULL };
    if (code == PL_OK)
        code = pl_convert(plan, source, sink, a->out ? a->out : "", pool, &options, error);
    double seconds = pl_seconds() - began;
    if (code == PL_OK && found.count)
        pl_log(PL_LOG_WARN, "values that are not finite: %lld, the first in tensor '%s' row %lld column %lld",
               (long long)found.count, found.tensor, (long long)found.row, (long long)found.col);
    char text[40], *digest = NULL;
    if (code == PL_OK && !strcmp(a->to, "digest"))
        digest = pl_digest_text(pl_wire_sink_digest(sink), text);
    if (code == PL_OK && a->json)
        code = print_json(a, plan, source->model, sink, error, seconds, digest, found.count);
    else if (code == PL_OK)
        code = print_done(a, plan, source->model, sink, seconds, digest);
    pl_free(error);
    pl_pool_destroy(pool);
    return code;
}

static pl_status run(int argc, const char **argv)
{
    arguments a = { .to = "gguf" };
    bool help;
    PL_TRY(parse(argc, argv, &a, &help));
    if (help) return PL_OK;
    pl_arena *arena = NULL;
    pl_source *source = NULL;
    pl_sink *sink = NULL;
    pl_plan *plan;
    pl_recipe recipe = { 0 };
    pl_status code = pl_arena_create(&arena);
    if (code == PL_OK && a.type) code = pl_type_parse(a.type, &recipe.type);
    if (code == PL_OK && a.recipe) code = pl_recipe_load(a.recipe, &recipe, arena);
    if (code == PL_OK) code = pl_wire_sink(a.to, &sink);
    if (code == PL_OK) code = pl_wire_open(a.model, &(pl_open_options){ PL_OPEN_WINDOWS, a.pre }, &source);
    if (code != PL_OK) goto out;
    sink->max_shard = a.max_shard;
    int64_t held = pl_arena_bytes(source->arena) + pl_arena_bytes(source->vocab_arena);
    pl_plan_options options = { .threads = a.threads, .memory = a.memory, .held = held };
    code = pl_plan_create(source->model, &recipe, sink, &pl_wire_registries, &options, arena, &plan);
    if (code != PL_OK) goto out;
    if (!a.dry_run) {
        warn(source->model);
        code = work(&a, source, sink, plan);
    } else if (a.json) {
        code = print_json(&a, plan, source->model, sink, NULL, 0, NULL, 0);
    } else {
        code = print_parts(plan);
        print_totals(&a, plan, source->model, sink);
    }
out:
    pl_sink_close(sink);
    pl_source_close(source);
    pl_arena_destroy(arena);
    return code;
}

const pl_command pl_cmd_convert = { "convert", "quantize a checkpoint into a GGUF file", run };
