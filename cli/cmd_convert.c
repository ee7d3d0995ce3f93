/* cmd_convert.c: planish convert. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/opts.h"
#include "cli/target.h"
#include "core/arrange.h"
#include "core/convert.h"
#include "core/fs.h"
#include "core/log.h"
#include "core/zst.h"

typedef struct arguments {
    const char *model, *out, *type, *recipe, *to, *pre, *stats, *share, *layout;
    bool dry_run, force, json, allow_nonfinite, pure, resume, symmetric, stream_ready;
    int part, parts;            /* as --part says; 0: all */
    int32_t threads, encoder;
    int64_t memory, max_shard;
    int32_t zstd;
    pl_opt_list keep;
    pl_target_wish target;
} arguments;

/* What a conversion is made of, and what its user should know of it. */
typedef struct job {
    const arguments *a;
    pl_arena *arena;
    pl_source *source;
    pl_sink *sink;
    pl_recipe recipe;
    pl_plan *plan;
    pl_target target;           /* with a size to reach */
    pl_coverage coverage;       /* with statistics */
    pl_pool *pool;
    const pl_ranks *ranks;      /* NULL: one process */
    const char *warning[3];
    int warnings;
} job;

static const int64_t FOLDER_SHARD = 5000000000;     /* bytes of a file in a folder, as Hugging Face and MLX cut them */

/* As --encoder names them, and the methods they are. */
#define ENCODERS "best|reference"
static const char *const encoders[] = { "best", "reference" }, *const encoder_methods[] = { "best", "rtn" };

static const pl_usage usage = {
    .command = "convert",
    .arguments = "MODEL -o OUT --type TYPE [options]",
    .summary = "Quantizes a checkpoint and writes it for another engine. TYPE is a mix as llama-quantize makes\n"
               "it: most matrices get the type of that name, those on which more depends another; --pure\n"
               "gives all of them one type. Norms and biases stay f32, and matrices whose rows do not fill\n"
               "the type's blocks become another type (the plan says which). Under OUT stands a whole file\n"
               "or nothing; so it is with all files of a split output. After a kill the same command with\n"
               "--resume goes on.",
    .example = "  planish convert SmolLM2-135M -o smol.gguf --type q4_k_m\n"
               "  planish convert SmolLM2-135M -o smol.gguf --type q4_0 --pure --dry-run\n"
               "  planish convert SmolLM2-135M -o smol.gguf --type q4_k_m --keep '^output|ffn_down=q8_0'\n"
               "  planish convert SmolLM2-135M -o smol.gguf --type q8_0 --max-shard-size 50M\n"
               "  planish convert SmolLM2-135M -o smol-mlx --to mlx --type affine4-g64",
    .positional = 1,
};

#define LINE "\n" "                              "  /* where help begins */

static pl_status parse_share(arguments *a)
{
    int end = 0;
    if (!a->share) return PL_OK;
    if (sscanf(a->share, "%9d/%9d%n", &a->part, &a->parts, &end) == 2 && !a->share[end] && a->part >= 1 &&
        a->part <= a->parts && a->parts <= PL_MAX_SHARES)
        return PL_OK;
    return pl_fail(PL_E_WISH, "--part takes I/N with I from 1 to N and N up to %d, not '%s'", PL_MAX_SHARES, a->share);
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = text ? strlen(text) : 0, tail = strlen(end);
    return len > tail && !strcmp(text + len - tail, end);
}

