/* safetensors.c: headers of safetensors files and of sets of shards, checked completely. */
#include "formats/safetensors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "core/json.h"
#include "core/log.h"

/* Every type the format knows, with its size in bits: what we cannot use as a weight may still lie
 * in a file. */
static const struct { const char *name; int bits; } dtypes[] = {
    { "BOOL", 8 },        { "F4", 4 },      { "F6_E2M3", 6 },     { "F6_E3M2", 6 },
    { "U8", 8 },          { "I8", 8 },      { "F8_E5M2", 8 },     { "F8_E4M3", 8 },
    { "F8_E8M0", 8 },     { "F8_E4M3FNUZ", 8 }, { "F8_E5M2FNUZ", 8 }, { "I16", 16 },
    { "U16", 16 },        { "F16", 16 },    { "BF16", 16 },       { "I32", 32 },
    { "U32", 32 },        { "F32", 32 },    { "C64", 64 },        { "F64", 64 },
    { "I64", 64 },        { "U64", 64 },
};

/* ---- one file ---- */

/* dtype of an entry, its name in *name and its size in *bits. */
static pl_status read_dtype(const pl_json *entry, const char *what, const char **name, int *bits)
{
    const char *found;
    PL_TRY(pl_json_string(entry, "dtype", true, what, &found));
    for (int i = 0; i < PL_COUNT(dtypes); i++) {
        if (strcmp(dtypes[i].name, found)) continue;
        *name = dtypes[i].name;
        *bits = dtypes[i].bits;
        return PL_OK;
    }
    return pl_fail(PL_E_INPUT, "%s: unknown dtype '%.40s'", what, found);
}

/* shape of an entry into t, number of elements into *elements. */
static pl_status read_shape(const pl_json *entry, const char *what, pl_arena *arena,
                            pl_st_tensor *t, int64_t *elements)
{
    const pl_json *shape = pl_json_get(entry, "shape");
    if (!pl_json_is(shape, PL_JSON_ARRAY)) return pl_fail(PL_E_INPUT, "%s: 'shape' should be an array", what);
    int64_t dim[PL_MAX_DIMS];
    *elements = 1;
    for (const pl_json *node = pl_json_first(shape); node; node = pl_json_next(node)) {
        if (t->dims == PL_MAX_DIMS)
            return pl_fail(PL_E_INPUT, "%s: more than %d dimensions (PL_MAX_DIMS)", what,
                           PL_MAX_DIMS);
        PL_TRY(pl_json_as_int(node, 0, INT64_C(1) << 53, what, "a dimension", &dim[t->dims]));
        if (!pl_mul_ok(*elements, dim[t->dims], elements))
            return pl_fail(PL_E_INPUT, "%s: the product of its dimensions overflows", what);
        t->dims++;
    }
    int64_t *copy = PL_NEW(arena, int64_t, t->dims);
    if (!copy) return PL_E_MEMORY;
    memcpy(copy, dim, (size_t)t->dims * sizeof *dim);
    t->shape = copy;
    return PL_OK;
}

/* data_offsets of an entry into t, relative to the data; `room`: bytes of data in the file. */
static pl_status read_range(const pl_json *entry, const char *what, int64_t room, pl_st_tensor *t)
{
    const pl_json *pair = pl_json_get(entry, "data_offsets");
    if (!pl_json_is(pair, PL_JSON_ARRAY) || pl_json_count(pair) != 2)
        return pl_fail(PL_E_INPUT, "%s: 'data_offsets' should be an array of two numbers", what);
    int64_t begin, end, limit = INT64_C(1) << 53;
    PL_TRY(pl_json_as_int(pl_json_first(pair), 0, limit, what, "the begin offset", &begin));
    PL_TRY(pl_json_as_int(pl_json_next(pl_json_first(pair)), 0, limit, what, "the end offset", &end));
    if (begin > end)
        return pl_fail(PL_E_INPUT, "%s: its data begins at %lld and ends at %lld", what,
                       (long long)begin, (long long)end);
    if (end > room)
        return pl_fail(PL_E_INPUT, "%s: its data ends at byte %lld, the file has %lld bytes of data",
                       what, (long long)end, (long long)room);
    t->offset = begin;
    t->bytes = end - begin;
    return PL_OK;
}

