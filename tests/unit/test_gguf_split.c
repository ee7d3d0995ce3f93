/* test_gguf_split.c: models in several files: what is written, under which names, and what is refused. */
#include "formats/gguf_layout.h"
#include "tests/unit/gguf_fixture.h"

/* "model-00002-of-00003.gguf" in the folder; one of four buffers in turn. */
static const char *shard_path(int no, int count)
{
    static char buffer[4][160];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(buffer[turn], sizeof buffer[turn], "%s/model-%05d-of-%05d.gguf", folder, no, count);
    return buffer[turn];
}

static void remove_shards(int count)
{
    for (int i = 1; i <= count; i++) unlink(shard_path(i, count));
}

/* As another program would, with no temporary name that could be ours. */
static void put_file(const char *name, const void *data, size_t size)
{
    FILE *file = fopen(name, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

static int64_t size_of(const char *name)
{
    pl_file *file;
    ck_assert_int_eq(pl_file_open(name, &file), PL_OK);
    int64_t size = pl_file_size(file);
    pl_file_close(file);
    return size;
}

static pl_status try_open(const char *name, pl_open_how how, pl_source **s)
{
    return pl_source_open(only_gguf, name, &(pl_open_options){ .how = how }, s);
}

static void refused(const char *name, const char *sentence)
{
    pl_source *s = NULL;
    pl_status code = try_open(name, PL_OPEN_WINDOWS, &s);
    const char *said = code == PL_OK ? "(nothing)" : pl_error();
    ck_assert_msg(code == PL_E_INPUT && strstr(said, sentence), "'%s' expected in '%s'", sentence, said);
}

/* ---- there and back ---- */

/* Every file holds what it may, the set reads back whole from whichever file is named. */
static void check_set(tiny *m, int files, int64_t limit)
{
    pl_arena *arena;
    pl_gguf_set set;
    ck_assert_int_eq(pl_arena_create(&arena), PL_OK);
    ck_assert_int_eq(pl_gguf_set_open(shard_path(files, files), arena, &set), PL_OK);
    ck_assert_int_eq(set.shards, files);
    int64_t bytes = 0, infos = 0;
    for (int i = 0; i < files; i++) {
        const pl_gguf *g = &set.shard[i];
        int64_t size = size_of(shard_path(i + 1, files)), number = -1;
        bytes += size;
        infos += g->infos;
        ck_assert_msg(size <= limit || g->infos <= (i > 0), "file %d of %d bytes", i, (int)size);
        if (i) ck_assert_int_ge(g->infos, 1);
        if (i) ck_assert_int_eq(g->kvs, 3);
        ck_assert_int_eq(pl_gguf_find(g, "split.no")->type, PL_META_U16);
        ck_assert_int_eq(pl_gguf_find(g, "split.count")->type, PL_META_U16);
        ck_assert_int_eq(pl_gguf_find(g, "split.tensors.count")->type, PL_META_I32);
        ck_assert_int_eq(pl_gguf_int(g, "split.tensors.count", true, 0, 99, 0, &number), PL_OK);
        ck_assert_int_eq(number, m->plan.steps);
    }
    ck_assert_int_eq(infos, m->plan.steps);
    ck_assert_int_eq(bytes, m->plan.bytes);
    pl_gguf_set_close(&set);
    pl_arena_destroy(arena);
    for (int i = 0; i < files; i++) {
        pl_source *s;
        ck_assert_msg(try_open(shard_path(i + 1, files), i % 2 ? PL_OPEN_MAP : PL_OPEN_WINDOWS, &s) == PL_OK,
                      "%s", pl_error());
        ck_assert_str_eq(s->model->name, "tiny");
        ck_assert_int_eq(s->model->vocab->count, m->vocab.count);
        ck_assert_int_eq(s->files, files);
        for (int k = 0; k < files; k++) ck_assert_str_eq(s->file[k], shard_path(k + 1, files));
        for (int k = 0; k < s->model->metas; k++)
            ck_assert(strncmp(s->model->meta[k].key, "split.", 6) != 0);
        compare_data(m, s);
        pl_source_close(s);
    }
}

START_TEST(any_limit)
{
    tiny m;
    make_model(&m, PL_VOCAB_BPE);
    int last = INT32_MAX, most = 0;
    for (int64_t limit = 1; limit < 60000; limit += limit < 6000 ? 413 : 5000) {
        int files = write_shards(&m, path, limit);
        ck_assert_int_le(files, last);              /* a larger limit needs no more files */
        last = files;
        if (files > most) most = files;
        if (files == 1) {
            ck_assert_int_eq(size_of(path), m.plan.bytes);
            ck_assert_int_le(m.plan.bytes, limit);
            ck_assert_int_eq(entries(), 1);
            unlink(path);
        } else {
            ck_assert_int_eq(entries(), files);
            check_set(&m, files, limit);
            remove_shards(files);
        }
    }
    ck_assert_int_eq(last, 1);
    ck_assert_int_eq(most, m.plan.steps + 1);       /* the keys, then each tensor alone */
    close_model(&m);
}
END_TEST

/* The same model in one file and joined from several: every byte of every tensor, every key. */
START_TEST(joined_is_the_whole)
{
    tiny m;
    size_t a_size, b_size;
    char copy[160];
    make_model(&m, PL_VOCAB_SPM);
    write_model(&m, path);
    uint8_t *whole = load(path, &a_size);
    int files = write_shards(&m, path, 9000);
    ck_assert_int_gt(files, 2);
    pl_source *s;
    ck_assert_int_eq(try_open(shard_path(2, files), PL_OPEN_WINDOWS, &s), PL_OK);
    tiny again = m;
    again.model = *s->model;
    for (int i = 0; i < m.model.tensors; i++)       /* in the order in which it was planned before */
        again.tensor[i] = s->model->tensor[pl_model_find(s->model, m.tensor[i].id)];
    snprintf(copy, sizeof copy, "%s/copy.gguf", folder);
    write_model(&again, copy);
    uint8_t *joined = load(copy, &b_size);
    ck_assert_uint_eq(a_size, b_size);
    ck_assert_mem_eq(whole, joined, a_size);
    pl_free(whole);
    pl_free(joined);
    unlink(copy);
    pl_source_close(s);
    remove_shards(files);
    close_model(&m);
}
END_TEST

/* ---- names ---- */

START_TEST(names)
{
    static const struct { const char *path; int prefix, no, count; } good[] = {
        { "a-00001-of-00003.gguf", 1, 1, 3 }, { "/x/y.z-00012-of-99999.gguf", 6, 12, 99999 },
        { "a-00001-of-00002-00002-of-00002.gguf", 16, 2, 2 },
    };
    static const char *const bad[] = {
        "a.gguf", "", "-00001-of-00003.gguf", "a-00000-of-00003.gguf", "a-00004-of-00003.gguf",
        "a-0001-of-00003.gguf", "a-00001-of-00003.ggu", "a-00001-of-00003", "a-00001_of-00003.gguf",
        "a-0x001-of-00003.gguf", "a 00001-of-00003.gguf", "a-00001-of-00003.gguf2",
    };
    size_t prefix;
    int no, count;
    for (int i = 0; i < PL_COUNT(good); i++) {
        char again[PATH_MAX];
        ck_assert_msg(pl_gguf_shard_parse(good[i].path, &prefix, &no, &count), "%s", good[i].path);
        ck_assert_uint_eq(prefix, (size_t)good[i].prefix);
        ck_assert(no == good[i].no && count == good[i].count);
        ck_assert_int_eq(pl_gguf_shard_name(good[i].path, prefix, no, count, again), PL_OK);
        ck_assert_str_eq(again, good[i].path);
    }
    for (int i = 0; i < PL_COUNT(bad); i++)
        ck_assert_msg(!pl_gguf_shard_parse(bad[i], &prefix, &no, &count), "%s", bad[i]);
}
END_TEST

START_TEST(output_names)
{
    static const struct { const char *path; int64_t limit; int files; const char *first; } cases[] = {
        { "a.gguf", 0, 1, "a.gguf" },
        { "a.gguf", 5, 1, "a.gguf" },
        { "a.gguf", 5, 3, "a-00001-of-00003.gguf" },
        { "x/a", 5, 3, "x/a-00001-of-00003.gguf" },
        { "a-00001-of-00009.gguf", 5, 3, "a-00001-of-00003.gguf" },
        { "a-00007-of-00009.gguf", 5, 12, "a-00001-of-00012.gguf" },
        { "a-00001-of-00009.gguf", 5, 1, "a.gguf" },
        { "a-00001-of-00009.gguf", 0, 1, "a-00001-of-00009.gguf" },
        { ".gguf", 5, 3, ".gguf-00001-of-00003.gguf" },
    };
    pl_sink *sink;
    char name[PATH_MAX], *longest = malloc(PATH_MAX + 1);
    ck_assert_int_eq(pl_sink_create(&pl_sink_gguf, &sink), PL_OK);
    for (int i = 0; i < PL_COUNT(cases); i++) {
        sink->max_shard = cases[i].limit;
        sink->files = cases[i].files;
        ck_assert_int_eq(pl_sink_file_name(sink, cases[i].path, 0, name), PL_OK);
        ck_assert_str_eq(name, cases[i].first);
    }
    sink->files = 3;
    ck_assert_int_eq(pl_sink_file_name(sink, "a.gguf", 2, name), PL_OK);
    ck_assert_str_eq(name, "a-00003-of-00003.gguf");
    memset(longest, 'a', PATH_MAX);
    longest[PATH_MAX] = 0;
    ck_assert_int_eq(pl_sink_file_name(sink, longest, 0, name), PL_E_WISH);
    sink->files = 1;
    ck_assert_int_eq(pl_sink_file_name(sink, longest, 0, name), PL_E_WISH);
    free(longest);
    pl_sink_close(sink);
}
END_TEST

/* ---- the life of an output ---- */

static pl_status begin(tiny *m, int64_t limit, bool force, pl_sink **sink)
{
    ck_assert_int_eq(pl_sink_create(&pl_sink_gguf, sink), PL_OK);
    (*sink)->max_shard = limit;
    make_plan(m, *sink);
    (*sink)->set.force = force;
    return (*sink)->ops->begin(*sink, path, &m->plan, &m->model);
}

START_TEST(whole_or_nothing)
{
    tiny m;
    pl_sink *sink;
    size_t size;
    make_model(&m, PL_VOCAB_SPM);
    ck_assert_int_eq(begin(&m, 9000, false, &sink), PL_OK);
    int files = sink->files;
    ck_assert_int_gt(files, 3);
    ck_assert_int_eq(entries(), files);             /* all of them temporary */
    for (int i = 1; i <= files; i++) ck_assert(!pl_path_exists(shard_path(i, files)));
    pl_sink_close(sink);
    ck_assert_int_eq(entries(), 0);

    /* One that stands already stops all, before anything is written. */
    put_file(shard_path(3, files), "old", 3);
    ck_assert_int_eq(begin(&m, 9000, false, &sink), PL_E_WISH);
    ck_assert_ptr_nonnull(strstr(pl_error(), shard_path(3, files)));
    pl_sink_close(sink);
    ck_assert_int_eq(entries(), 1);
    pl_free(load(shard_path(3, files), &size));
    ck_assert_uint_eq(size, 3);

    /* Force replaces it, but only with a whole set. */
    ck_assert_int_eq(begin(&m, 9000, true, &sink), PL_OK);
    pl_sink_close(sink);
    pl_free(load(shard_path(3, files), &size));
    ck_assert_uint_eq(size, 3);
    ck_assert_int_eq(write_shards(&m, path, 9000), files);
    check_set(&m, files, 9000);
    remove_shards(files);

    /* One that appears meanwhile stays, and none of ours gets its name. */
    ck_assert_int_eq(begin(&m, 9000, false, &sink), PL_OK);
    put_file(shard_path(2, files), "new", 3);
    ck_assert_int_eq(sink->ops->finish(sink), PL_E_WISH);
    pl_sink_close(sink);
    ck_assert_int_eq(entries(), 1);
    unlink(shard_path(2, files));
    close_model(&m);
}
END_TEST

START_TEST(out_of_memory)
{
    tiny m;
    pl_sink *sink;
    pl_source *s;
    int failures = 0;
    make_model(&m, PL_VOCAB_BPE);
    int files = write_shards(&m, path, 20000);
    for (pl_status code = PL_E_MEMORY; code != PL_OK; failures++) {
        pl_mem_fail_after(failures);
        code = try_open(shard_path(2, files), PL_OPEN_MAP, &s);
        pl_mem_fail_after(-1);
        ck_assert(code == PL_OK || code == PL_E_MEMORY);
    }
    pl_source_close(s);
    remove_shards(files);
    for (pl_status code = PL_E_MEMORY; code != PL_OK; failures++) {
        ck_assert_int_eq(pl_sink_create(&pl_sink_gguf, &sink), PL_OK);
        sink->max_shard = 20000;
        pl_mem_fail_after(failures - 10);
        code = sink->ops->begin(sink, path, &m.plan, &m.model);
        pl_mem_fail_after(-1);
        ck_assert(code == PL_OK || code == PL_E_MEMORY);
        pl_sink_close(sink);
        ck_assert_int_eq(entries(), 0);
    }
    close_model(&m);
}
END_TEST

/* More files than can be written together: said when the plan is made. */
START_TEST(too_many_files)
{
    enum { TENSORS = PL_MAX_OUTFILES + 5 };
    pl_arena *arena;
    pl_gguf_layout l = { .tensors = TENSORS };
    ck_assert_int_eq(pl_arena_create(&arena), PL_OK);
    l.tensor = PL_NEW(arena, pl_gguf_tensor, TENSORS);
    for (int i = 0; i < TENSORS; i++)
        l.tensor[i] = (pl_gguf_tensor){ .name = "t", .rows = 100, .cols = 1, .experts = 1, .bytes = 400 };
    ck_assert_int_eq(pl_gguf_cut(&l, 500, 100, 100, arena), PL_E_WISH);
    ck_assert_ptr_nonnull(strstr(pl_error(), "at most 1024"));
    ck_assert_msg(pl_gguf_cut(&l, 1024, 100, 100, arena) == PL_OK, "%s", pl_error());
    ck_assert_int_eq(l.shards, (TENSORS + 1) / 2);
    for (int i = 0; i < l.shards; i++) ck_assert_int_eq(l.shard[i].data, 416 * l.shard[i].tensors);
    pl_arena_destroy(arena);
}
END_TEST

/* ---- what is refused ---- */

enum { LIMIT = 10000 };

/* Puts a set there, and for each case damages it in one way. */
typedef struct lie {
    int shard;                  /* of the file that lies, from 1 */
    const char *key;            /* whose value becomes `value` of `width` bytes */
    int width;
    uint64_t value;
    const char *sentence;
} lie;

static const lie lies[] = {
    { 1, "split.no", 2, 1, "says it is file 2" },
    { 2, "split.no", 2, 2, "says it is file 3" },
    { 2, "split.no", 2, 99, "the key 'split.no' is 99" },
    { 2, "split.count", 2, 1, "expected 0 to 0" },
    { 2, "split.count", 2, 9, "says it is file 2 of 9, its name says 2 of" },
    { 1, "split.count", 2, 65535, "says it is file 1 of 65535" },
    { 1, "split.tensors.count", 4, 3, "split.tensors.count is 3, the files hold" },
    { 2, "split.tensors.count", 4, 500, "split.tensors.count is 500, the files hold" },
    { 2, "split.tensors.count", 4, UINT32_MAX, "expected 0 to" },
};

START_TEST(lying_shards)
{
    tiny m;
    size_t size;
    const lie *l = &lies[_i];
    make_model(&m, PL_VOCAB_SPM);
    int files = write_shards(&m, path, LIMIT);
    ck_assert_int_ge(files, 3);
    const char *name = shard_path(l->shard, files);
    uint8_t *file = load(name, &size), *at = memmem(file, size, l->key, strlen(l->key));
    ck_assert_ptr_nonnull(at);
    for (int i = 0; i < l->width; i++) at[strlen(l->key) + 4 + (size_t)i] = (uint8_t)(l->value >> 8 * i);
    put_file(name, file, size);
    pl_free(file);
    refused(shard_path(l->shard == 3 ? 1 : 3, files), l->sentence);
    pl_source *s;
    ck_assert_int_eq(try_open(name, PL_OPEN_MAP, &s), PL_E_INPUT);
    remove_shards(files);
    close_model(&m);
}
END_TEST

START_TEST(missing_and_foreign_files)
{
    tiny m;
    size_t size, other_size;
    char other[160];
    make_model(&m, PL_VOCAB_SPM);
    int files = write_shards(&m, path, LIMIT);
    snprintf(other, sizeof other, "%s/other.gguf", folder);
    uint8_t *first = load(shard_path(1, files), &size);

    /* one of the set under a name that says nothing */
    put_file(other, first, size);
    ck_assert_int_eq(files, 4);
    refused(other, "is file 1 of 4 of a split model, which its name should say: NAME-00001-of-00004.gguf");
    unlink(other);
    /* one file twice: numbers differ, then tensors */
    uint8_t *third = load(shard_path(3, files), &other_size);
    put_file(shard_path(2, files), third, other_size);
    refused(shard_path(1, files), "says it is file 3 of 4, its name says 2 of 4");
    uint8_t *no = memmem(third, other_size, "split.no", 8);
    no[12] = 1;
    put_file(shard_path(2, files), third, other_size);
    pl_source *s;
    ck_assert_int_eq(try_open(shard_path(1, files), PL_OPEN_WINDOWS, &s), PL_E_INPUT);
    pl_free(third);
    /* cut short, no GGUF at all, missing */
    ck_assert_int_eq(truncate(shard_path(2, files), 100), 0);
    refused(shard_path(1, files), "-00002-of-00004.gguf: ");
    put_file(shard_path(2, files), "nothing", 7);
    refused(shard_path(4, files), "no GGUF file");
    unlink(shard_path(2, files));
    refused(shard_path(3, files), "file 2 of 4 is missing: '");
    ck_assert_ptr_nonnull(strstr(pl_error(), shard_path(2, files)));
    pl_free(first);
    remove_shards(files);
    close_model(&m);
}
END_TEST

/* Puts a string key in front of a file's others; keys of 32 bytes keep the data where it is. */
static void add_text(const char *name, const char *key, const char *value)
{
    size_t size, at = 24, text = strlen(value), len = strlen(key), more = 8 + len + 4 + 8 + text;
    ck_assert_uint_eq(more % 32, 0);
    uint8_t *file = load(name, &size), *out = pl_alloc((int64_t)(size + more), 1);
    memcpy(out, file, at);
    out[16]++;
    out[at] = (uint8_t)len;
    memcpy(out + at + 8, key, len);
    out[at + 8 + len] = PL_META_STRING;
    out[at + 12 + len] = (uint8_t)text;
    memcpy(out + at + 20 + len, value, text);
    memcpy(out + at + more, file + at, size - at);
    put_file(name, out, size + more);
    pl_free(file);
    pl_free(out);
}

START_TEST(keys_of_later_files)
{
    tiny m;
    pl_source *s;
    make_model(&m, PL_VOCAB_SPM);
    int files = write_shards(&m, path, LIMIT);
    /* what a later file tells of the model is passed over, unless it is of another one */
    add_text(shard_path(2, files), "general.name", "this is no name: the first tells");
    ck_assert_int_eq(try_open(shard_path(1, files), PL_OPEN_WINDOWS, &s), PL_OK);
    ck_assert_str_eq(s->model->name, "tiny");
    pl_source_close(s);
    add_text(shard_path(2, files), "general.architecture", "one that nobody knows of");
    refused(shard_path(1, files), "belongs to a one that nobody knows of model, the first file to a llama one");
    remove_shards(files);
    close_model(&m);
}
END_TEST

/* A set of which one tensor is in two files, with all counts right. */
START_TEST(tensor_twice)
{
    tiny m;
    pl_sink *sink;
    make_model(&m, PL_VOCAB_SPM);
    ck_assert_int_eq(pl_sink_create(&pl_sink_gguf, &sink), PL_OK);
    sink->max_shard = LIMIT;
    make_plan(&m, sink);
    m.step[m.plan.steps - 1].name = m.step[0].name;
    write_planned(&m, sink, path);
    refused(shard_path(1, sink->files), "play the same role");
    remove_shards(sink->files);
    pl_sink_close(sink);
    close_model(&m);
}
END_TEST

/* A file of its own that says it is file 1 of 1. */
START_TEST(set_of_one)
{
    tiny m;
    pl_source *s;
    make_model(&m, PL_VOCAB_SPM);
    int files = write_shards(&m, path, LIMIT);
    remove_shards(files);
    pl_meta keys[] = {
        { .key = "split.count", .type = PL_META_U16, .value.u = 1 },
        { .key = "split.no", .type = PL_META_U16, .value.u = 0 },
        { .key = "split.tensors.count", .type = PL_META_I32, .value.u = (uint64_t)m.plan.steps },
    };
    m.model.meta = keys;
    m.model.metas = PL_COUNT(keys);
    write_model(&m, path);
    s = open_model(PL_OPEN_MAP);
    ck_assert_int_eq(s->model->metas, 0);
    pl_source_close(s);
    keys[2].value.u++;
    write_model(&m, path);
    refused(path, "the files hold");
    close_model(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gguf_split");
    TCase *cases = tcase_create("gguf_split");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, any_limit);
    tcase_add_test(cases, joined_is_the_whole);
    tcase_add_test(cases, names);
    tcase_add_test(cases, output_names);
    tcase_add_test(cases, whole_or_nothing);
    tcase_add_test(cases, out_of_memory);
    tcase_add_test(cases, too_many_files);
    tcase_add_loop_test(cases, lying_shards, 0, PL_COUNT(lies));
    tcase_add_test(cases, missing_and_foreign_files);
    tcase_add_test(cases, keys_of_later_files);
    tcase_add_test(cases, tensor_twice);
    tcase_add_test(cases, set_of_one);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