static pl_status parse(int argc, const char **argv, arguments *a, bool *help)
{
    const pl_opt opts[] = {
        { "out", 'o', PL_OPT_TEXT, &a->out, "FILE", "the file or folder to write", 0, 0, NULL },
        { "type", 't', PL_OPT_TEXT, &a->type, "TYPE",
          "a mix: q8_0 q6_k q5_k_m q5_k_s q5_1 q5_0 q4_k_m q4_k_s q4_1 q4_0 iq4_nl iq4_xs" LINE
          "q3_k_l q3_k_m q3_k_s iq3_m iq3_s iq3_xs iq3_xxs q2_k q2_k_s iq2_m iq2_s iq2_xs iq2_xxs" LINE
          "iq1_m iq1_s tq2_0 tq1_0 q2_0 q1_0 mxfp4_moe (q5_k q4_k q3_k: their _m);" LINE
          "or one type for every matrix: f16 bf16 f32 mxfp4 nvfp4", 0, 0, NULL },
        { "pure", 0, PL_OPT_FLAG, &a->pure, NULL, "every matrix gets the type that the mix is named after", 0, 0,
          NULL },
        { "keep", 0, PL_OPT_LIST, &a->keep, "REGEX=TYPE",
          "matrices with a name in which REGEX is found get TYPE; as often as needed, the" LINE
          "first that matches decides, before any recipe", 0, 0, NULL },
        { "sym", 0, PL_OPT_FLAG, &a->symmetric, NULL, "awq: codes without zero points of their own", 0, 0, NULL },
        { "encoder", 0, PL_OPT_CHOICE, &a->encoder, NULL, "search for less error (default), or do as ggml does, bit by bit", 0, 0, ENCODERS },
        { "stats", 0, PL_OPT_TEXT, &a->stats, "FILE",
          "what 'planish calibrate' or llama-imatrix saw: errors weigh more where inputs are large", 0, 0, NULL },
        { "recipe", 'r', PL_OPT_TEXT, &a->recipe, "FILE", "JSON with other types for some tensors (docs/recipe.md)",
          0, 0, NULL },
        { "target-bpw", 0, PL_OPT_REAL, &a->target.bpw, "BITS",
          "instead of --type: bits per weight of the whole output, types chosen for the least loss", 0.1, 64, NULL },
        { "target-size", 0, PL_OPT_SIZE, &a->target.size, "SIZE", "the same by its size, as 900M or 1.2GiB (docs/size-target.md)", 0, 0, NULL },
        { "target-types", 0, PL_OPT_TEXT, &a->target.types, "TYPES", "types to choose from, between commas (default: k-quants, iq and q8_0)", 0, 0, NULL },
        { "calib", 0, PL_OPT_TEXT, &a->target.calib, "FILE",
          "text that says which matrices matter: it is run with some of them quantized", 0, 0, NULL },
        { "probe", 0, PL_OPT_CHOICE, &a->target.probe, NULL, "run it for each matrix, each layer and role, or not (auto: by the model's size)", 0, 0, PL_TARGET_PROBES },
        { "cache", 0, PL_OPT_TEXT, &a->target.cache, "FILE", "keeps errors and probes, so that another size takes seconds", 0, 0, NULL },
        { "dry-run", 'n', PL_OPT_FLAG, &a->dry_run, NULL, "show every part, the exact size and the memory needed; write nothing", 0, 0, NULL },
        { "pre", 0, PL_OPT_TEXT, &a->pre, "NAME", "pre-tokenizer of the vocabulary, if its files do not tell", 0, 0,
          NULL },
        { "threads", 'j', PL_OPT_INT, &a->threads, "N", "threads (default: one per processor)", 1, PL_MAX_THREADS,
          NULL },
        { "memory", 'm', PL_OPT_SIZE, &a->memory, "SIZE", "own memory to stay below, as 500M or 1GiB", 0, 0, NULL },
        { "max-shard-size", 0, PL_OPT_SIZE, &a->max_shard, "SIZE", "cut the output into files of at most this size, OUT-00001-of-0000N.gguf;" LINE
          "folders: of 5G if nothing is said", 0, 0, NULL },
        { "zstd", 0, PL_OPT_INT, &a->zstd, "LEVEL", "compress what of a pack gets at least 3 % smaller, 1 (quick) to 19 (slow); 0: nothing", 0, PL_ZSTD_LEVELS, NULL },
        { "layout", 0, PL_OPT_TEXT, &a->layout, "NAME", "order of a pack's weights: plain, or marlin, rows4, rows8, nvfp4-atom for what fits them" LINE "(docs/layouts.md)", 0, 0, NULL },
        { "stream-ready", 0, PL_OPT_FLAG, &a->stream_ready, NULL, "a pack that --resident can use as it comes from the disk: neither --zstd nor --layout", 0, 0, NULL },
        { "force", 'f', PL_OPT_FLAG, &a->force, NULL, "replace an existing output", 0, 0, NULL },
        { "resume", 0, PL_OPT_FLAG, &a->resume, NULL,
          "go on with what a killed or failed run of the same command finished (docs/resume.md)", 0, 0, NULL },
        { "part", 0, PL_OPT_TEXT, &a->share, "I/N",
          "convert only this share of the output; 'planish merge' joins them (docs/cluster.md)", 0, 0, NULL },
        { "json", 0, PL_OPT_FLAG, &a->json, NULL, "print the result as JSON, with each tensor's error", 0, 0, NULL },
        { "allow-nonfinite", 0, PL_OPT_FLAG, &a->allow_nonfinite, NULL,
          "keep weights that are NaN or infinite; without it they are refused", 0, 0, NULL },
        { "to", 0, PL_OPT_TEXT, &a->to, "FORMAT", "gguf (default); pack: planish's own container, with digests of everything, the default for" LINE
          "OUT.pl (docs/pack-format.md); mlx: a folder for mlx-lm, TYPE is affine{2,3,4,5,6,8}-g{32,64,128}," LINE
          "mxfp4, mxfp8, nvfp4 or floats; dense: a Hugging Face folder, TYPE is bf16 (default)," LINE
          "f16 or f32; compressed-tensors, gptq, gptq-v2, awq: folders for other runtimes, TYPE is" LINE
          "int4-g128, int8 ..., uint4-g128 with zero points, for the first also fp8, nvfp4, mxfp4" LINE
          "(docs/formats-hf.md); digest: writes nothing, prints a digest", 0, 0, NULL },
    };
    PL_TRY(pl_opts_parse(argc, argv, &usage, opts, PL_COUNT(opts), &a->model, help));
    if (*help) return PL_OK;
    if (!a->to) a->to = ends_with(a->out, ".pl") ? "pack" : "gguf";
    if (!a->out && !a->dry_run && strcmp(a->to, "digest") && strcmp(a->to, "count"))
        return pl_fail(PL_E_WISH, "no output named; usage: planish convert %s", usage.arguments);
    if (a->out && !a->out[0]) return pl_fail(PL_E_WISH, "--out takes a file's name, not ''");
    PL_TRY(parse_share(a));
    a->target.model = a->model;
    a->target.pre = a->pre;
    return pl_target_check(&a->target, a->type);
}

