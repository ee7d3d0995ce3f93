/* st_write.c: headers and index of a set of safetensors files. */
#include "formats/st_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"

const char pl_st_index_name[] = "model.safetensors.index.json";

static const struct { const char *name; int bytes; } dtypes[] = {
    { "F64", 8 }, { "I64", 8 }, { "F32", 4 }, { "I32", 4 }, { "U32", 4 }, { "F16", 2 }, { "BF16", 2 },
    { "I8", 1 },  { "U8", 1 },  { "F8_E4M3", 1 }, { "F8_E5M2", 1 }, { "F8_E8M0", 1 },
};

/* Bytes of an element; 0: a type that we do not write. */
static int width_of(const char *dtype)
{
    for (int i = 0; i < PL_COUNT(dtypes); i++)
        if (!strcmp(dtypes[i].name, dtype)) return dtypes[i].bytes;
    return 0;
}

/* What of the header does not depend on tensors, around their entries. */
static int head(const pl_st_layout *l, char *out, size_t size)
{
    return snprintf(out, size, "{\"__metadata__\":{\"format\":\"%s\"}", l->format);
}

/* The entry of a tensor whose data begins so many bytes behind the header. */
static int entry(const pl_st_out *t, int64_t begin, char *out, size_t size)
{
    char shape[PL_ST_OUT_DIMS * 24] = "";
    int len = 0;
    for (int i = 0; i < t->dims; i++)
        len += snprintf(shape + len, sizeof shape - (size_t)len, "%s%" PRId64, i ? "," : "", t->shape[i]);
    return snprintf(out, size, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}",
                    t->name, t->dtype, shape, begin, begin + t->bytes);
}

/* Size of a tensor; and its name must be one that stands in JSON as it is. */
static pl_status measure(pl_st_out *t)
{
    size_t len = strlen(t->name);
    for (size_t i = 0; i < len; i++)
        if (t->name[i] < ' ' || t->name[i] > '~' || t->name[i] == '"' || t->name[i] == '\\') len = 0;
    if (len == 0 || len > PL_MAX_NAME)
        return pl_fail(PL_E_WISH, "'%.80s' is no name for a tensor that can be written", t->name);
    t->bytes = width_of(t->dtype);
    if (t->bytes == 0) return pl_fail(PL_E_WISH, "'%s': no tensors of %s can be written", t->name, t->dtype);
    for (int i = 0; i < t->dims; i++)
        if (!pl_mul_ok(t->bytes, t->shape[i], &t->bytes))
            return pl_fail(PL_E_WISH, "'%s' would be larger than any file", t->name);
    return PL_OK;
}

/* Which tensors share a file: as many as fit, by an upper bound of what their entries take. */
static pl_status cut(pl_st_layout *l, int64_t max_shard, pl_arena *arena)
{
    enum { HEAD_BYTES = 256, ENTRY_BYTES = 128 };      /* what they take at most, without names and shapes */
    l->file = PL_ZNEW(arena, pl_st_out_file, pl_max64(l->tensors, 1));
    if (!l->file) return PL_E_MEMORY;
    l->files = 1;
    pl_st_out_file *now = &l->file[0];
    int64_t bytes = HEAD_BYTES;
    for (int i = 0; i < l->tensors; i++) {
        pl_st_out *t = &l->tensor[i];
        int64_t more;
        PL_TRY(measure(t));
        if (!pl_add_ok(t->bytes, ENTRY_BYTES + (int64_t)strlen(t->name) + 24 * t->dims, &more) ||
            !pl_add_ok(bytes, more, &bytes) || !pl_add_ok(l->data_bytes, t->bytes, &l->data_bytes))
            return pl_fail(PL_E_WISH, "the output would be larger than any file");
        if (max_shard > 0 && bytes > max_shard && now->tensors) {
            now = &l->file[l->files++];
            now->first = i;
            bytes = HEAD_BYTES + more;
        }
        t->file = l->files - 1;
        now->tensors++;
    }
    if (l->files > PL_MAX_OUTFILES / 2)
        return pl_fail(PL_E_WISH, "files of %lld bytes would be %d, at most %d can be written together",
                       (long long)max_shard, l->files, PL_MAX_OUTFILES / 2);
    return PL_OK;
}

