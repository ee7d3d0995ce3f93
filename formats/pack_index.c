/* pack_index.c: the tail, the index and the table of a pack, read and checked: whatever a structure says afterwards
 * holds. */
#include <string.h>

#include "core/json.h"
#include "formats/pack.h"

typedef struct reader {
    pl_file *file;
    const char *path;
    pl_arena *arena;
    pl_pack *pack;
    int64_t next;               /* frame that follows the blobs so far */
    pl_arrangements layouts;
} reader;

/* At either end: where one of them is damaged, it is a damaged pack. */
pl_status pl_pack_is(pl_file *file, bool *is)
{
    uint8_t magic[8];
    int64_t size = pl_file_size(file);
    PL_TRY(pl_file_read(file, 0, magic, 8));
    *is = !memcmp(magic, pl_pack_magic, 8);
    if (*is || size < PL_PACK_PAGE + PL_PACK_TAIL) return PL_OK;
    PL_TRY(pl_file_read(file, size - PL_PACK_TAIL, magic, 8));
    *is = !memcmp(magic, pl_pack_tail_magic, 8);
    return PL_OK;
}

/* ---- the tail ---- */

static pl_status read_tail(reader *r, uint8_t tail[PL_PACK_TAIL])
{
    pl_pack *pack = r->pack;
    int64_t size = pl_file_size(r->file);
    if (size < PL_PACK_PAGE + PL_PACK_TAIL)
        return pl_fail(PL_E_INPUT, "%s: %lld bytes are too few for a pack; was it cut off?", r->path, (long long)size);
    PL_TRY(pl_file_read(r->file, size - PL_PACK_TAIL, tail, PL_PACK_TAIL));
    if (!memcmp(tail, pl_pack_share_magic, 8))
        return pl_fail(PL_E_INPUT, "%s: is a share of a conversion; 'planish merge' makes the pack of all of them",
                       r->path);
    if (memcmp(tail, pl_pack_tail_magic, 8))
        return pl_fail(PL_E_INPUT, "%s: segment 'tail' is damaged or missing; was the file cut off?", r->path);
    if (!pl_pack_take_tail(tail, size, pack))
        return pl_fail(PL_E_INPUT, "%s: segment 'tail' is damaged: its places do not fit a file of %lld bytes", r->path,
                       (long long)size);
    return PL_OK;
}

/* Head, index, table and tail as one SHA-256; then the first version of all there is to know. */
static pl_status check_sha(reader *r, const uint8_t *index, size_t len, const uint8_t tail[PL_PACK_TAIL])
{
    uint8_t head[PL_PACK_HEAD], expected[PL_PACK_HEAD];
    pl_sha256 found;
    pl_sha *sha;
    PL_TRY(pl_file_read(r->file, 0, head, sizeof head));
    PL_TRY(pl_sha_create(&sha));
    pl_sha_update(sha, head, sizeof head);
    pl_sha_update(sha, index, len);
    pl_sha_update(sha, tail, PL_PACK_TAIL - 32);
    pl_status code = pl_sha_finish(sha, &found);
    pl_sha_destroy(sha);
    PL_TRY(code);
    pl_pack_put_head(expected);
    if (memcmp(head, expected, 8)) return pl_fail(PL_E_INPUT, "%s: segment 'file head' is damaged", r->path);
    uint32_t version = head[8] | head[9] << 8 | head[10] << 16 | (uint32_t)head[11] << 24;
    bool same = !memcmp(&found, &r->pack->sha, sizeof found);
    if (same && version != PL_PACK_VERSION)
        return pl_fail(PL_E_INPUT, "%s: a pack of version %u; planish reads version %d", r->path, version,
                       PL_PACK_VERSION);
    if (same && !memcmp(head, expected, sizeof head)) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: segment 'index' is damaged: another SHA-256", r->path);
}

/* ---- members ---- */

static pl_status wrong(const reader *r, const char *what, const char *name)
{
    return pl_fail(PL_E_INPUT, "%s: the index: %s of '%.100s'", r->path, what, name);
}

static pl_status read_name(const reader *r, const pl_json *node, const char *key, const char **out)
{
    const char *text;
    PL_TRY(pl_json_string(node, key, true, r->path, &text));
    size_t len = strlen(text);
    if (len == 0 || len > PL_MAX_NAME) return pl_fail(PL_E_INPUT, "%s: the index: '%s' of %zu bytes", r->path, key,
                                                      len);
    *out = pl_arena_text(r->arena, text, len);
    return *out ? PL_OK : PL_E_MEMORY;
}