/* One tensor as JSON; error < 0: not measured. */
static void step_json(const pl_step *step, const char *layout, double error, pl_json_writer *w)
{
    pl_json_begin_object(w, NULL);
    pl_json_put_text(w, "name", step->name);
    pl_json_put_text(w, "role", pl_role_name(step->id.role));
    pl_json_put_int(w, "layer", step->id.layer);
    pl_json_put_int(w, "expert", step->id.expert);
    pl_json_put_text(w, "type", pl_type_name(&step->out.type));
    pl_json_put_text(w, "method", step->method->name);
    if (step->band) pl_json_put_text(w, "layout", layout);
    pl_json_put_int(w, "bytes", pl_packed_bytes(&step->out));
    if (step->why) pl_json_put_text(w, "why", step->why);
    if (error >= 0) pl_json_put_number(w, "rel_error", error);
    pl_json_end(w);
}

static bool targeted(const arguments *a) { return a->target.bpw > 0 || a->target.size > 0; }

static void stats_json(const job *j, pl_json_writer *w)
{
    if (!j->plan->stats) return;
    pl_json_begin_object(w, "stats");
    pl_json_put_text(w, "file", j->plan->stats->path);
    pl_json_put_int(w, "chunks", j->plan->stats->chunks);
    pl_json_put_int(w, "matrices", j->coverage.matrices);
    pl_json_put_int(w, "without", j->coverage.without);
    pl_json_put_int(w, "experts_unseen", j->coverage.unseen);
    pl_json_put_int(w, "columns", j->coverage.columns);
    pl_json_put_int(w, "columns_lifted", j->coverage.lifted);
    pl_json_end(w);
}

static void wish_json(const job *j, pl_json_writer *w)
{
    const pl_recipe *r = &j->recipe;
    pl_json_put_text(w, "type", pl_type_name(&r->type));
    if (r->mix && !r->pure) pl_json_put_text(w, "mix", pl_mix_name(r->mix));
    pl_json_put_text(w, "encoder", encoders[j->a->encoder]);
    stats_json(j, w);
    if (targeted(j->a)) pl_target_json(&j->target, w);
    pl_json_begin_array(w, "warnings");
    for (int i = 0; i < j->warnings; i++) pl_json_put_text(w, NULL, j->warning[i]);
    pl_json_end(w);
}

