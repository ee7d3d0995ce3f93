/* cmd_convert.c: planish convert. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/opts.h"
#include "core/convert.h"
#include "core/fs.h"
#include "core/log.h"

typedef struct arguments {
    const char *model, *out, *type, *recipe, *to;
    bool dry_run, force, json;
    int32_t threads;
    int64_t memory;
} arguments;

static const pl_usage usage = {
    .command = "convert",
    .arguments = "MODEL -o OUT.gguf --type TYPE [options]",
    .summary = "Quantizes a checkpoint and writes it for another engine. TYPE means that storage type for\n"
               "every matrix; norms and biases stay f32, and matrices whose rows do not fill the type's\n"
               "blocks become f16 (the plan says which). Under OUT stands a whole file or nothing.",
    .example = "  planish convert SmolLM2-135M -o smol.gguf --type q4_0\n"
               "  planish convert SmolLM2-135M -o smol.gguf --type q4_0 --dry-run",
    .positional = 1,
};

static pl_status parse(int argc, const char **argv, arguments *a, bool *help)
{
    const pl_opt opts[] = {
        { "out", 'o', PL_OPT_TEXT, &a->out, "FILE", "the file to write", 0, 0, NULL },
        { "type", 't', PL_OPT_TEXT, &a->type, "TYPE", "q8_0 q5_1 q5_0 q4_1 q4_0 f16 bf16 f32", 0, 0, NULL },
        { "recipe", 'r', PL_OPT_TEXT, &a->recipe, "FILE", "JSON with other types for some tensors (docs/recipe.md)", 0, 0, NULL },
        { "dry-run", 'n', PL_OPT_FLAG, &a->dry_run, NULL, "show every part, the exact size and the memory needed; write nothing", 0, 0, NULL },
        { "threads", 'j', PL_OPT_INT, &a->threads, "N", "threads (default: one per processor)", 1, PL_MAX_THREADS, NULL },
        { "memory", 'm', PL_OPT_SIZE, &a->memory, "SIZE", "own memory to stay below, as 500M or 1GiB", 0, 0, NULL },
        { "force", 'f', PL_OPT_FLAG, &a->force, NULL, "replace an existing output", 0, 0, NULL },
        { "json", 0, PL_OPT_FLAG, &a->json, NULL, "print the result as JSON, with each tensor's error", 0, 0, NULL },
        { "to", 0, PL_OPT_TEXT, &a->to, "FORMAT", "gguf (default), digest (writes nothing, prints a digest)", 0, 0, NULL },
    };
    PL_TRY(pl_opts_parse(argc, argv, &usage, opts, PL_COUNT(opts), &a->model, help));
    if (*help) return PL_OK;
    if (!a->out && !a->dry_run && !strcmp(a->to, "gguf"))
        return pl_fail(PL_E_WISH, "no output named; usage: planish convert %s", usage.arguments);
    if (a->out && !a->out[0]) return pl_fail(PL_E_WISH, "--out takes a file's name, not ''");
    return PL_OK;
}

static pl_status add_number(pl_json *object, const char *key, double value)
{
    return cJSON_AddNumberToObject(object, key, value) ? PL_OK : pl_fail(PL_E_MEMORY, "out of memory");
}

static pl_status add_string(pl_json *object, const char *key, const char *value)
{
    return cJSON_AddStringToObject(object, key, value) ? PL_OK : pl_fail(PL_E_MEMORY, "out of memory");
}

/* One tensor as JSON; error < 0: not measured. */
static pl_status step_json(const pl_step *step, double error, pl_json *list)
{
    pl_json *t = cJSON_CreateObject();
    if (!t || !cJSON_AddItemToArray(list, t)) return pl_fail(PL_E_MEMORY, "out of memory");
    PL_TRY(add_string(t, "name", step->name));
    PL_TRY(add_string(t, "role", pl_role_name(step->id.role)));
    PL_TRY(add_number(t, "layer", step->id.layer));
    PL_TRY(add_number(t, "expert", step->id.expert));
    PL_TRY(add_string(t, "type", pl_type_name(&step->out.type)));
    PL_TRY(add_string(t, "method", step->method->name));
    PL_TRY(add_number(t, "bytes", (double)pl_packed_bytes(&step->out)));
    if (step->why) PL_TRY(add_string(t, "why", step->why));
    return error < 0 ? PL_OK : add_number(t, "rel_error", error);
}

static pl_status fill_json(const arguments *a, const pl_plan *plan, const pl_model *model,
                           const double *error, double seconds, const char *digest, pl_json *json)
{
    double body, file;
    pl_plan_bpw(plan, model, &body, &file);
    PL_TRY(add_string(json, "schema", "planish.convert/1"));
    PL_TRY(add_string(json, "model", a->model));
    PL_TRY(add_string(json, "out", a->out ? a->out : ""));
    PL_TRY(add_number(json, "bytes_planned", (double)plan->bytes));
    PL_TRY(add_number(json, "peak_planned", (double)plan->peak));
    PL_TRY(add_number(json, "bpw_body", body));
    PL_TRY(add_number(json, "bpw_file", file));
    PL_TRY(add_number(json, "threads", plan->threads));
    char plan_digest[40];
    PL_TRY(add_string(json, "plan", pl_digest_text(plan->digest, plan_digest)));
    if (!a->dry_run) {
        PL_TRY(add_number(json, "bytes", (double)plan->bytes));
        PL_TRY(add_number(json, "seconds", seconds));
        PL_TRY(add_number(json, "peak_rss_bytes", (double)pl_rss_peak_bytes()));
        if (digest) PL_TRY(add_string(json, "digest", digest));
    }
    pl_json *list = cJSON_AddArrayToObject(json, "tensors");
    if (!list) return pl_fail(PL_E_MEMORY, "out of memory");
    for (int i = 0; i < plan->steps; i++)
        PL_TRY(step_json(&plan->step[i], error ? error[i] : -1, list));
    return PL_OK;
}

