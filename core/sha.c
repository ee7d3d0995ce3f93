/* sha.c: SHA-256 by OpenSSL, which uses the processor's instructions for it. */
#include "core/sha.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>

#include "core/mem.h"

struct pl_sha { EVP_MD_CTX *context; bool failed; };

/* Fetched once, in a context of our own: where libcrypto gets no memory for its default one, it may crash. */
static EVP_MD *sha256;

static void fetch(void)
{
    OSSL_LIB_CTX *library = OSSL_LIB_CTX_new();
    if (library) sha256 = EVP_MD_fetch(library, "SHA256", NULL);
}

static bool available(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fetch);
    return sha256 != NULL;
}

static pl_status no_sha(void)
{
    return pl_fail(PL_E_MEMORY, "libcrypto computes no SHA-256: out of memory, or it was built without");
}

pl_status pl_sha_create(pl_sha **out)
{
    *out = NULL;
    pl_sha *sha = pl_alloc(1, sizeof *sha);
    if (!sha) return PL_E_MEMORY;
    sha->context = available() ? EVP_MD_CTX_new() : NULL;
    if (!sha->context || EVP_DigestInit_ex(sha->context, sha256, NULL) != 1) {
        pl_sha_destroy(sha);
        return no_sha();
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
    return !sha->failed && EVP_DigestFinal_ex(sha->context, out->byte, NULL) == 1 ? PL_OK : no_sha();
}

void pl_sha_destroy(pl_sha *sha)
{
    if (!sha) return;
    EVP_MD_CTX_free(sha->context);
    pl_free(sha);
}

pl_status pl_sha_bytes(const void *data, size_t len, pl_sha256 *out)
{
    return available() && EVP_Digest(data, len, out->byte, NULL, sha256, NULL) == 1 ? PL_OK : no_sha();
}

char *pl_sha_text(pl_sha256 digest, char *buffer)
{
    for (int i = 0; i < PL_COUNT(digest.byte); i++) snprintf(buffer + 2 * i, 3, "%02x", digest.byte[i]);
    return buffer;
}
