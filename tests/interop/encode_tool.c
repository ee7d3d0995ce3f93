/* encode_tool.c: gives other programs our encoders, decoders and type table, for tests/interop.
 * PLANISH_CPU picks the variant. Files hold plain bytes, f32 for values. */
#include <stdio.h>
#include <string.h>

#include "core/fs.h"
#include "core/half.h"
#include "core/mem.h"
#include "quantizers/encoders.h"
#include "quantizers/iq_near.h"
#include "quantizers/registry.h"

/* "name id block bytes" for each type of GGUF that we read, then "id name" for each that we can name */
static void print_types(void)
{
    for (int i = 0; i < PL_DTYPES_READ; i++)
        if (pl_dtypes[i].gguf_id >= 0)
            printf("type %s %d %d %d\n", pl_dtypes[i].name, pl_dtypes[i].gguf_id, pl_dtypes[i].block,
                   pl_dtypes[i].bytes);
    for (int id = 0; id < 256; id++)
        if (pl_dtype_gguf_name(id)) printf("name %d %s\n", id, pl_dtype_gguf_name(id));
}

static void encode(const pl_dtype *dtype, bool best, const float *w, const float *h, int64_t count, int64_t cols,
                   uint8_t *out)
{
    pl_row_encoder encoder = best ? pl_best_encoder(dtype) : NULL;
    if (!encoder) encoder = pl_reference_encoder(dtype);
    if (encoder) encoder(w, h, count / cols, cols, out);
    else if (dtype == &pl_dtypes[PL_F16]) pl_f32_to_f16_row(w, out, count);
    else if (dtype == &pl_dtypes[PL_BF16]) pl_f32_to_bf16_row(w, out, count);
    else memcpy(out, w, (size_t)count * sizeof *w);
}

/* importance: path of a file with a value per column; rows are as long as that, or NULL: one row. */
static pl_status convert(const char *verb, const char *name, const char *in, const char *out, const char *importance)
{
    const pl_dtype *dtype = pl_dtype_find(name);
    if (!dtype) return pl_fail(PL_E_WISH, "unknown type '%s'", name);
    bool decoding = strcmp(verb, "decode") == 0;
    int64_t unit_in = decoding ? dtype->bytes : dtype->block * 4;
    int64_t unit_out = decoding ? dtype->block * 4 : dtype->bytes;
    char *data, *h = NULL;
    size_t len, h_len = 0;
    PL_TRY(pl_iq_prepare((int)(dtype - pl_dtypes)));
    PL_TRY(pl_file_load(in, 1 << 30, &data, &len));
    int64_t units = (int64_t)len / unit_in, count = units * dtype->block;
    uint8_t *result = pl_alloc_aligned(units * unit_out, 1);
    pl_status code = result ? PL_OK : PL_E_MEMORY;
    if (code == PL_OK && importance) code = pl_file_load(importance, 1 << 30, &h, &h_len);
    if (code == PL_OK) {
        int64_t cols = h ? (int64_t)h_len / 4 : count;
        if (decoding) pl_decode(dtype, data, (float *)(void *)result, count);
        else encode(dtype, strcmp(verb, "best") == 0, (const float *)(const void *)data,
                    (const float *)(const void *)h, count, cols, result);
        code = pl_file_save(out, result, (size_t)(units * unit_out));
    }
    pl_free(h);
    pl_free(result);
    pl_free(data);
    return code;
}

int main(int argc, char **argv)
{
    pl_status code = PL_OK;
    if (argc == 2 && strcmp(argv[1], "types") == 0) {
        print_types();
    } else if (argc == 5 || argc == 6) {
        code = convert(argv[1], argv[2], argv[3], argv[4], argc == 6 ? argv[5] : NULL);
        if (code != PL_OK) fprintf(stderr, "encode_tool: %s\n", pl_error());
    } else {
        fprintf(stderr, "usage: encode_tool types | encode|best|decode TYPE IN OUT [IMPORTANCE]\n");
        code = PL_E_WISH;
    }
    return code;
}