/* Bytes of the output, as far as it is known. */
static int64_t written(const job *j) { return j->sink->written ? j->sink->written : j->plan->bytes; }

static pl_status print_json(const job *j, const double *error, double seconds, const char *digest, int64_t nonfinite)
{
    const pl_plan *plan = j->plan;
    double body, file;
    char plan_digest[40], *text = NULL;
    pl_json_writer *w;
    PL_TRY(pl_json_writer_create(&w));
    pl_plan_bpw(plan, j->source->model, &body, &file);
    pl_json_begin_object(w, NULL);
    pl_json_put_text(w, "schema", "planish.convert/1");
    pl_json_put_text(w, "model", j->a->model);
    pl_json_put_text(w, "out", j->a->out ? j->a->out : "");
    wish_json(j, w);
    pl_json_put_int(w, "files", j->sink->files);
    pl_json_put_int(w, "bytes_planned", plan->bytes);
    pl_json_put_int(w, "peak_planned", plan->peak);
    pl_json_put_number(w, "bpw_body", body);
    pl_json_put_number(w, "bpw_file", file);
    pl_json_put_int(w, "threads", plan->threads);
    pl_json_put_text(w, "plan", pl_digest_text(plan->digest, plan_digest));
    if (!j->a->dry_run) {
        pl_json_put_int(w, "bytes", written(j));
        pl_json_put_number(w, "seconds", seconds);
        pl_json_put_int(w, "peak_rss_bytes", pl_rss_peak_bytes());
        pl_json_put_int(w, "nonfinite", nonfinite);
        if (digest) pl_json_put_text(w, "digest", digest);
    }
    pl_json_begin_array(w, "tensors");
    for (int i = 0; i < plan->steps; i++) step_json(&plan->step[i], j->sink->layout, error ? error[i] : -1, w);
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
            b->out.rows != a->out.rows || b->out.cols != a->out.cols || !b->why != !a->why || b->band != a->band ||
            pl_plan_blind(plan, b) != pl_plan_blind(plan, a) || !pl_type_equal(&b->out.type, &a->out.type))
            break;
    }
    return count;
}

/* Every part that will be written. */
static pl_status print_parts(const pl_plan *plan, const char *layout)
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
        const char *note = step->why ? step->why : pl_plan_blind(plan, step) ? "wants statistics"
                         : step->band ? layout : "";
        code = pl_table_row(table, (const char *[]){ name, shape, pl_type_name(&step->out.type), step->method->name,
                                                     bytes, note });
    }
    if (code == PL_OK) pl_table_print(table);
    pl_table_destroy(table);
    return code;
}

static void print_coverage(const job *j)
{
    const pl_coverage *c = &j->coverage;
    char lifted[32], columns[32];
    if (!j->plan->stats) return;
    pl_ui_print("stats:  %s knows %d of %d matrices", j->plan->stats->path, c->matrices - c->without, c->matrices);
    if (c->unseen) pl_ui_print(", and no rows of %d of experts", c->unseen);
    if (c->columns)
        pl_ui_print("; %s of %s columns count more than they carried", pl_ui_count(c->lifted, lifted),
                    pl_ui_count(c->columns, columns));
    pl_ui_print("\n");
}

