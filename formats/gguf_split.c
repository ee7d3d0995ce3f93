/* gguf_split.c: models split into several files: their names, and opening them as one. */
#include <stdio.h>
#include <string.h>

#include "formats/gguf.h"

/* ---- names ---- */

static bool read_number(const char *digits, int *out)
{
    *out = 0;
    for (int i = 0; i < 5; i++) {
        if (digits[i] < '0' || digits[i] > '9') return false;
        *out = *out * 10 + digits[i] - '0';
    }
    return true;
}

bool pl_gguf_shard_parse(const char *path, size_t *prefix, int *no, int *count)
{
    static const char pattern[] = "-00000-of-00000.gguf";
    size_t len = strlen(path), tail = sizeof pattern - 1;
    if (len <= tail) return false;
    const char *end = path + len - tail;
    if (end[0] != '-' || memcmp(end + 6, "-of-", 4) || strcmp(end + 15, ".gguf")) return false;
    if (!read_number(end + 1, no) || !read_number(end + 10, count)) return false;
    *prefix = len - tail;
    return *no >= 1 && *no <= *count;
}

pl_status pl_gguf_shard_name(const char *path, size_t prefix, int no, int count, char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, "%.*s-%05d-of-%05d.gguf", (int)pl_min64((int64_t)prefix, PATH_MAX),
                     path, no, count);
    if (n < PATH_MAX) return PL_OK;
    return pl_fail(PL_E_WISH, "the path of file %d of %d is longer than %d bytes", no, count,
                   PATH_MAX - 1);
}

/* ---- opening ---- */

/* What a file says of its place in a set: number, count, tensors of all; count 1: it is no part of one.
 * tensors stays -1 if not told. */
typedef struct place { int64_t no, count, tensors; } place;

static pl_status read_place(const pl_gguf *g, place *out)
{
    *out = (place){ .count = 1, .tensors = -1 };
    PL_TRY(pl_gguf_int(g, PL_GGUF_KEY_SPLIT_COUNT, false, 0, UINT16_MAX, 0, &out->count));
    out->count = pl_max64(out->count, 1);
    PL_TRY(pl_gguf_int(g, PL_GGUF_KEY_SPLIT_NO, out->count > 1, 0, out->count - 1, 0, &out->no));
    return pl_gguf_int(g, PL_GGUF_KEY_SPLIT_TENSORS, false, 0, PL_MAX_TENSORS, 0, &out->tensors);
}

static pl_status open_shard(const char *path, pl_arena *arena, pl_gguf *g, place *at)
{
    PL_TRY(pl_file_open(path, &g->file));
    PL_TRY(pl_gguf_scan(g->file, arena, g));
    return read_place(g, at);
}

/* The file that stands at place `no` of a set must say so, and belong to the same model. */
static pl_status check_shard(const pl_gguf_set *set, int no, const place *at, pl_arena *arena)
{
    const pl_gguf *g = &set->shard[no], *first = &set->shard[0];
    if (at->count != set->shards || at->no != no)
        return pl_fail(PL_E_INPUT, "%s: says it is file %lld of %lld, its name says %d of %d", g->path,
                       (long long)at->no + 1, (long long)at->count, no + 1, set->shards);
    const char *mine = NULL, *expected = NULL;
    PL_TRY(pl_gguf_string(g, PL_GGUF_KEY_ARCH, false, arena, &mine));
    PL_TRY(pl_gguf_string(first, PL_GGUF_KEY_ARCH, true, arena, &expected));
    if (mine && strcmp(mine, expected))
        return pl_fail(PL_E_INPUT, "%s: belongs to a %.60s model, the first file to a %.60s one",
                       g->path, mine, expected);
    return PL_OK;
}

/* Number of tensors in all files against what each of them tells. */
static pl_status check_tensors(const pl_gguf *g, const place *at, int64_t tensors)
{
    if (at->tensors < 0 || at->tensors == tensors) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: %s is %lld, the files hold %lld tensors", g->path,
                   PL_GGUF_KEY_SPLIT_TENSORS, (long long)at->tensors, (long long)tensors);
}

/* Nothing is taken for files that are not there. */
static pl_status find_shards(const char *path, size_t prefix, int count)
{
    char name[PATH_MAX];
    for (int i = 1; i <= count; i++) {
        PL_TRY(pl_gguf_shard_name(path, prefix, i, count, name));
        if (!pl_path_exists(name))
            return pl_fail(PL_E_INPUT, "%s: file %d of %d is missing: '%s'", path, i, count, name);
    }
    return PL_OK;
}

static pl_status open_set(const char *path, size_t prefix, int count, pl_arena *arena,
                          pl_gguf_set *set)
{
    PL_TRY(find_shards(path, prefix, count));
    place *at = PL_NEW(arena, place, count);
    set->shard = PL_ZNEW(arena, pl_gguf, count);
    if (!at || !set->shard) return PL_E_MEMORY;
    int64_t tensors = 0;
    for (; set->shards < count; set->shards++) {
        char name[PATH_MAX];
        PL_TRY(pl_gguf_shard_name(path, prefix, set->shards + 1, count, name));
        pl_status code = open_shard(name, arena, &set->shard[set->shards], &at[set->shards]);
        if (code != PL_OK) {
            set->shards++;              /* its file may be open */
            return code;
        }
        tensors += set->shard[set->shards].infos;
    }
    for (int i = 0; i < count; i++) PL_TRY(check_shard(set, i, &at[i], arena));
    for (int i = 0; i < count; i++) PL_TRY(check_tensors(&set->shard[i], &at[i], tensors));
    return PL_OK;
}

pl_status pl_gguf_set_open(const char *path, pl_arena *arena, pl_gguf_set *out)
{
    *out = (pl_gguf_set){ 0 };
    out->shard = PL_ZNEW(arena, pl_gguf, 1);
    if (!out->shard) return PL_E_MEMORY;
    out->shards = 1;
    place at;
    PL_TRY(open_shard(path, arena, &out->shard[0], &at));
    if (at.count == 1) return check_tensors(&out->shard[0], &at, out->shard[0].infos);
    size_t prefix;
    int no, count;
    if (!pl_gguf_shard_parse(path, &prefix, &no, &count) || no != at.no + 1 || count != at.count)
        return pl_fail(PL_E_INPUT, "%s: is file %lld of %lld of a split model, which its name should "
                       "say: NAME-%05lld-of-%05lld.gguf", path, (long long)at.no + 1,
                       (long long)at.count, (long long)at.no + 1, (long long)at.count);
    pl_gguf_set_close(out);
    return open_set(path, prefix, count, arena, out);
}

void pl_gguf_set_close(pl_gguf_set *set)
{
    for (int i = 0; i < set->shards; i++) pl_file_close(set->shard[i].file);
    *set = (pl_gguf_set){ 0 };
}