/* The next blob: frames follow each other, and their contents add up. */
static pl_status read_blob(reader *r, const pl_json *node, const char *name, pl_pack_blob *b)
{
    const pl_pack *pack = r->pack;
    PL_TRY(pl_json_int(node, "bytes", true, 0, INT64_MAX, r->path, &b->bytes));
    PL_TRY(pl_json_int(node, "frame", true, 1, PL_PACK_FRAME, r->path, &b->frame));
    PL_TRY(pl_json_int(node, "first", true, 0, PL_PACK_MAX_FRAMES, r->path, &b->first));
    int64_t n = pl_pack_frames_of(b);
    if (b->first != r->next || n > pack->frames - b->first) return wrong(r, "frames", name);
    for (int64_t i = 0; i < n; i++)
        if (pack->frame[b->first + i].content != pl_min64(b->frame, b->bytes - i * b->frame))
            return wrong(r, "another size of frames", name);
    if (n && pack->frame[b->first].at % PL_PACK_ALIGN) return wrong(r, "place", name);
    r->next += n;
    return PL_OK;
}

static pl_status read_dtype(const reader *r, const pl_json *node, const char *key, bool required, const pl_dtype **out)
{
    const char *name = NULL;
    *out = NULL;
    PL_TRY(pl_json_string(node, key, required, r->path, &name));
    if (!name) return PL_OK;
    for (int i = 0; i < PL_DTYPES_ALL && !*out; i++)
        if (!strcmp(pl_dtypes[i].name, name)) *out = &pl_dtypes[i];
    return *out ? PL_OK : pl_fail(PL_E_INPUT, "%s: the index: unknown type '%.60s'", r->path, name);
}

/* What the scheme's own check (pl_packed_init) takes for granted. */
static bool possible(const pl_type *t)
{
    bool floats = t->scale && t->scale->decode && t->scale->block == 1;
    if (t->scheme == &pl_scheme_plain)
        return t->element->decode && !t->scale && !t->bits && !t->group && !t->group_rows && !t->symmetric &&
            !t->global;
    if (t->scheme == &pl_scheme_scaled) return t->element->decode && floats && !t->bits && !t->symmetric;
    return t->element == &pl_dtypes[PL_U32] && floats && !t->group_rows && !t->global;
}

static pl_status read_type(const reader *r, const pl_json *node, pl_type *out)
{
    static const pl_scheme *const schemes[] = {
        &pl_scheme_plain, &pl_scheme_scaled, &pl_scheme_affine, &pl_scheme_ints,
    };
    const char *scheme;
    int64_t bits = 0, group = 0, rows = 0;
    *out = (pl_type){ 0 };
    PL_TRY(pl_json_string(node, "scheme", true, r->path, &scheme));
    for (int i = 0; i < PL_COUNT(schemes); i++)
        if (!strcmp(schemes[i]->name, scheme)) out->scheme = schemes[i];
    if (!out->scheme) return pl_fail(PL_E_INPUT, "%s: the index: unknown scheme '%.60s'", r->path, scheme);
    PL_TRY(read_dtype(r, node, "element", true, &out->element));
    PL_TRY(read_dtype(r, node, "scale", false, &out->scale));
    PL_TRY(pl_json_int(node, "bits", false, 0, 32, r->path, &bits));
    PL_TRY(pl_json_int(node, "group", false, 0, INT32_MAX, r->path, &group));
    PL_TRY(pl_json_int(node, "group_rows", false, 0, INT32_MAX, r->path, &rows));
    PL_TRY(pl_json_bool(node, "symmetric", false, r->path, &out->symmetric));
    PL_TRY(pl_json_bool(node, "global", false, r->path, &out->global));
    out->bits = (int32_t)bits;
    out->group = (int32_t)group;
    out->group_rows = (int32_t)rows;
    if (possible(out)) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: the index: a type of scheme '%s' that cannot be", r->path, scheme);
}

/* The layout of a part that is not as its type has it. */
static pl_status read_layout(reader *r, const pl_json *node, pl_pack_tensor *t, int part)
{
    const pl_json *fields = pl_json_get(node, "fields");
    int64_t bytes = t->part[part].bytes, bits, from, flip;
    pl_arrangement a = { .bytes = bytes };
    if (!node) return PL_OK;
    bool list = pl_json_is(fields, PL_JSON_ARRAY) && pl_json_count(fields) <= PL_FIELDS;
    if (!list || !r->pack->arranged) return wrong(r, "a layout", t->name);
    PL_TRY(pl_json_string(node, "name", true, r->path, &a.name));
    PL_TRY(pl_json_int(node, "unit", true, 1, INT64_MAX, r->path, &a.unit));
    for (node = pl_json_first(fields); node; node = pl_json_next(node)) {
        pl_field *f = &a.field[a.fields++];
        const char *order;
        from = flip = 0;
        PL_TRY(pl_json_int(node, "bits", true, 1, 64, r->path, &bits));
        PL_TRY(pl_json_int(node, "from", false, 0, bytes, r->path, &from));
        PL_TRY(pl_json_int(node, "flip", false, 0, 255, r->path, &flip));
        PL_TRY(pl_json_string(node, "order", true, r->path, &order));
        *f = (pl_field){ .bits = (int)bits, .flip = (int)flip, .from = from };
        pl_status code = pl_layout_parse(order, &f->order);
        if (code != PL_OK) return pl_fail_prefix(code, "%s: tensor '%s': ", r->path, t->name);
    }
    pl_status code = pl_arrangement_keep(&r->layouts, &a, r->arena, &t->layout[part]);
    return code == PL_OK ? PL_OK : pl_fail_prefix(code, "%s: tensor '%s': ", r->path, t->name);
}

