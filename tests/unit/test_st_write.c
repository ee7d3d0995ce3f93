/* test_st_write.c: sets of safetensors files, read back; config.json with other members. */
#include "formats/folder.h"
#include "formats/safetensors.h"
#include "formats/st_write.h"
#include "tests/unit/st_fixture.h"
#include "tests/unit/suite.h"

enum { COUNT = 5 };

static void fill(pl_st_out tensor[COUNT])
{
    static const pl_st_out list[COUNT] = {
        { .name = "a.scales", .dtype = "U8", .dims = 2, .shape = { 3, 7 } },
        { .name = "a.weight", .dtype = "U32", .dims = 3, .shape = { 2, 3, 5 } },
        { .name = "b.weight", .dtype = "BF16", .dims = 1, .shape = { 9 } },
        { .name = "c.shape", .dtype = "I64", .dims = 1, .shape = { 2 } },
        { .name = "d", .dtype = "F32", .dims = 0 },
    };
    memcpy(tensor, list, sizeof list);
}

/* All files of a layout, each byte of a tensor its index. */
static void write_set(const pl_st_layout *l)
{
    char name[64];
    for (int i = 0; i < l->files; i++) {
        pl_outfile *file;
        pl_st_out_name(l, i, name);
        ck_assert_int_eq(pl_outfile_create(in(name), l->file[i].bytes, false, &file), PL_OK);
        ck_assert_int_eq(pl_st_write_header(l, i, file), PL_OK);
        for (int k = l->file[i].first; k < l->file[i].first + l->file[i].tensors; k++) {
            uint8_t bytes[256];
            memset(bytes, k + 1, sizeof bytes);
            ck_assert_int_eq(pl_outfile_write(file, l->tensor[k].at, bytes, (size_t)l->tensor[k].bytes), PL_OK);
        }
        ck_assert_int_eq(pl_outfile_commit(file), PL_OK);
    }
    if (l->index) save_text(pl_st_index_name, l->index);
}

/* The set has these tensors, with aligned places and their bytes. */
static void ck_set(const pl_st_set *set, const pl_st_out *tensor)
{
    ck_assert_int_eq(set->tensors, COUNT);
    for (int i = 0; i < COUNT; i++) {
        const pl_st_out *t = &tensor[i];
        const pl_st_tensor *found = pl_st_find(set, t->name, strlen(t->name));
        ck_assert_ptr_nonnull(found);
        ck_assert_str_eq(found->dtype, t->dtype);
        ck_assert_int_eq(found->dims, t->dims);
        for (int d = 0; d < t->dims; d++) ck_assert_int_eq(found->shape[d], t->shape[d]);
        ck_assert_int_eq(found->bytes, t->bytes);
        int64_t elements = 1;
        for (int d = 0; d < t->dims; d++) elements *= t->shape[d];
        ck_assert_int_eq(found->offset % (t->bytes / elements), 0);
        uint8_t bytes[256];
        ck_assert_int_eq(pl_file_read(set->file[found->file], found->offset, bytes, (size_t)found->bytes), PL_OK);
        for (int64_t k = 0; k < found->bytes; k++) ck_assert_int_eq(bytes[k], i + 1);
    }
}

START_TEST(one_file)
{
    pl_st_out tensor[COUNT];
    pl_st_layout l;
    pl_st_set set;
    fill(tensor);
    ck_assert_int_eq(pl_st_lay_out(tensor, COUNT, 0, "mlx", arena, &l), PL_OK);
    ck_assert_int_eq(l.files, 1);
    ck_assert_ptr_null(l.index);
    ck_assert_int_eq(l.data_bytes, 21 + 120 + 18 + 16 + 4);
    ck_assert_int_eq(l.file[0].header % 8, 0);
    ck_assert_int_eq(l.file[0].bytes, l.file[0].header + l.data_bytes);
    write_set(&l);
    ck_assert_int_eq(pl_st_open_file(in("model.safetensors"), arena, &set), PL_OK);
    ck_set(&set, tensor);
    pl_st_close(&set);
}
END_TEST

