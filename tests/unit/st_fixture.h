/* st_fixture.h: a folder of its own for each test, small safetensors files in it, what was logged. */
#ifndef TESTS_UNIT_ST_FIXTURE_H
#define TESTS_UNIT_ST_FIXTURE_H

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/log.h"
#include "core/mem.h"

static char folder[64], warned[1024];
static pl_arena *arena;

static inline void note_warning(void *ctx, pl_level level, const char *text)
{
    if (level == PL_LOG_WARN) snprintf(warned, sizeof warned, "%s", text);
}

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

static inline void setup(void)
{
    static const pl_log_sink sink = { .message = note_warning };
    pl_log_set(&sink);
    warned[0] = 0;
    snprintf(folder, sizeof folder, "/tmp/test_st.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(pl_arena_create(&arena), PL_OK);
}

static inline void teardown(void)
{
    pl_arena_destroy(arena);
    ck_assert_int_eq(nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* "folder/name"; valid until the fourth call after this. */
static inline const char *in(const char *name)
{
    static char path[4][256];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

static inline void save(const char *name, const void *data, size_t len)
{
    unlink(in(name));               /* some file systems are slow to replace contents */
    FILE *file = fopen(in(name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, len, file), len);
    ck_assert_int_eq(fclose(file), 0);
}

static inline void save_text(const char *name, const char *text) { save(name, text, strlen(text)); }

/* A safetensors file in memory; the length field says `claimed`. */
static inline char *st_bytes(const char *header, uint64_t claimed, const void *data, size_t data_len,
                             size_t *len)
{
    size_t header_len = strlen(header);
    *len = 8 + header_len + data_len;
    char *bytes = malloc(*len);
    ck_assert_ptr_nonnull(bytes);
    for (int i = 0; i < 8; i++) bytes[i] = (char)(claimed >> 8 * i);
    memcpy(bytes + 8, header, header_len);
    if (data_len) memcpy(bytes + 8 + header_len, data, data_len);
    return bytes;
}

static inline void save_st(const char *name, const char *header, const void *data, size_t data_len)
{
    size_t len;
    char *bytes = st_bytes(header, strlen(header), data, data_len, &len);
    save(name, bytes, len);
    free(bytes);
}

/* The last sentence contains `part`. */
static inline void ck_sentence(const char *part)
{
    ck_assert_msg(strstr(pl_error(), part) != NULL, "expected '%s' in '%s'", part, pl_error());
}

#endif
