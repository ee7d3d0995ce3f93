/* cmd_inspect.c: planish inspect. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/inspect.h"
#include "cli/opts.h"

static const pl_usage usage = {
    .command = "inspect",
    .arguments = "MODEL [--json] [--verify]",
    .summary = "Shows what a model is: architecture, sizes, vocabulary, and each tensor's role, shape,\n"
               "storage type, bytes and bits per weight. With --verify it reads all data instead: exit code 0\n"
               "if every tensor is there, every value and scale finite and the index right, else 3 with the\n"
               "tensor and its file. The digests printed are those of 'xxhsum -H2'.",
    .example = "  planish inspect calib-data/stories260k\n"
               "  planish inspect smol.gguf --verify --json > verified.json",
    .positional = 1,
};

static const char *vocab_name(const pl_vocab *v)
{
    if (!v) return "none";
    return v->kind == PL_VOCAB_BPE ? "byte-level BPE" : v->kind == PL_VOCAB_WPM ? "WordPiece"
                                                                               : "SentencePiece-style BPE";
}

/* How many experts from this entry of the index on are stored alike; 1 where there are none. */
static int alike(const pl_model *m, int first)
{
    const pl_tensor *a = &m->tensor[m->entry[first].tensor];
    int count = 1;
    for (; a->id.expert >= 0 && first + count < m->tensors; count++) {
        const pl_tensor *b = &m->tensor[m->entry[first + count].tensor];
        if (b->id.role != a->id.role || b->id.layer != a->id.layer || b->rows != a->rows ||
            b->cols != a->cols || !pl_type_equal(&b->type, &a->type))
            break;
    }
    return count;
}

static pl_status print_tensors(const pl_model *m)
{
    pl_table *table;
    PL_TRY(pl_table_create(7, (bool[]){ false, false, true, true, false, true, true }, &table));
    pl_status code = pl_table_row(table, (const char *[]){ "tensor", "role", "layer", "shape", "type",
                                                           "bytes", "bits/weight" });
    for (int i = 0, count; i < m->tensors && code == PL_OK; i += count) {
        const pl_tensor *t = &m->tensor[m->entry[i].tensor];
        int64_t bytes;
        count = alike(m, i);
        code = pl_tensor_bytes(t, &bytes);
        if (code != PL_OK) break;
        char name[PL_MAX_NAME + 16], layer[16] = "", shape[48], size[32], bits[16], type[96];
        pl_ui_times(t->name, count, name, sizeof name);
        if (t->id.layer >= 0) snprintf(layer, sizeof layer, "%d", t->id.layer);
        pl_ui_shape(t->rows, t->cols, shape);
        pl_ui_count(count * bytes, size);
        snprintf(bits, sizeof bits, "%.3g", 8.0 * (double)bytes / ((double)t->rows * (double)t->cols));
        snprintf(type, sizeof type, "%s%s%.40s", pl_type_name(&t->type), t->layout ? ", " : "",
                 t->layout ? t->layout : "");
        code = pl_table_row(table, (const char *[]){ name, pl_role_name(t->id.role), layer, shape, pl_printable(type),
                                                     size, bits });
    }
    if (code == PL_OK) pl_table_print(table);
    pl_table_destroy(table);
    return code;
}

/* Blocks with a property of pl_hparams.layer. */
static int blocks_with(const pl_hparams *h, int property)
{
    int count = 0;
    for (int i = 0; i < h->layers; i++) count += (h->layer[i] & property) != 0;
    return count;
}

