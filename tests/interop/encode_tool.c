/* encode_tool.c: gives other programs our encoders, decoders and type table, for tests/interop.
 * PLANISH_CPU picks the variant. Files hold plain bytes, f32 for values. */
#include <stdio.h>
#include <string.h>

#include "core/fs.h"
#include "core/half.h"
#include "core/mem.h"
#include "quantizers/registry.h"

/* "name id block bytes" for each type that we read, then "id name" for each that we can name */
static void print_types(void)
{
    for (int i = 0; i < PL_DTYPES; i++)
        printf("type %s %d %d %d\n", pl_dtypes[i].name, pl_dtypes[i].gguf_id, pl_dtypes[i].block,
               pl_dtypes[i].bytes);
    for (int id = 0; id < 256; id++)
        if (pl_dtype_gguf_name(id)) printf("name %d %s\n", id, pl_dtype_gguf_name(id));
}

static void encode(const pl_type *type, const float *w, int64_t count, uint8_t *out)
{
    const pl_grid *grid = pl_grid_find(pl_grids, type, count);
    if (grid) grid->encode(type, w, count, out);
    else if (type->element == &pl_dtypes[PL_F16]) pl_f32_to_f16_row(w, out, count);
    else if (type->element == &pl_dtypes[PL_BF16]) pl_f32_to_bf16_row(w, out, count);
    else memcpy(out, w, (size_t)count * sizeof *w);
}

static pl_status convert(const char *verb, const char *name, const char *in, const char *out)
{
    pl_type type;
    PL_TRY(pl_type_parse(name, &type));
    bool decoding = strcmp(verb, "decode") == 0;
    int64_t unit_in = decoding ? type.element->bytes : type.element->block * 4;
    int64_t unit_out = decoding ? type.element->block * 4 : type.element->bytes;
    char *data;
    size_t len;
    PL_TRY(pl_file_load(in, 1 << 30, &data, &len));
    int64_t units = (int64_t)len / unit_in, count = units * type.element->block;
    uint8_t *result = pl_alloc_aligned(units * unit_out, 1);
    pl_status code = result ? PL_OK : PL_E_MEMORY;
    if (code == PL_OK) {
        if (decoding) pl_decode(type.element, data, (float *)(void *)result, count);
        else encode(&type, (const float *)(const void *)data, count, result);
        code = pl_file_save(out, result, (size_t)(units * unit_out));
    }
    pl_free(result);
    pl_free(data);
    return code;
}

int main(int argc, char **argv)
{
    pl_status code = PL_OK;
    if (argc == 2 && strcmp(argv[1], "types") == 0) {
        print_types();
    } else if (argc == 5) {
        code = convert(argv[1], argv[2], argv[3], argv[4]);
        if (code != PL_OK) fprintf(stderr, "encode_tool: %s\n", pl_error());
    } else {
        fprintf(stderr, "usage: encode_tool types | encode|decode TYPE IN OUT\n");
        code = PL_E_WISH;
    }
    return code;
}
