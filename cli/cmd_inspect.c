/* cmd_inspect.c: planish inspect. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/opts.h"

static const pl_usage usage = {
    .command = "inspect",
    .arguments = "MODEL [--json]",
    .summary = "Shows what a model is: architecture, sizes, vocabulary, and each tensor's role, shape,\n"
               "storage type, bytes and bits per weight.",
    .example = "  planish inspect calib-data/stories260k",
    .positional = 1,
};

static const char *vocab_name(const pl_vocab *v)
{
    if (!v) return "none";
    return v->kind == PL_VOCAB_BPE ? "byte-level BPE" : "SentencePiece-style BPE";
}

static pl_status print_tensors(const pl_model *m)
{
    pl_table *table;
    PL_TRY(pl_table_create(7, (bool[]){ false, false, true, true, false, true, true }, &table));
    pl_status code = pl_table_row(table, (const char *[]){ "tensor", "role", "layer", "shape", "type",
                                                           "bytes", "bits/weight" });
    for (int i = 0; i < m->tensors && code == PL_OK; i++) {
        const pl_tensor *t = &m->tensor[m->entry[i].tensor];
        int64_t bytes;
        code = pl_tensor_bytes(t, &bytes);
        if (code != PL_OK) break;
        char layer[16] = "", shape[48], size[32], bits[16];
        if (t->id.layer >= 0) snprintf(layer, sizeof layer, "%d", t->id.layer);
        pl_ui_shape(t->rows, t->cols, shape);
        pl_ui_count(bytes, size);
        snprintf(bits, sizeof bits, "%.3g", 8.0 * (double)bytes / ((double)t->rows * (double)t->cols));
        code = pl_table_row(table, (const char *[]){ t->name, pl_role_name(t->id.role), layer, shape,
                                                     pl_type_name(&t->type), size, bits });
    }
    if (code == PL_OK) pl_table_print(table);
    pl_table_destroy(table);
    return code;
}

static pl_status print_text(const pl_source *s)
{
    const pl_model *m = s->model;
    const pl_hparams *h = &m->hp;
    char parameters[32], context[32];
    pl_ui_print("model:        %s (%s)\n", m->name, s->ops->name);
    pl_ui_print("architecture: %s, %d blocks, hidden %d, %d heads of %d (%d key/value), ffn %d%s\n", m->arch,
                h->layers, h->hidden, h->heads, h->head_dim, h->kv_heads, h->ffn,
                h->tied ? ", output tied to the token table" : "");
    pl_ui_print("parameters:   %s, mostly %s\n", pl_ui_count(m->parameters, parameters), m->file_type);
    pl_ui_print("context:      %s, rotary base %g\n", pl_ui_count(h->context, context), h->rope_base);
    pl_ui_print("vocabulary:   %s", vocab_name(m->vocab));
    if (m->vocab)
        pl_ui_print(", %d tokens, pre-tokenizer %s, BOS %sadded", m->vocab->count,
                    m->vocab->pre ? m->vocab->pre : "none", m->vocab->add_bos ? "" : "not ");
    pl_ui_print("\n\n");
    return print_tensors(m);
}

static pl_status fill_json(const pl_source *s, pl_json *json)
{
    const pl_model *m = s->model;
    const pl_hparams *h = &m->hp;
    const struct { const char *key; double value; } numbers[] = {
        { "parameters", (double)m->parameters }, { "layers", h->layers }, { "hidden", h->hidden },
        { "heads", h->heads }, { "kv_heads", h->kv_heads }, { "head_dim", h->head_dim }, { "ffn", h->ffn },
        { "vocab", h->vocab }, { "context", h->context }, { "rope_base", (double)h->rope_base },
    };
    bool ok = cJSON_AddStringToObject(json, "schema", "planish.inspect/1") &&
              cJSON_AddStringToObject(json, "model", s->path) &&
              cJSON_AddStringToObject(json, "format", s->ops->name) &&
              cJSON_AddStringToObject(json, "architecture", m->arch) &&
              cJSON_AddBoolToObject(json, "tied", h->tied);
    for (int i = 0; i < PL_COUNT(numbers) && ok; i++)
        ok = cJSON_AddNumberToObject(json, numbers[i].key, numbers[i].value);
    pl_json *list = ok ? cJSON_AddArrayToObject(json, "tensors") : NULL;
    ok = list != NULL;
    for (int i = 0; i < m->tensors && ok; i++) {
        const pl_tensor *t = &m->tensor[m->entry[i].tensor];
        pl_json *o = cJSON_CreateObject();
        int64_t bytes;
        ok = o && cJSON_AddItemToArray(list, o);
        if (!ok) break;
        PL_TRY(pl_tensor_bytes(t, &bytes));
        pl_json *shape = cJSON_AddArrayToObject(o, "shape");
        ok = shape && cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->rows)) &&
             (!(t->flags & PL_TENSOR_MATRIX) ||
              cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->cols))) &&
             cJSON_AddStringToObject(o, "name", t->name) &&
             cJSON_AddStringToObject(o, "role", pl_role_name(t->id.role)) &&
             cJSON_AddNumberToObject(o, "layer", t->id.layer) &&
             cJSON_AddStringToObject(o, "type", pl_type_name(&t->type)) &&
             cJSON_AddNumberToObject(o, "bytes", (double)bytes) &&
             cJSON_AddNumberToObject(o, "bpw", 8.0 * (double)bytes / ((double)t->rows * (double)t->cols));
    }
    return ok ? PL_OK : pl_fail(PL_E_MEMORY, "out of memory");
}

static pl_status run(int argc, const char **argv)
{
    bool help, as_json = false;
    const char *path;
    const pl_opt opts[] = {
        { "json", 0, PL_OPT_FLAG, &as_json, NULL, "print JSON", 0, 0, NULL },
    };
    PL_TRY(pl_opts_parse(argc, argv, &usage, opts, PL_COUNT(opts), &path, &help));
    if (help) return PL_OK;
    pl_source *source;
    PL_TRY(pl_wire_open(path, PL_OPEN_WINDOWS, &source));
    pl_status code;
    if (as_json) {
        pl_json *json = cJSON_CreateObject();
        code = json ? fill_json(source, json) : pl_fail(PL_E_MEMORY, "out of memory");
        if (code == PL_OK) code = pl_ui_json(json, "-");
        pl_json_free(json);
    } else {
        code = print_text(source);
    }
    pl_source_close(source);
    return code;
}

const pl_command pl_cmd_inspect = { "inspect", "show what a model is and how its tensors are stored", run };
