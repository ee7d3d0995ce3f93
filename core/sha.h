/* sha.h: SHA-256: the only door to OpenSSL's libcrypto. */
#ifndef CORE_SHA_H
#define CORE_SHA_H

#include "core/status.h"

typedef struct pl_sha256 { uint8_t byte[32]; } pl_sha256;

/* Of several pieces, one behind the other. */
typedef struct pl_sha pl_sha;
pl_status pl_sha_create(pl_sha **out);
void pl_sha_update(pl_sha *sha, const void *data, size_t len);
/* PL_E_MEMORY if the library failed. Nothing can be added then. */
pl_status pl_sha_finish(pl_sha *sha, pl_sha256 *out);
void pl_sha_destroy(pl_sha *sha);       /* accepts NULL */

pl_status pl_sha_bytes(const void *data, size_t len, pl_sha256 *out);
/* 64 hex digits; a buffer of at least 65 bytes. */
char *pl_sha_text(pl_sha256 digest, char *buffer);

#endif