static void print_totals(const job *j)
{
    const pl_plan *plan = j->plan;
    const pl_sink *sink = j->sink;
    double body, file;
    char bytes[24], count[32], peak[24], files[32] = "";
    pl_plan_bpw(plan, j->source->model, &body, &file);
    if (plan->bytes) file *= (double)written(j) / (double)plan->bytes;
    if (sink->files > 1) snprintf(files, sizeof files, " in %d files", sink->files);
    pl_ui_print("size:   %s bytes (%s)%s, %.3f bits per weight in the blocks, %.3f over the whole %s\n",
                pl_ui_count(written(j), count), pl_ui_bytes(written(j), bytes), files, body, file,
                sink->files > 1 || sink->ops->flags & PL_SINK_FOLDER ? "output" : "file");
    pl_ui_print("memory: at most %s of its own, %d thread%s\n", pl_ui_bytes(plan->peak, peak),
                plan->threads, plan->threads == 1 ? "" : "s");
    print_coverage(j);
    if (targeted(j->a)) pl_target_totals(&j->target);
    bool f16 = true;
    int arranged = 0, matrices = 0;
    for (int i = 0; i < plan->steps; i++) {
        arranged += plan->step[i].band != 0;
        matrices += (j->source->model->tensor[plan->step[i].tensor].flags & PL_TENSOR_MATRIX) != 0;
        f16 = f16 && (!plan->step[i].why || plan->step[i].out.type.element == &pl_dtypes[PL_F16]);
    }
    if (sink->layout)
        pl_ui_print("layout: %s for %d of %d matrices%s\n", sink->layout, arranged, matrices,
                    arranged == matrices || j->a->dry_run ? "" : " (--dry-run shows which)");
    if (plan->changed)
        pl_ui_print("note:   %d matri%s %s, as %s rows fill no whole blocks%s\n", plan->changed,
                    plan->changed == 1 ? "x is" : "ces are", f16 ? "f16" : "of another type",
                    plan->changed == 1 ? "its" : "their",
                    j->a->dry_run ? "" : " (--dry-run shows which)");
}

static pl_status print_done(const job *j, double seconds, const char *digest)
{
    char read[24], name[PATH_MAX], more[32] = "";
    int64_t input = 0;
    int tensors = 0;
    for (int i = 0; i < j->plan->steps; i++) {
        const pl_step *step = &j->plan->step[i];
        int64_t bytes;
        if (pl_tensor_bytes(&j->source->model->tensor[step->tensor], &bytes) == PL_OK) input += bytes;
        tensors += step->id.expert <= 0;        /* those of all experts are one */
    }
    bool folder = j->sink->ops->flags & PL_SINK_FOLDER;
    if (folder) snprintf(name, sizeof name, "%s", j->a->out);
    else PL_TRY(pl_sink_file_name(j->sink, j->a->out ? j->a->out : "", 0, name));
    if (j->sink->files > 1 && !folder) snprintf(more, sizeof more, " and %d more", j->sink->files - 1);
    if (j->a->parts)
        pl_ui_print("wrote part %d of %d of %s%s in %.2f s\n", j->a->part, j->a->parts, name, more, seconds);
    else
        pl_ui_print("%s %s%s: %d tensors in %.2f s (%s/s of input)\n", digest ? "digest" : "wrote",
                digest ? digest : name, more, tensors, seconds,
                pl_ui_bytes((int64_t)((double)input / (seconds > 1e-9 ? seconds : 1e-9)), read));
    print_totals(j);
    return PL_OK;
}

/* NULL if memory is out. */
static pl_status warn(job *j, const char *text)
{
    if (!text) return PL_E_MEMORY;
    pl_log(PL_LOG_WARN, "%s", text);
    j->warning[j->warnings++] = text;
    return PL_OK;
}

/* What the output will lack that its user may not expect. */
static pl_status warn_all(job *j)
{
    const pl_model *model = j->source->model;
    if (!model->vocab) PL_TRY(warn(j, "the input has no vocabulary: no engine will read text with the output"));
    for (int i = 0; i < j->plan->steps; i++) {
        const pl_tensor *t = &model->tensor[j->plan->step[i].tensor];
        if (!(t->flags & PL_TENSOR_MATRIX) || !pl_type_coded(&t->type) || pl_type_equal(&t->type,
                                                                                        &j->plan->step[i].out.type))
            continue;
        PL_TRY(warn(j, pl_arena_format(j->arena, "the input is quantized already (%s): what that lost stays lost",
                                       pl_type_name(&t->type))));
        break;
    }
    int blind = j->plan->blind;
    if (!blind) return PL_OK;
    return warn(j, pl_arena_format(j->arena, "%d matri%s a type that loses much unless statistics of activations "
                                   "(--stats) guide it", blind, blind == 1 ? "x gets" : "ces get"));
}