/* Files are not larger than wished, unless one tensor is. */
START_TEST(shards)
{
    static const struct { int64_t limit; int files; } cases[] = { { 1, 5 }, { 700, 4 }, { 100000, 1 } };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_st_out tensor[COUNT];
        pl_st_layout l;
        pl_st_set set;
        fill(tensor);
        ck_assert_int_eq(pl_st_lay_out(tensor, COUNT, cases[i].limit, "pt", arena, &l), PL_OK);
        ck_assert_int_eq(l.files, cases[i].files);
        for (int f = 0; f < l.files; f++)
            ck_assert(l.file[f].tensors == 1 || l.file[f].bytes <= cases[i].limit);
        if (l.files == 1) continue;
        write_set(&l);
        ck_assert_int_eq(pl_st_open_index(folder, in(pl_st_index_name), arena, &set), PL_OK);
        ck_assert_str_eq(warned, "");           /* total_size is right, too */
        ck_assert_int_eq(set.files, l.files);
        ck_set(&set, tensor);
        pl_st_close(&set);
    }
}
END_TEST

START_TEST(no_tensors)
{
    pl_st_layout l;
    pl_st_set set;
    ck_assert_int_eq(pl_st_lay_out(NULL, 0, 10, "pt", arena, &l), PL_OK);
    write_set(&l);
    ck_assert_int_eq(pl_st_open_file(in("model.safetensors"), arena, &set), PL_OK);
    ck_assert_int_eq(set.tensors, 0);
    pl_st_close(&set);
}
END_TEST

START_TEST(impossible)
{
    static const struct { pl_st_out tensor; const char *sentence; } cases[] = {
        { { .name = "a\"b", .dtype = "F32" }, "is no name" },
        { { .name = "", .dtype = "F32" }, "is no name" },
        { { .name = "a\n", .dtype = "F32" }, "is no name" },
        { { .name = "a", .dtype = "F4" }, "no tensors of F4" },
        { { .name = "a", .dtype = "F32", .dims = 2, .shape = { INT64_C(1) << 32, INT64_C(1) << 31 } }, "larger than any file" },
        { { .name = "a", .dtype = "U8", .dims = 1, .shape = { INT64_MAX } }, "larger than any file" },
        { { .name = "a", .dtype = "U8", .dims = 1, .shape = { -1 } }, "larger than any file" },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_st_out tensor = cases[i].tensor;
        pl_st_layout l;
        ck_assert_int_eq(pl_st_lay_out(&tensor, 1, 0, "pt", arena, &l), PL_E_WISH);
        ck_sentence(cases[i].sentence);
    }
    pl_st_out *many = calloc(PL_MAX_OUTFILES, sizeof *many);
    pl_st_layout l;
    for (int i = 0; i < PL_MAX_OUTFILES; i++) many[i] = (pl_st_out){ .name = "a", .dtype = "F32" };
    ck_assert_int_eq(pl_st_lay_out(many, PL_MAX_OUTFILES, 1, "pt", arena, &l), PL_E_WISH);
    ck_sentence("can be written together");
    free(many);
}
END_TEST

/* What is not edited keeps its text. */
START_TEST(edits)
{
    static const pl_folder_edit edit[] = {
        { .key = "gone" }, { .key = "new", .value = "{\n  \"x\": 1\n}" }, { .key = "type", .value = "\"b\"", .only = true },
    };
    static const struct { const char *before, *after; } cases[] = {
        { "{}", "{\n  \"new\": {\n    \"x\": 1\n  }\n}\n" },
        { " {\"a\" : 1.50, \"gone\":[1,{\"b\":\"}\"}] ,\"type\":\"a\\\"\",\n \"t\": [ 1e6 ,2] }  ",
          "{\n  \"a\" : 1.50,\n  \"type\": \"b\",\n  \"t\": [ 1e6 ,2],\n  \"new\": {\n    \"x\": 1\n  }\n}\n" },
        { "{\"new\":null,\"x\":{\"gone\":1}}", "{\n  \"new\": {\n    \"x\": 1\n  },\n  \"x\":{\"gone\":1}\n}\n" },
        { "{\"gone\":\"\\\\\"}", "{\n  \"new\": {\n    \"x\": 1\n  }\n}\n" },
    };
    const char *text;
    for (int i = 0; i < PL_COUNT(cases); i++) {
        ck_assert_int_eq(pl_folder_edit_json(cases[i].before, "c", edit, PL_COUNT(edit), arena, &text), PL_OK);
        ck_assert_str_eq(text, cases[i].after);
    }
    ck_assert_int_eq(pl_folder_edit_json("[]", "c", edit, PL_COUNT(edit), arena, &text), PL_E_INPUT);
    ck_assert_int_eq(pl_folder_edit_json("{\"a\":", "c", edit, PL_COUNT(edit), arena, &text), PL_E_INPUT);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { one_file, shards, no_tensors, impossible, edits };
    return run_cases("st_write", setup, teardown, tests, PL_COUNT(tests));
}
