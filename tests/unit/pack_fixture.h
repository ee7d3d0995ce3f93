/* pack_fixture.h: a small pack with matrices of every scheme, written from a fake model; packs put together by hand, whose
 * digests are right whatever they say. */
#ifndef TESTS_UNIT_PACK_FIXTURE_H
#define TESTS_UNIT_PACK_FIXTURE_H

#include "core/convert.h"
#include "core/fs.h"
#include "formats/pack.h"
#include "formats/registry.h"
#include "quantizers/registry.h"
#include "tests/unit/fake_model.h"
#include "tests/unit/run.h"

static const pl_source_ops *const pack_only[] = { &pl_source_pack, NULL };

typedef struct pack_wish {
    int threads, zstd, vocab;   /* 0: 2, none, 40 */
    int64_t range;              /* 0: as the plan has it */
    bool resume;
    const fake_options *model;  /* NULL: a small one */
    const char *type, *layout;  /* of all matrices; NULL: of every kind one, none */
} pack_wish;

/* What each matrix becomes, by its role. */
static inline const char *pack_type_name(int role)
{
    switch (role) {
    case PL_ATTN_Q: return "affine4-g32";
    case PL_ATTN_K: return "int4-g32";
    case PL_ATTN_V: return "uint3-g32";
    case PL_ATTN_O: return "mxfp8";
    case PL_FFN_GATE: return "affine3-g32";
    case PL_FFN_UP: return "fp8";
    case PL_FFN_DOWN: return "nvfp4";
    case PL_OUTPUT: return "bf16";
    default: return "q4_0";
    }
}

/* Everything that a conversion needs; what is there is closed by pack_done. */
typedef struct pack_run {
    pl_source *source;
    pl_sink *sink;
    pl_arena *arena;
    pl_plan *plan;
    pl_pool *pool;
    pl_side side[2];
    char path[2][PATH_MAX];
} pack_run;

static const char pack_config[] = "{\"model_type\": \"llama\"}\n", pack_license[] = "Do as you like with this.";

static inline void pack_ready(pack_run *r, const pack_wish *w)
{
    static const char *const names[] = { "config.json", "LICENSE" }, *const texts[] = { pack_config, pack_license };
    *r = (pack_run){ 0 };
    const fake_options usual = { .layers = 1, .hidden = 32, .ffn = 64, .vocab = w->vocab ? w->vocab : 40, .dtype = PL_BF16,
                                 .seed = 3, .tied = w->vocab > 1000 };
    r->source = fake_model_create(w->model ? w->model : &usual);
    ck_assert_ptr_nonnull(r->source);
    for (int i = 0; i < 2; i++) {
        temp_write(names[i], texts[i], strlen(texts[i]));
        snprintf(r->path[i], PATH_MAX, "%s", temp_path(names[i]));
        r->side[i] = (pl_side){ .name = names[i], .path = r->path[i], .bytes = (int64_t)strlen(texts[i]) };
    }
    r->source->model->side = r->side;
    r->source->model->sides = 2;
}

static inline pl_status pack_write(pack_run *r, const pack_wish *w, const pl_sink_ops *ops, const char *path)
{
    static const pl_registries registries = { pl_methods, pl_grids };
    const pl_model *model = r->source->model;
    pl_type choice[32];
    for (int i = 0; i < model->tensors; i++)
        PL_TRY(pl_type_parse(w->type ? w->type : pack_type_name(model->tensor[i].id.role), &choice[i]));
    pl_recipe recipe = { .type = pl_type_plain(PL_Q4_0), .choice = choice };
    pl_plan_options options = { .threads = w->threads ? w->threads : 2 };
    PL_TRY(pl_arena_create(&r->arena));
    PL_TRY(pl_sink_create(ops, &r->sink));
    r->sink->zstd = w->zstd;
    r->sink->layout = w->layout;
    PL_TRY(pl_plan_create(model, &recipe, r->sink, &registries, &options, r->arena, &r->plan));
    if (w->range) r->plan->range_elements = w->range;
    PL_TRY(pl_pool_create(r->plan->threads, &r->pool));
    pl_convert_options how = { .resume = w->resume, .note_bytes = 1 };
    return pl_convert(r->plan, r->source, r->sink, path, r->pool, &how, NULL);
}