static pl_status work(job *j)
{
    const arguments *a = j->a;
    pl_status code = PL_OK;
    double *error = NULL;
    if (a->json) {
        error = pl_alloc(j->plan->steps, sizeof *error);
        if (!error) code = PL_E_MEMORY;
    }
    double began = pl_seconds();
    pl_nonfinite found = { 0 };
    pl_convert_options options = { .force = a->force, .measure = a->json,
                                   .nonfinite = a->allow_nonfinite ? &found : NULL, .resume = a->resume,
                                   .part = a->part, .parts = a->parts, .ranks = j->ranks };
    code = pl_ranks_agree(j->ranks, code);
    if (code == PL_OK)
        code = pl_convert(j->plan, j->source, j->sink, a->out ? a->out : "", j->pool, &options, error);
    double seconds = pl_seconds() - began;
    if (code == PL_OK && found.count)
        pl_log(PL_LOG_WARN, "values that are not finite: %lld, the first in tensor '%s' row %lld column %lld",
               (long long)found.count, found.tensor, (long long)found.row, (long long)found.col);
    char text[40], *digest = NULL;
    if (code == PL_OK && !strcmp(a->to, "digest"))
        digest = pl_digest_text(pl_wire_sink_digest(j->sink), text);
    else if (code == PL_OK && targeted(a) && !a->parts && (!j->ranks || j->ranks->rank == 0))
        code = pl_target_verify(&j->target, j->sink, a->out);
    if (code == PL_OK)
        code = a->json ? print_json(j, error, seconds, digest, found.count) : print_done(j, seconds, digest);
    pl_free(error);
    return code;
}

/* The wish, from the command line and the recipe's file. */
static pl_status read_wish(const arguments *a, pl_recipe *recipe, pl_arena *arena)
{
    recipe->pure = a->pure;
    recipe->encoder = encoder_methods[a->encoder];
    if (a->type) PL_TRY(pl_recipe_wish(recipe, a->type));
    if (a->recipe) PL_TRY(pl_recipe_load(a->recipe, recipe, arena));
    if (!recipe->type.scheme && !strcmp(a->to, "dense")) PL_TRY(pl_recipe_wish(recipe, "bf16"));
    return a->keep.count ? pl_recipe_keep(recipe, a->keep.text, a->keep.count, arena) : PL_OK;
}

/* No type is named: every matrix stays what it is, if the model has been quantized or the output is a pack. */
static pl_status keep_types(job *j)
{
    const pl_model *model = j->source->model;
    pl_recipe *recipe = &j->recipe;
    if (recipe->type.scheme || targeted(j->a)) return PL_OK;
    pl_type *own = PL_NEW(j->arena, pl_type, model->tensors);
    if (!own) return PL_E_MEMORY;
    int most = 0;
    bool coded = false;
    for (int i = 0; i < model->tensors; i++) {
        const pl_tensor *t = &model->tensor[i], *largest = &model->tensor[most];
        own[i] = t->type;
        coded = coded || pl_type_coded(&t->type);
        if (t->rows * t->cols > largest->rows * largest->cols) most = i;
    }
    bool pack = !strcmp(j->a->to, "pack") || !strcmp(j->source->ops->name, "pack");
    if (!model->tensors || (!coded && !pack)) return PL_OK;
    recipe->type = own[most];
    recipe->choice = own;
    return PL_OK;
}

/* In MLX's folders every matrix has one type, but for shared experts, through which every token goes: 8 bits for them.
 * (Routers are never quantized; mixes have rules of their own.) --pure does without. */
static pl_status keep_shared(job *j)
{
    enum { BITS = 8, GROUP = 64 };
    const pl_model *model = j->source->model;
    pl_recipe *recipe = &j->recipe;
    bool low = recipe->type.bits ? recipe->type.bits < BITS : recipe->type.element && recipe->type.element->block > 1;
    if (strcmp(j->a->to, "mlx") || j->a->pure || targeted(j->a) || recipe->choice || !low) return PL_OK;
    pl_type *choice = NULL;
    for (int i = 0; i < model->tensors; i++) {
        int role = model->tensor[i].id.role;
        if (role != PL_SHARED_GATE && role != PL_SHARED_UP && role != PL_SHARED_DOWN) continue;
        if (pl_type_coded(&model->tensor[i].type)) continue;    /* what is lost already does not come back */
        if (!choice) choice = PL_ZNEW(j->arena, pl_type, model->tensors);
        if (!choice) return PL_E_MEMORY;
        choice[i] = pl_type_affine(BITS, recipe->type.bits ? recipe->type.group : GROUP, NULL);
    }
    recipe->choice = choice;
    return PL_OK;
}