static void print_positions(const pl_hparams *h)
{
    static const char *const scaling[] = {
        [PL_ROPE_LINEAR] = "linear", [PL_ROPE_LLAMA3] = "llama3", [PL_ROPE_YARN] = "yarn",
        [PL_ROPE_LONGROPE] = "longrope",
    };
    char context[32];
    int without = blocks_with(h, PL_LAYER_NO_ROPE);
    pl_ui_print("context:      %s, ", pl_ui_count(h->context, context));
    if (!h->rope_dim) {
        pl_ui_print("learned positions\n");
        return;
    }
    pl_ui_print("rotary base %.9g", (double)h->rope_base);
    if (h->rope_dim < h->head_dim) pl_ui_print(" on %d of %d dimensions", h->rope_dim, h->head_dim);
    if (h->rope_scaling) pl_ui_print(", %s scaling", scaling[h->rope_scaling]);
    if (h->rope_scaling && h->rope_factor > 0) pl_ui_print(" by %g", h->rope_factor);
    if (h->rope_scaling && h->rope_context) pl_ui_print(" from %s", pl_ui_count(h->rope_context, context));
    if (h->window && h->rope_base_window > 0)
        pl_ui_print(", %.9g where there is a window", (double)h->rope_base_window);
    if (without) pl_ui_print(", no positions in %d of %d blocks", without, h->layers);
    pl_ui_print("\n");
}

/* What makes the attention of some models special. */
static void print_attention(const pl_hparams *h)
{
    const char *before = "attention:    ";
    if (h->window) {
        pl_ui_print("%swindow of %d in %d of %d blocks", before, h->window, blocks_with(h, PL_LAYER_WINDOW), h->layers);
        before = ", ";
    }
    if (h->attn_softcap > 0) {
        pl_ui_print("%sscores capped at %g", before, h->attn_softcap);
        before = ", ";
    }
    if (h->logit_softcap > 0) {
        pl_ui_print("%slogits capped at %g", before, h->logit_softcap);
        before = ", ";
    }
    if (before[0] == ',') pl_ui_print("\n");
}

static pl_status print_text(const pl_source *s)
{
    static const char *const pooling[] = {
        "as the user likes", "mean of the hidden states", "state of the first token",
    };
    const pl_model *m = s->model;
    const pl_hparams *h = &m->hp;
    char parameters[32], name[256], pre[64];
    snprintf(name, sizeof name, "%s", m->name);
    snprintf(pre, sizeof pre, "%s", m->vocab && m->vocab->pre ? m->vocab->pre : "none");
    pl_ui_print("model:        %s (%s)\n", pl_printable(name), s->ops->name);
    pl_ui_print("architecture: %s, %d blocks, hidden %d, %d heads of %d (%d key/value), ffn %d%s\n", m->arch,
                h->layers, h->hidden, h->heads, h->head_dim, h->kv_heads, h->ffn,
                h->encoder ? ", an encoder" : h->tied ? ", output tied to the token table" : "");
    if (h->experts) {
        pl_ui_print("experts:      %d in each block, %d for a token, ffn %d", h->experts, h->experts_used,
                    h->expert_ffn);
        if (h->shared_ffn) pl_ui_print("; one for all, ffn %d", h->shared_ffn);
        pl_ui_print("\n");
    }
    print_attention(h);
    pl_ui_print("parameters:   %s, mostly %s\n", pl_ui_count(m->parameters, parameters), m->file_type);
    print_positions(h);
    if (h->encoder) pl_ui_print("embedding:    %s\n", pooling[h->pooling]);
    pl_ui_print("vocabulary:   %s", vocab_name(m->vocab));
    if (m->vocab && m->vocab->kind == PL_VOCAB_WPM)
        pl_ui_print(", %d tokens", m->vocab->count);
    else if (m->vocab)
        pl_ui_print(", %d tokens, pre-tokenizer %s, BOS %sadded", m->vocab->count,
                    pl_printable(pre), m->vocab->add_bos ? "" : "not ");
    pl_ui_print("\n");
    if (s->sha256) pl_ui_print("SHA-256:      %s\n", s->sha256);
    pl_ui_print("\n");
    return print_tensors(m);
}