/* Places of a file's tensors. `at` counts from the end of the header until that is known. */
static pl_status place(pl_st_layout *l, pl_st_out_file *f)
{
    int64_t data = 0, header;
    for (int width = 8; width > 0; width /= 2) {
        for (int i = f->first; i < f->first + f->tensors; i++) {
            if (width_of(l->tensor[i].dtype) != width) continue;
            l->tensor[i].at = data;
            data += l->tensor[i].bytes;
        }
    }
    header = 8 + head(l, NULL, 0) + 1;
    for (int i = f->first; i < f->first + f->tensors; i++) header += entry(&l->tensor[i], l->tensor[i].at, NULL, 0);
    if (header > PL_MAX_ST_HEADER)
        return pl_fail(PL_E_WISH, "%d tensors need a header of %lld bytes, at most %d are allowed; --max-shard-size "
                       "cuts the output into files", f->tensors, (long long)header, PL_MAX_ST_HEADER);
    f->header = (header + 7) / 8 * 8;
    f->bytes = f->header + data;
    for (int i = f->first; i < f->first + f->tensors; i++) l->tensor[i].at += f->header;
    return PL_OK;
}

static pl_status write_index(pl_st_layout *l, pl_arena *arena)
{
    pl_json_writer *w;
    char name[64], *text;
    PL_TRY(pl_json_writer_create(&w));
    pl_json_begin_object(w, NULL);
    pl_json_begin_object(w, "metadata");
    pl_json_put_int(w, "total_size", l->data_bytes);
    pl_json_end(w);
    pl_json_begin_object(w, "weight_map");
    for (int i = 0; i < l->tensors; i++) {
        pl_st_out_name(l, l->tensor[i].file, name);
        pl_json_put_text(w, l->tensor[i].name, name);
    }
    pl_status code = pl_json_finish(w, &text);
    if (code == PL_OK) {
        l->index = pl_arena_text(arena, text, strlen(text));
        if (!l->index) code = PL_E_MEMORY;
    }
    pl_free(text);
    pl_json_writer_destroy(w);
    return code;
}

pl_status pl_st_lay_out(pl_st_out *tensor, int tensors, int64_t max_shard, const char *format, pl_arena *arena,
                        pl_st_layout *out)
{
    *out = (pl_st_layout){ .format = format, .tensor = tensor, .tensors = tensors };
    PL_TRY(cut(out, max_shard, arena));
    for (int i = 0; i < out->files; i++) PL_TRY(place(out, &out->file[i]));
    return out->files > 1 ? write_index(out, arena) : PL_OK;
}

void pl_st_out_name(const pl_st_layout *l, int i, char out[64])
{
    if (l->files == 1) snprintf(out, 64, "model.safetensors");
    else snprintf(out, 64, "model-%05d-of-%05d.safetensors", i + 1, l->files);
}

pl_status pl_st_write_header(const pl_st_layout *l, int i, pl_outfile *file)
{
    const pl_st_out_file *f = &l->file[i];
    char *text = pl_alloc(f->header + 1, 1);
    if (!text) return PL_E_MEMORY;
    uint64_t len = (uint64_t)f->header - 8;
    for (int k = 0; k < 8; k++) text[k] = (char)(len >> 8 * k);
    int64_t at = 8 + head(l, text + 8, (size_t)len + 1);
    for (int k = f->first; k < f->first + f->tensors; k++)
        at += entry(&l->tensor[k], l->tensor[k].at - f->header, text + at, (size_t)(f->header - at) + 1);
    text[at++] = '}';
    memset(text + at, ' ', (size_t)(f->header - at));
    pl_status code = pl_outfile_write(file, 0, text, (size_t)f->header);
    pl_free(text);
    return code;
}