static inline void pack_done(pack_run *r)
{
    pl_pool_destroy(r->pool);
    pl_sink_close(r->sink);
    pl_arena_destroy(r->arena);
    pl_source_close(r->source);
}

/* The whole conversion. */
static inline pl_status pack_convert(const pack_wish *w, const pl_sink_ops *ops, const char *name)
{
    pack_run r;
    pack_ready(&r, w);
    pl_status code = pack_write(&r, w, ops, temp_path(name));
    pack_done(&r);
    return code;
}

/* Opens it as the commands do, and reads every byte that has a digest. */
static inline pl_status pack_verify_file(const char *path, pl_open_how how)
{
    pl_source *s;
    pl_arena *scratch;
    PL_TRY(pl_source_open(pl_sources, path, &(pl_open_options){ .how = how }, &s));
    pl_status code = pl_arena_create(&scratch);
    if (code == PL_OK) code = s->ops->verify(s, scratch);
    pl_arena_destroy(scratch);
    pl_source_close(s);
    return code;
}

/* ---- by hand ---- */

/* A pack in pieces. */
typedef struct pack_pieces {
    uint8_t *body;              /* the file up to the index */
    char *text;                 /* the index */
    uint8_t *table;
    int64_t body_bytes, frames;
} pack_pieces;

static inline int64_t pack_u64(const uint8_t *from)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | from[i];
    return (int64_t)value;
}

static inline void pack_take_apart(const char *path, pack_pieces *p)
{
    char *bytes;
    size_t len;
    assert_ok(pl_file_load(path, 1 << 24, &bytes, &len));
    const uint8_t *tail = (uint8_t *)bytes + len - PL_PACK_TAIL;
    int64_t at = pack_u64(tail + 8), text = pack_u64(tail + 16), table = pack_u64(tail + 24);
    *p = (pack_pieces){ .body_bytes = at, .frames = pack_u64(tail + 32) };
    p->body = pl_alloc(at, 1);
    p->text = pl_alloc(text + 1, 1);
    p->table = pl_alloc(p->frames, PL_PACK_ENTRY);
    ck_assert(p->body && p->text && p->table);
    memcpy(p->body, bytes, (size_t)at);
    memcpy(p->text, bytes + at, (size_t)text);
    memcpy(p->table, bytes + table, (size_t)p->frames * PL_PACK_ENTRY);
    pl_free(bytes);
}

static inline void pack_free_pieces(pack_pieces *p)
{
    pl_free(p->body);
    pl_free(p->text);
    pl_free(p->table);
}

/* The file of these pieces; its SHA-256 is right. */
static inline void pack_put_together(const pack_pieces *p, const char *name)
{
    uint8_t tail[PL_PACK_TAIL];
    int64_t text = (int64_t)strlen(p->text);
    pl_pack pack = { .index_at = p->body_bytes, .index_bytes = text, .frames = p->frames };
    pack.table_at = (pack.index_at + text + PL_PACK_ALIGN - 1) / PL_PACK_ALIGN * PL_PACK_ALIGN;
    pack.size = pack.table_at + p->frames * PL_PACK_ENTRY + PL_PACK_TAIL;
    assert_ok(pl_pack_put_tail(&pack, p->text, p->table, tail));
    uint8_t *file = pl_alloc(pack.size, 1);
    ck_assert_ptr_nonnull(file);
    memcpy(file, p->body, (size_t)p->body_bytes);
    memcpy(file + pack.index_at, p->text, (size_t)text);
    memcpy(file + pack.table_at, p->table, (size_t)p->frames * PL_PACK_ENTRY);
    memcpy(file + pack.size - PL_PACK_TAIL, tail, sizeof tail);
    temp_write(name, file, (size_t)pack.size);
    pl_free(file);
}

#endif