static pl_status tensor_json(const pl_tensor *t, pl_json_writer *w)
{
    int64_t bytes;
    PL_TRY(pl_tensor_bytes(t, &bytes));
    pl_json_begin_object(w, NULL);
    pl_json_begin_array(w, "shape");
    pl_json_put_int(w, NULL, t->rows);
    if (t->cols > 1 || t->flags & PL_TENSOR_MATRIX) pl_json_put_int(w, NULL, t->cols);
    pl_json_end(w);
    pl_json_put_text(w, "name", t->name);
    pl_json_put_text(w, "role", pl_role_name(t->id.role));
    pl_json_put_int(w, "layer", t->id.layer);
    pl_json_put_int(w, "expert", t->id.expert);
    pl_json_put_text(w, "type", pl_type_name(&t->type));
    if (t->layout) pl_json_put_text(w, "layout", t->layout);
    pl_json_put_int(w, "bytes", bytes);
    pl_json_put_number(w, "bpw", 8.0 * (double)bytes / ((double)t->rows * (double)t->cols));
    pl_json_end(w);
    return PL_OK;
}

static pl_status print_json(const pl_source *s)
{
    const pl_model *m = s->model;
    const pl_hparams *h = &m->hp;
    const struct { const char *key; int64_t value; } numbers[] = {
        { "parameters", m->parameters }, { "layers", h->layers }, { "hidden", h->hidden },
        { "heads", h->heads }, { "kv_heads", h->kv_heads }, { "head_dim", h->head_dim }, { "ffn", h->ffn },
        { "vocab", h->vocab }, { "context", h->context }, { "experts", h->experts },
        { "experts_used", h->experts_used }, { "expert_ffn", h->expert_ffn }, { "shared_ffn", h->shared_ffn },
        { "window", h->window }, { "windowed_layers", blocks_with(h, PL_LAYER_WINDOW) }, { "rope_dim", h->rope_dim },
    };
    char *text = NULL;
    pl_json_writer *w;
    PL_TRY(pl_json_writer_create(&w));
    pl_json_begin_object(w, NULL);
    pl_json_put_text(w, "schema", "planish.inspect/1");
    pl_json_put_text(w, "model", s->path);
    pl_json_put_text(w, "format", s->ops->name);
    if (s->sha256) pl_json_put_text(w, "sha256", s->sha256);
    pl_json_put_text(w, "architecture", m->arch);
    pl_json_put_bool(w, "tied", h->tied);
    pl_json_put_bool(w, "encoder", h->encoder);
    for (int i = 0; i < PL_COUNT(numbers); i++) pl_json_put_int(w, numbers[i].key, numbers[i].value);
    pl_json_put_number(w, "rope_base", (double)h->rope_base);
    pl_json_begin_array(w, "tensors");
    pl_status code = PL_OK;
    for (int i = 0; i < m->tensors && code == PL_OK; i++)
        code = tensor_json(&m->tensor[m->entry[i].tensor], w);
    if (code == PL_OK) code = pl_json_finish(w, &text);
    if (code == PL_OK) code = pl_ui_json(text, "-");
    pl_free(text);
    pl_json_writer_destroy(w);
    return code;
}

static pl_status run(int argc, const char **argv)
{
    bool help, as_json = false, verify = false;
    int32_t threads = 0;
    const char *path;
    pl_open_options how = { .how = PL_OPEN_WINDOWS };
    const pl_opt opts[] = {
        { "pre", 0, PL_OPT_TEXT, &how.pre, "NAME", "pre-tokenizer of the vocabulary, if its files do not tell", 0, 0, NULL },
        { "json", 0, PL_OPT_FLAG, &as_json, NULL, "print JSON", 0, 0, NULL },
        { "verify", 0, PL_OPT_FLAG, &verify, NULL, "read all data and check it", 0, 0, NULL },
        { "threads", 'j', PL_OPT_INT, &threads, "N", "threads of --verify (default: one per processor)", 1, PL_MAX_THREADS, NULL },
    };
    PL_TRY(pl_opts_parse(argc, argv, &usage, opts, PL_COUNT(opts), &path, &help));
    if (help) return PL_OK;
    if (verify) return pl_inspect_verify(path, &how, threads, as_json);
    pl_source *source;
    PL_TRY(pl_wire_open(path, &how, &source));
    pl_status code = as_json ? print_json(source) : print_text(source);
    pl_source_close(source);
    return code;
}

const pl_command pl_cmd_inspect = { "inspect", "show what a model is and how its tensors are stored", run };