static pl_status read_entry(const pl_json *entry, int64_t room, pl_arena *arena, pl_st_tensor *t)
{
    const char *name = pl_json_key(entry);
    size_t len = strlen(name);
    if (len == 0 || len > PL_MAX_NAME)
        return pl_fail(PL_E_INPUT, "tensor name '%.40s%s' has %zu bytes, 1 to %d are allowed "
                       "(PL_MAX_NAME)", name, len > 40 ? "..." : "", len, PL_MAX_NAME);
    t->name = pl_arena_text(arena, name, len);
    if (!t->name) return PL_E_MEMORY;
    char what[PL_MAX_NAME + 16];
    snprintf(what, sizeof what, "tensor '%s'", t->name);
    if (!pl_json_is(entry, PL_JSON_OBJECT)) return pl_fail(PL_E_INPUT, "%s should be an object", what);
    int bits = 0;
    int64_t elements = 0, total;
    PL_TRY(read_dtype(entry, what, &t->dtype, &bits));
    PL_TRY(read_range(entry, what, room, t));
    PL_TRY(read_shape(entry, what, arena, t, &elements));
    if (!pl_mul_ok(elements, bits, &total))
        return pl_fail(PL_E_INPUT, "%s: %lld elements of %s overflow", what, (long long)elements,
                       t->dtype);
    if (total % 8 || total / 8 != t->bytes)
        return pl_fail(PL_E_INPUT, "%s: %lld elements of %s take %lld%s bytes, its offsets say %lld",
                       what, (long long)elements, t->dtype, (long long)(total / 8),
                       total % 8 ? " and a part of" : "", (long long)t->bytes);
    return PL_OK;
}

static pl_status check_metadata(const pl_json *node, const char *path)
{
    if (!pl_json_is(node, PL_JSON_OBJECT))
        return pl_fail(PL_E_INPUT, "%s: '__metadata__' should be an object", path);
    for (const pl_json *value = pl_json_first(node); value; value = pl_json_next(value))
        if (!pl_json_is(value, PL_JSON_STRING))
            return pl_fail(PL_E_INPUT, "%s: '%.40s' in '__metadata__' should be a string", path,
                           pl_json_key(value));
    return PL_OK;
}

static int compare_offsets(const void *a, const void *b)
{
    const pl_st_tensor *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int compare_names(const void *a, const void *b)
{
    const pl_st_tensor *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->file > y->file) - (x->file < y->file);
}

/* The tensors must tile the data: no hole, no overlap, nothing behind the last. */
static pl_status check_tiling(pl_st_tensor *t, int count, int64_t room, const char *path)
{
    if (count) qsort(t, (size_t)count, sizeof *t, compare_offsets);
    int64_t at = 0;
    for (int i = 0; i < count; i++) {
        if (t[i].offset != at)
            return pl_fail(PL_E_INPUT, "%s: tensor '%s' begins at byte %lld of the data, expected at "
                           "%lld", path, t[i].name, (long long)t[i].offset, (long long)at);
        at += t[i].bytes;
    }
    if (at != room)
        return pl_fail(PL_E_INPUT, "%s: its tensors take %lld bytes, the file has %lld bytes of data",
                       path, (long long)at, (long long)room);
    return PL_OK;
}

/* Adds the tensors of a parsed header to the set; *room: how many the list can take. */
static pl_status take_header(const pl_json *header, int file, int64_t start, pl_arena *arena,
                             pl_st_set *set, int *room)
{
    const char *path = pl_file_path(set->file[file]);
    int64_t data = pl_file_size(set->file[file]) - start;
    int first = set->tensors;
    for (const pl_json *entry = pl_json_first(header); entry; entry = pl_json_next(entry)) {
        if (!strcmp(pl_json_key(entry), "__metadata__")) {
            PL_TRY(check_metadata(entry, path));
            continue;
        }
        if (set->tensors == PL_MAX_TENSORS)
            return pl_fail(PL_E_INPUT, "%s: more than %d tensors (PL_MAX_TENSORS)", path,
                           PL_MAX_TENSORS);
        if (set->tensors == *room) {
            *room = *room ? 2 * *room : 64;
            pl_st_tensor *more = pl_realloc(set->tensor, *room, sizeof *more);
            if (!more) return PL_E_MEMORY;
            set->tensor = more;
        }
        pl_st_tensor *t = &set->tensor[set->tensors++];
        *t = (pl_st_tensor){ .file = file };
        pl_status code = read_entry(entry, data, arena, t);
        if (code != PL_OK) return pl_fail_prefix(code, "%s: ", path);
    }
    int count = set->tensors - first;
    PL_TRY(check_tiling(count ? set->tensor + first : NULL, count, data, path));
    for (int i = first; i < set->tensors; i++) set->tensor[i].offset += start;
    return PL_OK;
}

