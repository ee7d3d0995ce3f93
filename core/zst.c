/* zst.c: single frames by libzstd. */
#include "core/zst.h"

#include <zstd.h>
#include <zstd_errors.h>

pl_status pl_zstd_pack(const void *data, size_t len, int level, void *out, size_t room, size_t *out_len)
{
    size_t got = ZSTD_compress(out, room, data, len, level);
    *out_len = 0;
    if (ZSTD_isError(got))
        return ZSTD_getErrorCode(got) == ZSTD_error_dstSize_tooSmall
               ? PL_OK : pl_fail(PL_E_MEMORY, "out of memory: zstd: %s", ZSTD_getErrorName(got));
    *out_len = got;
    return PL_OK;
}

pl_status pl_zstd_unpack(const void *frame, size_t frame_len, void *out, size_t len)
{
    if (ZSTD_findFrameCompressedSize(frame, frame_len) != frame_len || ZSTD_getFrameContentSize(frame,
                                                                                                frame_len) != len)
        return pl_fail(PL_E_INPUT, "no zstd frame of %zu bytes", len);
    size_t got = ZSTD_decompress(out, len, frame, frame_len);
    if (!ZSTD_isError(got) && got == len) return PL_OK;
    return ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation
           ? pl_fail(PL_E_MEMORY, "out of memory for a zstd frame") : pl_fail(PL_E_INPUT, "a damaged zstd frame");
}