/* The parts that the type has, in its order. */
static pl_status read_parts(reader *r, const pl_json *list, pl_pack_tensor *t)
{
    int i = 0;
    if (!pl_json_is(list, PL_JSON_ARRAY) || pl_json_count(list) != t->shape.nparts) return wrong(r, "parts", t->name);
    for (const pl_json *node = pl_json_first(list); node; node = pl_json_next(node), i++) {
        const pl_part *part = &t->shape.part[i];
        const char *role;
        const pl_dtype *dtype;
        PL_TRY(pl_json_string(node, "role", true, r->path, &role));
        PL_TRY(read_dtype(r, node, "dtype", true, &dtype));
        PL_TRY(read_blob(r, node, t->name, &t->part[i]));
        if (pl_part_find(role) != part->role || dtype != part->dtype || t->part[i].bytes != part->bytes)
            return wrong(r, "parts", t->name);
        PL_TRY(read_layout(r, pl_json_get(node, "layout"), t, i));
    }
    return PL_OK;
}

static pl_status read_tensor(reader *r, const pl_json *node, pl_pack_tensor *t)
{
    const char *role;
    int64_t layer = -1, expert = -1, segment, rows, cols;
    pl_type type;
    PL_TRY(read_name(r, node, "name", &t->name));
    PL_TRY(pl_json_string(node, "role", true, r->path, &role));
    PL_TRY(pl_json_int(node, "layer", false, 0, PL_MAX_LAYERS - 1, r->path, &layer));
    PL_TRY(pl_json_int(node, "expert", false, 0, PL_MAX_EXPERTS - 1, r->path, &expert));
    PL_TRY(pl_json_int(node, "segment", true, 0, r->pack->segments - 1, r->path, &segment));
    PL_TRY(pl_json_int(node, "rows", true, 1, INT64_MAX, r->path, &rows));
    PL_TRY(pl_json_int(node, "cols", true, 1, INT64_MAX, r->path, &cols));
    PL_TRY(read_type(r, pl_json_get(node, "type"), &type));
    if (pl_role_find(role) < 0) return wrong(r, "unknown role", t->name);
    t->id = pl_id_make(pl_role_find(role), (int)layer, (int)expert);
    t->segment = (int)segment;
    pl_status code = pl_packed_init(&t->shape, type, rows, cols);
    if (code != PL_OK) return pl_fail_prefix(PL_E_INPUT, "%s: ", r->path);
    int64_t first = r->next;
    PL_TRY(read_parts(r, pl_json_get(node, "parts"), t));
    const pl_pack_segment *s = &r->pack->segment[segment];
    if (first < s->first || r->next > s->first + s->frames) return wrong(r, "another segment", t->name);
    return PL_OK;
}

static pl_status read_segments(reader *r, const pl_json *list)
{
    pl_pack *pack = r->pack;
    int64_t count = pl_json_count(list), next = 0;
    if (count < 1 || count > PL_MAX_TENSORS) return pl_fail(PL_E_INPUT, "%s: the index: %lld segments", r->path,
                                                            (long long)count);
    pack->segment = PL_NEW(r->arena, pl_pack_segment, count);
    if (!pack->segment) return PL_E_MEMORY;
    for (const pl_json *node = pl_json_first(list); node; node = pl_json_next(node)) {
        pl_pack_segment *s = &pack->segment[pack->segments++];
        PL_TRY(read_name(r, node, "name", &s->name));
        PL_TRY(pl_json_int(node, "first", true, next, next, r->path, &s->first));
        PL_TRY(pl_json_int(node, "frames", true, 0, pack->frames - next, r->path, &s->frames));
        if (s->frames && pack->frame[s->first].at % PL_PACK_PAGE) return wrong(r, "place", s->name);
        next += s->frames;
    }
    return next == pack->frames ? PL_OK : pl_fail(PL_E_INPUT, "%s: the index: frames of no segment", r->path);
}

