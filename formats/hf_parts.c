/* hf_parts.c: finding the tensors that make one weight. */
#include "formats/hf_parts.h"

#include <stdio.h>
#include <string.h>

size_t pl_hf_stem(const char *name, const char *end)
{
    size_t len = strlen(name), tail = strlen(end);
    bool ends = len > tail + 1 && !strcmp(name + len - tail, end) && name[len - tail - 1] == '.';
    return ends ? len - tail : 0;
}

const pl_st_tensor *pl_hf_beside(const pl_st_set *set, const char *name, size_t stem, const char *end)
{
    char other[PL_MAX_NAME + 32];
    int len = snprintf(other, sizeof other, "%.*s%s", (int)stem, name, end);
    return pl_st_find(set, other, (size_t)len);
}

const char *pl_hf_place(const pl_st_set *set, const pl_st_tensor *t) { return pl_file_path(set->file[t->file]); }

const char *pl_hf_shape(const int64_t *shape, int dims, char *out, size_t size)
{
    size_t len = (size_t)snprintf(out, size, dims ? "" : "1");
    for (int i = 0; i < dims && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, i ? " x %lld" : "%lld", (long long)shape[i]);
    return out;
}

const pl_dtype *pl_hf_floats(const pl_st_tensor *t)
{
    const pl_dtype *dtype = pl_dtype_by_safetensors(t->dtype);
    return pl_dtype_is_float(dtype) ? dtype : NULL;
}