static pl_status print_json(const arguments *a, const pl_plan *plan, const pl_model *model,
                            const double *error, double seconds, const char *digest)
{
    pl_json *json = cJSON_CreateObject();
    if (!json) return pl_fail(PL_E_MEMORY, "out of memory");
    pl_status code = fill_json(a, plan, model, error, seconds, digest, json);
    if (code == PL_OK) code = pl_ui_json(json, "-");
    pl_json_free(json);
    return code;
}

/* Every part that will be written. */
static pl_status print_parts(const pl_plan *plan)
{
    pl_table *table;
    PL_TRY(pl_table_create(6, (bool[]){ false, true, false, false, true, false }, &table));
    pl_status code = pl_table_row(table, (const char *[]){ "tensor", "shape", "type", "method", "bytes", "" });
    for (int i = 0; i < plan->steps && code == PL_OK; i++) {
        const pl_step *step = &plan->step[i];
        char shape[48], bytes[32];
        pl_ui_shape(step->out.rows, step->out.cols, shape);
        pl_ui_count(pl_packed_bytes(&step->out), bytes);
        code = pl_table_row(table, (const char *[]){ step->name, shape, pl_type_name(&step->out.type),
                                                     step->method->name, bytes,
                                                     step->why ? step->why : "" });
    }
    if (code == PL_OK) pl_table_print(table);
    pl_table_destroy(table);
    return code;
}

static void print_totals(const arguments *a, const pl_plan *plan, const pl_model *model)
{
    double body, file;
    char bytes[24], count[32], peak[24];
    pl_plan_bpw(plan, model, &body, &file);
    pl_ui_print("size:   %s bytes (%s), %.3f bits per weight in the blocks, %.3f over the whole file\n",
                pl_ui_count(plan->bytes, count), pl_ui_bytes(plan->bytes, bytes), body, file);
    pl_ui_print("memory: at most %s of its own, %d thread%s\n", pl_ui_bytes(plan->peak, peak),
                plan->threads, plan->threads == 1 ? "" : "s");
    if (plan->changed)
        pl_ui_print("note:   %d matri%s f16, as %s rows fill no whole blocks%s\n", plan->changed,
                    plan->changed == 1 ? "x is" : "ces are", plan->changed == 1 ? "its" : "their",
                    a->dry_run ? "" : " (--dry-run shows which)");
}

static void print_done(const arguments *a, const pl_plan *plan, const pl_model *model, double seconds,
                       const char *digest)
{
    char read[24];
    int64_t input = 0;
    for (int i = 0; i < plan->steps; i++) {
        int64_t bytes;
        if (pl_tensor_bytes(&model->tensor[plan->step[i].tensor], &bytes) == PL_OK) input += bytes;
    }
    pl_ui_print("%s %s: %d tensors in %.2f s (%s/s of input)\n", digest ? "digest" : "wrote",
                digest ? digest : a->out, plan->steps, seconds,
                pl_ui_bytes((int64_t)((double)input / (seconds > 1e-9 ? seconds : 1e-9)), read));
    print_totals(a, plan, model);
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
    pl_convert_options options = { .force = a->force, .measure = a->json };
    if (code == PL_OK)
        code = pl_convert(plan, source, sink, a->out ? a->out : "", pool, &options, error);
    double seconds = pl_seconds() - began;
    char text[40], *digest = NULL;
    if (code == PL_OK && !strcmp(a->to, "digest"))
        digest = pl_digest_text(pl_wire_sink_digest(sink), text);
    if (code == PL_OK && a->json) code = print_json(a, plan, source->model, error, seconds, digest);
    else if (code == PL_OK) print_done(a, plan, source->model, seconds, digest);
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
    if (code == PL_OK) code = pl_wire_open(a.model, PL_OPEN_WINDOWS, &source);
    if (code != PL_OK) goto out;
    int64_t held = pl_arena_bytes(source->arena) + pl_arena_bytes(source->vocab_arena);
    pl_plan_options options = { .threads = a.threads, .memory = a.memory, .held = held };
    code = pl_plan_create(source->model, &recipe, sink, &pl_wire_registries, &options, arena, &plan);
    if (code != PL_OK) goto out;
    if (!a.dry_run) {
        warn(source->model);
        code = work(&a, source, sink, plan);
    } else if (a.json) {
        code = print_json(&a, plan, source->model, NULL, 0, NULL);
    } else {
        code = print_parts(plan);
        print_totals(&a, plan, source->model);
    }
out:
    pl_sink_close(sink);
    pl_source_close(source);
    pl_arena_destroy(arena);
    return code;
}

const pl_command pl_cmd_convert = { "convert", "quantize a checkpoint into a GGUF file", run };