/* Opens set->file[file] and adds its tensors. */
static pl_status add_file(const char *path, int file, pl_arena *arena, pl_st_set *set, int *room)
{
    PL_TRY(pl_file_open(path, &set->file[file]));
    pl_file *f = set->file[file];
    uint64_t len;
    uint8_t raw[8];
    if (pl_file_size(f) < 8)
        return pl_fail(PL_E_INPUT, "%s: %lld bytes are too few for a safetensors file", path,
                       (long long)pl_file_size(f));
    PL_TRY(pl_file_read(f, 0, raw, 8));
    len = 0;
    for (int i = 7; i >= 0; i--) len = len << 8 | raw[i];
    if (len > PL_MAX_ST_HEADER)
        return pl_fail(PL_E_INPUT, "%s: a header of %llu bytes, at most %d are allowed "
                       "(PL_MAX_ST_HEADER)", path, (unsigned long long)len, PL_MAX_ST_HEADER);
    if ((int64_t)len > pl_file_size(f) - 8)
        return pl_fail(PL_E_INPUT, "%s: a header of %llu bytes, the file has %lld behind its length",
                       path, (unsigned long long)len, (long long)pl_file_size(f) - 8);
    char *text = pl_alloc((int64_t)len + 1, 1);
    if (!text) return PL_E_MEMORY;
    pl_json *header = NULL;
    pl_status code = pl_file_read(f, 8, text, len);
    if (code == PL_OK && text[0] != '{')
        code = pl_fail(PL_E_INPUT, "%s: the header should begin with '{'", path);
    if (code == PL_OK) code = pl_json_take(text, len, path, &header);
    else pl_free(text);
    if (code == PL_OK) code = take_header(header, file, (int64_t)len + 8, arena, set, room);
    pl_json_free(header);
    return code;
}

/* ---- sets ---- */

/* In order of names; a name that stands twice is in two files. */
static pl_status sort_set(pl_st_set *set)
{
    if (set->tensors) qsort(set->tensor, (size_t)set->tensors, sizeof *set->tensor, compare_names);
    for (int i = 1; i < set->tensors; i++) {
        const pl_st_tensor *a = &set->tensor[i - 1], *b = &set->tensor[i];
        if (!strcmp(a->name, b->name))
            return pl_fail(PL_E_INPUT, "tensor '%s' is in %s and in %s", a->name,
                           pl_file_path(set->file[a->file]), pl_file_path(set->file[b->file]));
    }
    return PL_OK;
}

static pl_status make_room(pl_st_set *set, int files)
{
    set->file = pl_alloc(files, sizeof *set->file);
    if (!set->file) return PL_E_MEMORY;
    set->files = files;
    return PL_OK;
}

pl_status pl_st_open_file(const char *path, pl_arena *arena, pl_st_set *out)
{
    int room = 0;
    *out = (pl_st_set){ 0 };
    PL_TRY(make_room(out, 1));
    PL_TRY(add_file(path, 0, arena, out, &room));
    return sort_set(out);
}

void pl_st_close(pl_st_set *set)
{
    for (int i = 0; i < set->files; i++) pl_file_close(set->file[i]);
    pl_free(set->file);
    pl_free(set->tensor);
    *set = (pl_st_set){ 0 };
}

const pl_st_tensor *pl_st_find(const pl_st_set *set, const char *name, size_t len)
{
    int low = 0, high = set->tensors;
    while (low < high) {
        int middle = low + (high - low) / 2;
        const pl_st_tensor *t = &set->tensor[middle];
        int order = strncmp(t->name, name, len);
        if (!order && !t->name[len]) return t;
        if (order < 0) low = middle + 1;
        else high = middle;         /* also a longer name that begins so */
    }
    return NULL;
}

