/* pack_text.c: the index of a pack as JSON. */
#include "core/json.h"
#include "formats/pack.h"

static void put_blob(pl_json_writer *w, const pl_pack_blob *b)
{
    pl_json_put_int(w, "bytes", b->bytes);
    pl_json_put_int(w, "frame", b->frame);
    pl_json_put_int(w, "first", b->first);
}

static void put_type(pl_json_writer *w, const pl_type *t)
{
    pl_json_begin_object(w, "type");
    pl_json_put_text(w, "scheme", t->scheme->name);
    if (t->element) pl_json_put_text(w, "element", t->element->name);
    if (t->scale) pl_json_put_text(w, "scale", t->scale->name);
    if (t->bits) pl_json_put_int(w, "bits", t->bits);
    if (t->group) pl_json_put_int(w, "group", t->group);
    if (t->group_rows) pl_json_put_int(w, "group_rows", t->group_rows);
    if (t->symmetric) pl_json_put_bool(w, "symmetric", true);
    if (t->global) pl_json_put_bool(w, "global", true);
    pl_json_end(w);
}

/* Where each element is stored: docs/pack-format.md. */
static void put_layout(pl_json_writer *w, const pl_arrangement *a)
{
    char text[PL_LAYOUT_TEXT];
    pl_json_begin_object(w, "layout");
    pl_json_put_text(w, "name", a->name);
    pl_json_put_int(w, "unit", a->unit);
    pl_json_begin_array(w, "fields");
    for (int i = 0; i < a->fields; i++) {
        const pl_field *f = &a->field[i];
        pl_json_begin_object(w, NULL);
        pl_json_put_int(w, "bits", f->bits);
        if (f->from) pl_json_put_int(w, "from", f->from);
        if (f->flip) pl_json_put_int(w, "flip", f->flip);
        pl_json_put_text(w, "order", pl_layout_print(&f->order, text));
        pl_json_end(w);
    }
    pl_json_end(w);
    pl_json_end(w);
}

static void put_tensor(pl_json_writer *w, const pl_pack_tensor *t)
{
    const pl_packed *p = &t->shape;
    pl_json_begin_object(w, NULL);
    pl_json_put_text(w, "name", t->name);
    pl_json_put_text(w, "role", pl_role_name(t->id.role));
    if (t->id.layer >= 0) pl_json_put_int(w, "layer", t->id.layer);
    if (t->id.expert >= 0) pl_json_put_int(w, "expert", t->id.expert);
    pl_json_put_int(w, "segment", t->segment);
    pl_json_put_int(w, "rows", p->rows);
    pl_json_put_int(w, "cols", p->cols);
    put_type(w, &p->type);
    pl_json_begin_array(w, "parts");
    for (int i = 0; i < p->nparts; i++) {
        pl_json_begin_object(w, NULL);
        pl_json_put_text(w, "role", pl_part_name(p->part[i].role));
        pl_json_put_text(w, "dtype", p->part[i].dtype->name);
        put_blob(w, &t->part[i]);
        if (t->layout[i]) put_layout(w, t->layout[i]);
        pl_json_end(w);
    }
    pl_json_end(w);
    pl_json_end(w);
}

static void put_model(pl_json_writer *w, const pl_model *model)
{
    pl_json_begin_object(w, "model");
    pl_json_put_text(w, "architecture", model->arch);
    pl_json_put_text(w, "name", model->name);
    pl_json_put_int(w, "parameters", model->parameters);
    pl_json_end(w);
}

/* What decided the bytes: the digests of the input, of the plan (types, methods, order) and of statistics. */
static pl_status put_provenance(pl_json_writer *w, const pl_plan *plan, pl_digest input)
{
    char digest[40];
    pl_digest stats;
    if (plan->stats) PL_TRY(pl_hash_file(plan->stats->path, &stats));
    pl_json_begin_object(w, "provenance");
    pl_json_put_text(w, "input", pl_digest_text(input, digest));
    pl_json_put_text(w, "plan", pl_digest_text(plan->digest, digest));
    pl_json_put_text(w, "type", plan->mix ? pl_mix_name(plan->mix) : pl_type_name(&plan->type));
    if (plan->stats) pl_json_put_text(w, "statistics", pl_digest_text(stats, digest));
    pl_json_end(w);
    return PL_OK;
}

pl_status pl_pack_text(const pl_pack *pack, const pl_plan *plan, const pl_model *model, pl_digest input, char **text)
{
    pl_json_writer *w;
    *text = NULL;
    PL_TRY(pl_json_writer_create(&w));
    pl_json_begin_object(w, NULL);
    pl_json_put_text(w, "format", "planish-pack");
    pl_json_put_int(w, "version", PL_PACK_VERSION);
    pl_json_begin_array(w, "required");
    if (pack->zstd) pl_json_put_text(w, NULL, "zstd");
    if (pack->arranged) pl_json_put_text(w, NULL, "layout");
    pl_json_end(w);
    pl_json_put_text(w, "writer", "planish " PL_VERSION);
    put_model(w, model);
    pl_status code = put_provenance(w, plan, input);
    pl_json_begin_array(w, "segments");
    for (int i = 0; i < pack->segments; i++) {
        pl_json_begin_object(w, NULL);
        pl_json_put_text(w, "name", pack->segment[i].name);
        pl_json_put_int(w, "first", pack->segment[i].first);
        pl_json_put_int(w, "frames", pack->segment[i].frames);
        pl_json_end(w);
    }
    pl_json_end(w);
    pl_json_begin_array(w, "files");
    for (int i = 0; i < pack->files; i++) {
        pl_json_begin_object(w, NULL);
        pl_json_put_text(w, "name", pack->file[i].name);
        put_blob(w, &pack->file[i].blob);
        pl_json_end(w);
    }
    pl_json_end(w);
    pl_json_begin_array(w, "tensors");
    for (int i = 0; i < pack->tensors; i++) put_tensor(w, &pack->tensor[i]);
    if (code == PL_OK) code = pl_json_finish(w, text);
    pl_json_writer_destroy(w);
    return code;
}