static pl_status read_files(reader *r, const pl_json *list)
{
    pl_pack *pack = r->pack;
    int64_t count = pl_json_count(list), at;
    if (count < 1 || count > PL_PACK_MAX_FILES) return pl_fail(PL_E_INPUT, "%s: the index: %lld files", r->path,
                                                               (long long)count);
    pack->file = PL_NEW(r->arena, pl_pack_file, count);
    if (!pack->file) return PL_E_MEMORY;
    for (const pl_json *node = pl_json_first(list); node; node = pl_json_next(node)) {
        pl_pack_file *f = &pack->file[pack->files++];
        PL_TRY(read_name(r, node, "name", &f->name));
        PL_TRY(read_blob(r, node, f->name, &f->blob));
        if (strchr(f->name, '/') || f->name[0] == '.') return wrong(r, "a file may not have the name", f->name);
        if (!pl_pack_plain(pack, &f->blob, &at)) return wrong(r, "compressed frames", f->name);
        for (const pl_pack_file *other = pack->file; other < f; other++)
            if (!strcmp(other->name, f->name)) return wrong(r, "two files", f->name);
    }
    return PL_OK;
}

static pl_status read_tensors(reader *r, const pl_json *list)
{
    pl_pack *pack = r->pack;
    int64_t count = pl_json_count(list);
    if (count < 1 || count > PL_MAX_TENSORS) return pl_fail(PL_E_INPUT, "%s: the index: %lld tensors", r->path,
                                                            (long long)count);
    pack->tensor = PL_ZNEW(r->arena, pl_pack_tensor, count);
    if (!pack->tensor) return PL_E_MEMORY;
    for (const pl_json *node = pl_json_first(list); node; node = pl_json_next(node))
        PL_TRY(read_tensor(r, node, &pack->tensor[pack->tensors++]));
    return r->next == pack->frames ? PL_OK : pl_fail(PL_E_INPUT, "%s: the index: frames of nothing", r->path);
}

static pl_status read_required(reader *r, const pl_json *list)
{
    if (!pl_json_is(list, PL_JSON_ARRAY))
        return pl_fail(PL_E_INPUT, "%s: the index: 'required' should be a list of names", r->path);
    for (const pl_json *node = pl_json_first(list); node; node = pl_json_next(node)) {
        const char *name = pl_json_text(node);
        bool zstd = name && !strcmp(name, "zstd"), layout = name && !strcmp(name, "layout");
        if (!zstd && !layout)
            return pl_fail(PL_E_INPUT, "%s: needs '%.60s', which this version of planish does not know", r->path,
                           name ? name : "?");
        r->pack->zstd |= zstd;
        r->pack->arranged |= layout;
    }
    return PL_OK;
}

static pl_status read_index(reader *r, const pl_json *root, const uint8_t *table, const char **architecture,
                            const char **name)
{
    pl_pack *pack = r->pack;
    const char *format;
    int64_t version;
    PL_TRY(pl_json_string(root, "format", true, r->path, &format));
    if (strcmp(format, "planish-pack")) return wrong(r, "an index", format);
    PL_TRY(pl_json_int(root, "version", true, PL_PACK_VERSION, PL_PACK_VERSION, r->path, &version));
    PL_TRY(read_required(r, pl_json_get(root, "required")));
    const pl_json *model = pl_json_get(root, "model");
    PL_TRY(read_name(r, model, "architecture", architecture));
    PL_TRY(read_name(r, model, "name", name));
    pack->frame = PL_NEW(r->arena, pl_pack_frame, pack->frames);
    if (!pack->frame) return PL_E_MEMORY;
    PL_TRY(pl_pack_take_table(table, r->path, pack));
    PL_TRY(read_segments(r, pl_json_get(root, "segments")));
    PL_TRY(read_files(r, pl_json_get(root, "files")));
    return read_tensors(r, pl_json_get(root, "tensors"));
}

pl_status pl_pack_open(pl_file *file, pl_arena *arena, pl_pack *out, const char **architecture, const char **name)
{
    *out = (pl_pack){ 0 };
    reader r = { .file = file, .path = pl_file_path(file), .arena = arena, .pack = out };
    uint8_t tail[PL_PACK_TAIL];
    PL_TRY(read_tail(&r, tail));
    int64_t len = out->size - PL_PACK_TAIL - out->index_at;
    uint8_t *bytes = pl_alloc_aligned(len, 1);
    if (!bytes) return PL_E_MEMORY;
    pl_json *root = NULL;
    pl_status code = pl_file_read(file, out->index_at, bytes, (size_t)len);
    if (code == PL_OK) code = check_sha(&r, bytes, (size_t)len, tail);
    if (code == PL_OK) code = pl_json_parse((const char *)bytes, (size_t)out->index_bytes, r.path, &root);
    if (code == PL_OK)
        code = read_index(&r, root, bytes + (out->table_at - out->index_at), architecture, name);
    pl_json_free(root);
    pl_free(bytes);
    return code;
}
