/* copy.c: weights that the source already stores as wanted keep their bytes. */
#include <string.h>

#include "quantizers/registry.h"
#include "quantizers/strip.h"

/* Every part has bytes for each row, or is one for the whole matrix. */
static bool accepts(const pl_step *step, const pl_tensor *from)
{
    return pl_type_equal(&step->out.type, &from->type) && step->out.granule == 1;
}

static int64_t scratch(const pl_step *step, const pl_tensor *from, int64_t count)
{
    /* a strip as stored; one row more while rows are reordered */
    pl_packed stored;
    int64_t n = pl_strip_rows(from->cols, count);
    if (pl_packed_init(&stored, from->type, n + 1, from->cols) != PL_OK) return 0;
    return pl_packed_bytes(&stored) + 128;
}

/* Value `bad` or the scales of the block it begins are not finite. */
static pl_status found_nonfinite(const pl_input *in, const pl_dtype *dtype, int64_t first, int64_t bad,
                                 const uint8_t *bytes)
{
    if (dtype->block == 1 || in->nonfinite) {
        float value[PL_MAX_BLOCK];
        dtype->decode(bytes + bad / dtype->block * dtype->bytes, value, dtype->block);
        for (int j = 0; j < dtype->block; j++)
            if (!isfinite(value[j])) PL_TRY(pl_strip_nonfinite(in, first, bad + j, value[j]));
        return PL_OK;
    }
    long long row = pl_strip_source_row(in, first + bad / in->cols), col = bad % in->cols;
    return pl_fail(PL_E_INPUT, "tensor '%s' row %lld columns %lld to %lld: their stored scale is "
                   "not finite", in->name, row, col, col + dtype->block - 1);
}

static pl_status encode(const pl_step *step, const pl_input *in, int64_t first, int64_t count,
                        pl_packed *rows, pl_arena *arena)
{
    int64_t strip = pl_strip_rows(in->cols, count);
    const pl_dtype *dtype = rows->type.element;
    uint8_t *out = (uint8_t *)(uintptr_t)rows->part[0].ptr;     /* writable, see encode.c */
    for (int64_t done = 0; done < count; done += strip) {
        int64_t n = pl_min64(strip, count - done);
        uint8_t *to = out + done * rows->part[0].stride;
        pl_arena_mark mark = pl_arena_save(arena);
        pl_packed stored;
        PL_TRY(pl_rows_packed(in, first + done, n, &stored, arena));
        for (int i = 0; i < rows->nparts; i++)
            memcpy((uint8_t *)(uintptr_t)rows->part[i].ptr + done * rows->part[i].stride, stored.part[i].ptr,
                   (size_t)stored.part[i].bytes);
        pl_arena_restore(arena, mark);
        /* Of codes that are whole numbers the source has looked at the scales. */
        for (int64_t at = 0, bad; dtype->decode && at < n * in->cols; at = bad + dtype->block) {
            bad = pl_dtype_find_nonfinite(dtype, to + at / dtype->block * dtype->bytes, n * in->cols - at);
            if (bad < 0) break;
            bad += at;
            PL_TRY(found_nonfinite(in, dtype, first + done, bad, to));
        }
    }
    return PL_OK;
}

const pl_method pl_method_copy = {
    .name = "copy", .summary = "bytes as they are, where the type is the same",
    .scope = PL_SCOPE_ROWS, .flags = PL_METHOD_EXACT,
    .accepts = accepts, .scratch = scratch, .encode = encode,
};