pl_status pl_st_check_link(const char *folder, const char *path)
{
    char home[PATH_MAX], real[PATH_MAX];
    struct stat st;
    if (lstat(path, &st) == 0 && !S_ISLNK(st.st_mode)) return PL_OK;
    if (!realpath(folder, home) || !realpath(path, real))
        return pl_fail(errno == ENOENT ? PL_E_INPUT : PL_E_IO, "cannot follow the link '%s': %s", path,
                       strerror(errno));
    size_t len = strlen(home);
    if (!strncmp(real, home, len) && (real[len] == '/' || !strcmp(home, "/"))) return PL_OK;
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(home, '/');
        if (slash) *slash = 0;
    }
    len = strlen(home);
    if (!strncmp(real, home, len) && !strncmp(real + len, "/blobs/", 7)) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: a link out of its folder, to %s", path, real);
}

/* One line of a weight_map. */
typedef struct mapped { const char *tensor, *shard; } mapped;

static int compare_shards(const void *a, const void *b)
{
    return strcmp(((const mapped *)a)->shard, ((const mapped *)b)->shard);
}

static int compare_mapped(const void *a, const void *b)
{
    return strcmp(((const mapped *)a)->tensor, ((const mapped *)b)->tensor);
}

/* A name from an index becomes part of a path: it must name a file in the folder, nothing else. */
static pl_status check_shard_name(const char *name, const char *index)
{
    if (!name[0] || strchr(name, '/') || strchr(name, '\\') || !strcmp(name, ".") ||
        !strcmp(name, "..") || strlen(name) > PL_MAX_NAME)
        return pl_fail(PL_E_INPUT, "%s: '%.80s' is no plain file name for a shard", index, name);
    return PL_OK;
}

/* weight_map as a list sorted by shard. */
static pl_status read_map(const pl_json *json, const char *index, mapped **out, int *count)
{
    const pl_json *map = pl_json_get(json, "weight_map");
    if (!pl_json_is(map, PL_JSON_OBJECT))
        return pl_fail(PL_E_INPUT, "%s: 'weight_map' should be an object", index);
    int64_t n = pl_json_count(map);
    if (n == 0 || n > PL_MAX_TENSORS)
        return pl_fail(PL_E_INPUT, "%s: 'weight_map' lists %lld tensors, 1 to %d are allowed "
                       "(PL_MAX_TENSORS)", index, (long long)n, PL_MAX_TENSORS);
    mapped *list = *out = pl_alloc(n, sizeof *list);
    if (!list) return PL_E_MEMORY;
    for (const pl_json *node = pl_json_first(map); node; node = pl_json_next(node)) {
        if (!pl_json_is(node, PL_JSON_STRING))
            return pl_fail(PL_E_INPUT, "%s: the shard of '%.80s' should be a string", index,
                           pl_json_key(node));
        PL_TRY(check_shard_name(pl_json_text(node), index));
        list[(*count)++] = (mapped){ pl_json_key(node), pl_json_text(node) };
    }
    qsort(list, (size_t)n, sizeof *list, compare_shards);
    return PL_OK;
}

/* All shards stay open, so that none can be exchanged between the check and the reading: asks the
 * system for as many open files as it may allow. If that is not enough, opening one will say so. */
static void allow_open_files(int files)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)files + 256;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted) return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static pl_status open_shards(const char *folder, const char *index, const mapped *list, int count,
                             pl_arena *arena, pl_st_set *set)
{
    int files = 1, room = 0;
    for (int i = 1; i < count; i++) files += strcmp(list[i - 1].shard, list[i].shard) != 0;
    if (files > PL_MAX_SHARDS)
        return pl_fail(PL_E_INPUT, "%s: %d shards, at most %d are allowed (PL_MAX_SHARDS)", index,
                       files, PL_MAX_SHARDS);
    allow_open_files(files);
    PL_TRY(make_room(set, files));
    for (int i = 0, file = 0; i < count; i++) {
        if (i && !strcmp(list[i - 1].shard, list[i].shard)) continue;
        char path[PATH_MAX];
        PL_TRY(pl_path_join(path, sizeof path, folder, list[i].shard));
        if (!pl_path_exists(path))
            return pl_fail(PL_E_INPUT, "%s: shard '%s' is missing in '%s'", index, list[i].shard,
                           folder);
        PL_TRY(pl_st_check_link(folder, path));
        PL_TRY(add_file(path, file++, arena, set, &room));
    }
    return sort_set(set);
}

