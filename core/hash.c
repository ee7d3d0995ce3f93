/* hash.c: XXH3 digests. */
#include "core/hash.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "core/fs.h"
#include "core/mem.h"

struct pl_hash { XXH3_state_t *state; };

static pl_digest canonical(XXH128_hash_t h)
{
    XXH128_canonical_t bytes;
    pl_digest digest;
    XXH128_canonicalFromHash(&bytes, h);
    memcpy(digest.byte, bytes.digest, sizeof digest.byte);
    return digest;
}

pl_status pl_hash_create(pl_hash **out)
{
    *out = NULL;
    pl_hash *hash = pl_alloc(1, sizeof *hash);
    if (!hash) return PL_E_MEMORY;
    hash->state = XXH3_createState();
    if (!hash->state) {
        pl_free(hash);
        return pl_fail(PL_E_MEMORY, "out of memory");
    }
    XXH3_128bits_reset(hash->state);
    *out = hash;
    return PL_OK;
}

void pl_hash_update(pl_hash *hash, const void *data, size_t len)
{
    XXH3_128bits_update(hash->state, data, len);
}

pl_digest pl_hash_digest(const pl_hash *hash) { return canonical(XXH3_128bits_digest(hash->state)); }

void pl_hash_destroy(pl_hash *hash)
{
    if (!hash) return;
    XXH3_freeState(hash->state);
    pl_free(hash);
}

pl_digest pl_hash_bytes(const void *data, size_t len) { return canonical(XXH3_128bits(data, len)); }

static uint64_t key_seed;

static void draw_seed(void)
{
    if (getrandom(&key_seed, sizeof key_seed, 0) != (ssize_t)sizeof key_seed)
        key_seed = (uint64_t)(pl_seconds() * 1e9) ^ (uintptr_t)&key_seed;
}

uint64_t pl_hash_64(const void *data, size_t len) { return XXH3_64bits(data, len); }

uint64_t pl_hash_key(const void *data, size_t len)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, draw_seed);
    return XXH3_64bits_withSeed(data, len, key_seed);
}

char *pl_digest_text(pl_digest digest, char *buffer)
{
    char *to = buffer + sprintf(buffer, "xxh3:");
    for (int i = 0; i < 16; i++) to += sprintf(to, "%02x", digest.byte[i]);
    return buffer;
}

pl_status pl_hash_file(const char *path, pl_digest *out)
{
    enum { WINDOW = 1 << 20 };
    pl_file *file;
    PL_TRY(pl_file_open(path, &file));
    pl_hash *hash = NULL;
    pl_status code = pl_hash_create(&hash);
    uint8_t *window = pl_alloc_aligned(WINDOW, 1);
    if (!window) code = PL_E_MEMORY;
    for (int64_t at = 0; code == PL_OK && at < pl_file_size(file); at += WINDOW) {
        size_t n = (size_t)pl_min64(WINDOW, pl_file_size(file) - at);
        code = pl_file_read(file, at, window, n);
        if (code == PL_OK) pl_hash_update(hash, window, n);
    }
    if (code == PL_OK) *out = pl_hash_digest(hash);
    pl_free(window);
    pl_hash_destroy(hash);
    pl_file_close(file);
    return code;
}
