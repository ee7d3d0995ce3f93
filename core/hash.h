/* hash.h: digests: the only door to xxHash. */
#ifndef CORE_HASH_H
#define CORE_HASH_H

#include "core/status.h"

typedef struct pl_digest { uint8_t byte[16]; } pl_digest;       /* XXH3, 128 bits, big-endian */

typedef struct pl_hash pl_hash;
pl_status pl_hash_create(pl_hash **out);
void pl_hash_update(pl_hash *hash, const void *data, size_t len);
pl_digest pl_hash_digest(const pl_hash *hash);
void pl_hash_destroy(pl_hash *hash);

pl_digest pl_hash_bytes(const void *data, size_t len);
/* XXH3, 64 bits, seed 0. */
uint64_t pl_hash_64(const void *data, size_t len);
/* For hash tables: seeded anew in every process, so that no file can be made to collide. */
uint64_t pl_hash_key(const void *data, size_t len);
/* "xxh3:" and 32 hex digits; buffer of at least 40 bytes. */
char *pl_digest_text(pl_digest digest, char *buffer);
/* Of a whole file, read in windows. */
pl_status pl_hash_file(const char *path, pl_digest *out);

#endif