/* Name of a shard without its folder. */
static const char *shard_name(const pl_st_set *set, const pl_st_tensor *t)
{
    const char *path = pl_file_path(set->file[t->file]), *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* What is wrong and harms nobody who only reads. */
static pl_status odd(bool strict, const char *sentence)
{
    if (strict) return pl_fail(PL_E_INPUT, "%s", sentence);
    pl_log(PL_LOG_WARN, "%s", sentence);
    return PL_OK;
}

/* Both lists in order of names: every mapped tensor is where the map says. */
static pl_status compare_with_map(const pl_st_set *set, mapped *list, int count, const char *index, bool strict)
{
    int extra = 0, first_extra = 0, at = 0;
    qsort(list, (size_t)count, sizeof *list, compare_mapped);
    for (int i = 0; i < count; i++, at++) {
        for (; at < set->tensors && strcmp(set->tensor[at].name, list[i].tensor) < 0; at++)
            if (extra++ == 0) first_extra = at;
        if (at == set->tensors || strcmp(set->tensor[at].name, list[i].tensor))
            return pl_fail(PL_E_INPUT, "%s: tensor '%.255s' is not in '%s', nor in another shard",
                           index, list[i].tensor, list[i].shard);
        if (strcmp(shard_name(set, &set->tensor[at]), list[i].shard))
            return pl_fail(PL_E_INPUT, "%s: tensor '%s' should be in '%s', is in '%s'", index,
                           list[i].tensor, list[i].shard, shard_name(set, &set->tensor[at]));
    }
    if (at < set->tensors && extra == 0) first_extra = at;
    extra += set->tensors - at;
    if (!extra) return PL_OK;
    char sentence[PL_ERROR_BYTES];
    const pl_st_tensor *first = &set->tensor[first_extra];
    snprintf(sentence, sizeof sentence, "%s does not list %d tensor%s of its shards: '%s'%s", index, extra,
             extra == 1 ? "" : "s", first->name, extra == 1 ? "" : ", ...");
    return odd(strict, sentence);
}

/* Some writers put the size as a fraction or a float: only a comparison, never a size to us. */
static pl_status check_total(const pl_json *json, const pl_st_set *set, const char *index, bool strict)
{
    const pl_json *metadata = pl_json_get(json, "metadata");
    const pl_json *total = pl_json_get(metadata, "total_size");
    double bytes = 0, said;
    for (int i = 0; i < set->tensors; i++) bytes += (double)set->tensor[i].bytes;
    if (!pl_json_is(total, PL_JSON_NUMBER)) return PL_OK;
    if (pl_json_as_number(total, index, "total_size", &said) != PL_OK || said == bytes) return PL_OK;
    char sentence[PL_ERROR_BYTES];
    snprintf(sentence, sizeof sentence, "%s: total_size is %.0f, the tensors have %.0f bytes", index, said, bytes);
    return odd(strict, sentence);
}

pl_status pl_st_open_index(const char *folder, const char *index, pl_arena *arena, pl_st_set *out)
{
    *out = (pl_st_set){ 0 };
    pl_json *json;
    mapped *list = NULL;
    int count = 0;
    PL_TRY(pl_json_load(index, &json));
    pl_status code = read_map(json, index, &list, &count);
    if (code == PL_OK) code = open_shards(folder, index, list, count, arena, out);
    if (code == PL_OK) code = compare_with_map(out, list, count, index, false);
    if (code == PL_OK) code = check_total(json, out, index, false);
    pl_free(list);
    pl_json_free(json);
    return code;
}

pl_status pl_st_check_index(const pl_st_set *set, const char *index)
{
    pl_json *json;
    mapped *list = NULL;
    int count = 0;
    PL_TRY(pl_json_load(index, &json));
    pl_status code = read_map(json, index, &list, &count);
    if (code == PL_OK) code = compare_with_map(set, list, count, index, true);
    if (code == PL_OK) code = check_total(json, set, index, true);
    pl_free(list);
    pl_json_free(json);
    return code;
}
