/* sha.c: SHA-256 by OpenSSL, which uses the processor's instructions for it. */
#include "core/sha.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "core/mem.h"

struct pl_sha { EVP_MD_CTX *context; bool failed; };

pl_status pl_sha_create(pl_sha **out)
{
    *out = NULL;
    pl_sha *sha = pl_alloc(1, sizeof *sha);
    if (!sha) return PL_E_MEMORY;
    sha->context = EVP_MD_CTX_new();
    if (!sha->context || EVP_DigestInit_ex(sha->context, EVP_sha256(), NULL) != 1) {
        pl_sha_destroy(sha);
        return pl_fail(PL_E_MEMORY, "SHA-256 is not available");
    }
    *out = sha;
    return PL_OK;
}

void pl_sha_update(pl_sha *sha, const void *data, size_t len)
{
    if (EVP_DigestUpdate(sha->context, data, len) != 1) sha->failed = true;
}

pl_status pl_sha_finish(pl_sha *sha, pl_sha256 *out)
{
    if (!sha->failed && EVP_DigestFinal_ex(sha->context, out->byte, NULL) == 1) return PL_OK;
    return pl_fail(PL_E_MEMORY, "SHA-256 failed");
}

void pl_sha_destroy(pl_sha *sha)
{
    if (!sha) return;
    EVP_MD_CTX_free(sha->context);
    pl_free(sha);
}

pl_status pl_sha_bytes(const void *data, size_t len, pl_sha256 *out)
{
    if (EVP_Digest(data, len, out->byte, NULL, EVP_sha256(), NULL) == 1) return PL_OK;
    return pl_fail(PL_E_MEMORY, "SHA-256 failed");
}

char *pl_sha_text(pl_sha256 digest, char *buffer)
{
    for (int i = 0; i < PL_COUNT(digest.byte); i++) snprintf(buffer + 2 * i, 3, "%02x", digest.byte[i]);
    return buffer;
}
