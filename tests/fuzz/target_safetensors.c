/* target_safetensors.c: one safetensors file, and an index with its shards. */
#include <stdlib.h>
#include <string.h>

#include "formats/safetensors.h"
#include "tests/fuzz/fuzz.h"

/* Ranges lie in the files and can be read; names find their tensors. */
static void look(const pl_st_set *set)
{
    static uint8_t bytes[FUZZ_BYTES];
    for (int i = 0; i < set->tensors; i++) {
        const pl_st_tensor *t = &set->tensor[i];
        fuzz_check(t->file >= 0 && t->file < set->files && t->dims >= 0 && t->dims <= PL_MAX_DIMS);
        fuzz_check(t->offset >= 8 && t->bytes >= 0 &&
                   t->offset + t->bytes <= pl_file_size(set->file[t->file]));
        fuzz_check(pl_st_find(set, t->name, strlen(t->name)) == t);
        for (int d = 0; d < t->dims; d++) fuzz_check(t->shape[d] >= 0);
        fuzz_must(pl_file_read(set->file[t->file], t->offset, bytes, (size_t)t->bytes));
    }
}

static void run_file(const fuzz_part *part, int parts)
{
    pl_arena *arena;
    pl_st_set set;
    if (!fuzz_must(pl_arena_create(&arena))) return;
    if (!fuzz_refused(pl_st_open_file(fuzz_file("model.safetensors", &part[0]), arena, &set))) look(&set);
    pl_st_close(&set);
    pl_arena_destroy(arena);
}

/* Nothing outside the folder is opened, whatever the index says. */
static void check_places(const pl_st_set *set)
{
    char real[PATH_MAX];
    size_t len = strlen(fuzz_folder_path());
    for (int i = 0; i < set->files; i++) {
        if (!set->file[i]) continue;
        fuzz_check(realpath(pl_file_path(set->file[i]), real));
        fuzz_check(!strncmp(real, fuzz_folder_path(), len) && real[len] == '/');
    }
}

static void run_index(const fuzz_part *part, int parts)
{
    pl_arena *arena;
    pl_st_set set;
    if (!fuzz_must(pl_arena_create(&arena))) return;
    const char *index = fuzz_file("model.safetensors.index.json", &part[0]);
    static const char *const shards[] = { "a.safetensors", "b.safetensors", "c.safetensors" };
    for (int i = 0; i < PL_COUNT(shards); i++) fuzz_file(shards[i], fuzz_part_at(part, parts, i + 1));
    if (!fuzz_refused(pl_st_open_index(fuzz_folder_path(), index, arena, &set))) look(&set);
    check_places(&set);
    pl_st_close(&set);
    pl_arena_destroy(arena);
}

const fuzz_target fuzz_safetensors = { "safetensors", "s", run_file };
const fuzz_target fuzz_index = { "index", "js", run_index };