static pl_status plan(job *j)
{
    const arguments *a = j->a;
    const pl_source *source = j->source;
    pl_stats *stats = NULL;
    if (a->stats) PL_TRY(pl_wire_stats(a->stats, source->model, j->arena, &stats));
    int64_t held = pl_arena_bytes(source->arena) + pl_arena_bytes(source->vocab_arena);
    pl_plan_options options = { .threads = a->threads, .memory = a->memory, .stats = stats, .held = held };
    if (targeted(a))
        PL_TRY(pl_target_choose(&a->target, j->source, j->sink, &j->recipe, &options, j->arena, &j->target));
    PL_TRY(pl_plan_create(source->model, &j->recipe, j->sink, &pl_wire_registries, &options, j->arena, &j->plan));
    return stats ? pl_plan_coverage(j->plan, source->model, &j->coverage) : PL_OK;
}

/* What only packs can have. */
static pl_status pack_wishes(job *j)
{
    const arguments *a = j->a;
    bool pack = !strcmp(a->to, "pack"), layout = a->layout && strcmp(a->layout, "plain");
    if (a->zstd && !pack) return pl_fail(PL_E_WISH, "--zstd compresses packs (OUT.pl, --to pack) only");
    if (layout && !pl_arrange_known(a->layout))
        return pl_fail(PL_E_WISH, "--layout takes plain, %s, not '%s'", pl_arrange_list(), a->layout);
    if (!pack && (layout || a->stream_ready))
        return pl_fail(PL_E_WISH, "%s is for packs (OUT.pl, --to pack) only", layout ? "--layout" : "--stream-ready");
    if (a->stream_ready && (a->zstd || layout))
        return pl_fail(PL_E_WISH, "--stream-ready and %s exclude each other: a streamed run would have to undo "
                       "that for every token", layout ? "--layout" : "--zstd");
    j->sink->zstd = a->zstd;
    j->sink->layout = layout ? a->layout : NULL;
    return PL_OK;
}

/* All that is known before the first weight is read. */
static pl_status prepare(job *j)
{
    const arguments *a = j->a;
    PL_TRY(read_wish(a, &j->recipe, j->arena));
    PL_TRY(pl_wire_sink(a->to, &j->sink));
    unsigned flags = j->sink->ops->flags;
    if (flags & PL_SINK_FOLDER) j->recipe.pure = true;      /* mixes are of GGUF's types */
    pl_open_options options = { .how = flags & PL_SINK_AS_STORED ? PL_OPEN_STORED : PL_OPEN_WINDOWS, .pre = a->pre };
    PL_TRY(pl_wire_open(a->model, &options, &j->source));
    j->sink->symmetric = a->symmetric;
    PL_TRY(pack_wishes(j));
    j->sink->max_shard = a->max_shard ? a->max_shard : flags & PL_SINK_FOLDER ? FOLDER_SHARD : 0;
    PL_TRY(keep_types(j));
    PL_TRY(keep_shared(j));
    PL_TRY(plan(j));
    PL_TRY(warn_all(j));
    return pl_pool_create(j->plan->threads, &j->pool);
}

static pl_status convert(job *j)
{
    const arguments *a = j->a;
    PL_TRY(pl_ranks_start(&j->ranks));
    PL_TRY(pl_ranks_agree(j->ranks, prepare(j)));
    if (!a->dry_run) return work(j);
    if (a->json) return print_json(j, NULL, 0, NULL, 0);
    PL_TRY(targeted(a) ? pl_target_table(&j->target) : print_parts(j->plan, j->sink->layout));
    print_totals(j);
    return PL_OK;
}

static pl_status run(int argc, const char **argv)
{
    arguments a = { 0 };
    bool help;
    PL_TRY(parse(argc, argv, &a, &help));
    if (help) return PL_OK;
    job j = { .a = &a };
    pl_status code = pl_arena_create(&j.arena);
    if (code == PL_OK) code = convert(&j);
    pl_pool_destroy(j.pool);
    pl_sink_close(j.sink);
    pl_source_close(j.source);
    pl_recipe_release(&j.recipe);
    pl_arena_destroy(j.arena);
    return code;
}

const pl_command pl_cmd_convert = { "convert", "quantize a checkpoint for another engine", run };
