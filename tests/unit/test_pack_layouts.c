/* test_pack_layouts.c: packs whose matrices are stored in other layouts: however they are written and read, it is the same
 * model; and what they may not say of a layout. */
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/pack_fixture.h"

static const struct { const char *layout, *type; } kinds[] = {
    { "marlin", "int4-g32" }, { "marlin", "int8" }, { "rows4", "q4_0" }, { "rows8", "mxfp4" }, { "nvfp4-atom", "nvfp4" },
    { "nvfp4-atom", "mxfp8" },
};

static const fake_options large = { .layers = 2, .hidden = 128, .ffn = 256, .vocab = 384, .dtype = PL_F16, .seed = 5 };

static pl_status make(const char *name, int kind, const char *layout, int zstd, int threads, int64_t range, bool resume)
{
    const pack_wish wish = { .model = &large, .type = kinds[kind].type, .layout = layout, .zstd = zstd, .threads = threads,
                             .range = range, .resume = resume };
    return pack_convert(&wish, &pl_sink_pack, name);
}

static void open_as(const char *name, pl_open_how how, pl_source **s)
{
    assert_ok(pl_source_open(pack_only, temp_path(name), &(pl_open_options){ .how = how, .resident = 1 << 20 }, s));
}

/* Parts of all tensors of layer `layer`, -1 and the number of layers for the others. */
static void expect_parts(pl_source *plain, pl_source *s, int layer, pl_arena *scratch, int *seen)
{
    assert_ok(pl_source_need(s, layer, -1));
    for (int t = 0; t < s->model->tensors; t++) {
        pl_packed a, b;
        pl_id id = s->model->tensor[t].id;
        int64_t rows = s->model->tensor[t].rows;
        bool output = id.role == PL_OUTPUT || id.role == PL_OUTPUT_NORM;
        if ((id.layer >= 0 ? id.layer : output ? s->model->hp.layers : -1) != layer) continue;
        pl_arena_reset(scratch);
        assert_ok(pl_source_packed(plain, t, 0, rows, &a, scratch));
        assert_ok(pl_source_packed(s, t, 0, rows, &b, scratch));
        ck_assert_int_eq(a.nparts, b.nparts);
        for (int p = 0; p < a.nparts; p++) ck_assert_mem_eq(b.part[p].ptr, a.part[p].ptr, (size_t)a.part[p].bytes);
        ++*seen;
    }
    pl_source_done(s, layer, -1);
}

static void expect_same_model(const char *name, pl_open_how how)
{
    pl_source *plain, *s;
    pl_arena *scratch;
    int seen = 0;
    assert_ok(pl_arena_create(&scratch));
    open_as("plain.pl", PL_OPEN_WINDOWS, &plain);
    open_as(name, how, &s);
    for (int layer = -1; layer <= 2; layer++) expect_parts(plain, s, layer, scratch, &seen);
    ck_assert_int_eq(seen, plain->model->tensors);
    if (how != PL_OPEN_STREAM) {            /* rows from the middle */
        float *a = PL_NEW(scratch, float, 3 * 256), *b = PL_NEW(scratch, float, 3 * 256);
        for (int t = 0; t < s->model->tensors; t++) {
            const pl_tensor *tensor = &s->model->tensor[t];
            for (int64_t r = 0; r + 3 <= tensor->rows; r += 37) {
                assert_ok(pl_source_rows(plain, t, r, 3, a, scratch));
                assert_ok(pl_source_rows(s, t, r, 3, b, scratch));
                ck_assert_mem_eq(a, b, (size_t)(3 * tensor->cols) * sizeof *a);
            }
        }
        assert_ok(s->ops->verify(s, scratch));
    }
    pl_source_close(s);
    pl_source_close(plain);
    pl_arena_destroy(scratch);
}

START_TEST(the_same_model)
{
    for (int kind = 0; kind < PL_COUNT(kinds); kind++) {
        assert_ok(make("plain.pl", kind, NULL, 0, 2, 0, false));
        for (int zstd = 0; zstd <= 3; zstd += 3) {
            assert_ok(make("a.pl", kind, kinds[kind].layout, zstd, 2, 0, false));
            for (int how = PL_OPEN_WINDOWS; how <= PL_OPEN_STREAM; how++)
                if (how != PL_OPEN_STORED) expect_same_model("a.pl", (pl_open_how)how);
            temp_drop("a.pl");
        }
        temp_drop("plain.pl");
    }
}
END_TEST

/* For any number of threads, and ranges of a band and of several. */
START_TEST(the_same_file)
{
    for (int kind = 0; kind < PL_COUNT(kinds); kind++) {
        assert_ok(make("a.pl", kind, kinds[kind].layout, 0, 1, 0, false));
        for (int64_t range = 1; range < 100000; range *= 300) {
            assert_ok(make("b.pl", kind, kinds[kind].layout, 0, 3, range, false));
            temp_same("a.pl", "b.pl");
            temp_drop("b.pl");
        }
        temp_drop("a.pl");
    }
}
END_TEST

static int puts_left;

static pl_status put_and_die(pl_sink *s, const pl_part *part, int64_t offset, const void *bytes, size_t len)
{
    if (puts_left-- == 0) _exit(9);
    return pl_sink_pack.put(s, part, offset, bytes, len);
}

/* Ended at some put, gone on with. */
START_TEST(resumed)
{
    pl_sink_ops mortal = pl_sink_pack;
    mortal.put = put_and_die;
    for (int kind = 0; kind < PL_COUNT(kinds); kind += 2) {
        pack_wish wish = { .model = &large, .type = kinds[kind].type, .layout = kinds[kind].layout, .threads = 1,
                           .range = 20000 };
        assert_ok(pack_convert(&wish, &pl_sink_pack, "a.pl"));
        for (int left = 12; left < 60; left += 11) {
            int status;
            pid_t child = fork();
            ck_assert_int_ge(child, 0);
            puts_left = left;
            if (child == 0) _exit(pack_convert(&wish, &mortal, "b.pl") == PL_OK ? 0 : 1);
            ck_assert_int_eq(waitpid(child, &status, 0), child);
            if (WEXITSTATUS(status) == 9) {
                pack_wish again = wish, other = wish;
                again.resume = other.resume = true;
                other.layout = NULL;
                ck_assert_int_eq(pack_convert(&other, &pl_sink_pack, "b.pl"), PL_E_WISH);     /* another plan */
                assert_ok(pack_convert(&again, &pl_sink_pack, "b.pl"));
            }
            temp_same("a.pl", "b.pl");
            temp_drop("b.pl");
        }
        temp_drop("a.pl");
    }
}
END_TEST

/* ---- what an index may not say ---- */

static const char *const lies[][3] = {  /* what stands there, what takes its place, what is said of it */
    { "\"required\":[\"layout\"]", "\"required\":[]", "a layout" },
    { "\"required\":[\"layout\"]", "\"required\":[\"lay\"]", "needs 'lay'" },
    { "\"unit\":", "\"unit\":0,\"was\":", "unit" },
    { "\"unit\":", "\"unit\":7,\"was\":", "no whole units" },
    { "\"fields\":[", "\"fields\":3,\"was\":[", "a layout" },
    { "\"fields\":[", "\"fields\":[],\"was\":[", "no whole units" },
    { "\"fields\":[", "\"fields\":[{},{},{},{},{}],\"was\":[", "a layout" },
    { "\"fields\":[", "\"fields\":[{}],\"was\":[", "bits" },
    { "\"bits\":8,\"order\":\"", "\"bits\":0,\"order\":\"", "bits" },
    { "\"bits\":8,\"order\":\"", "\"bits\":16,\"order\":\"", "layout 'rows4'" },
    { "\"bits\":8,\"order\":\"", "\"bits\":8,\"from\":1,\"order\":\"", "no bijection" },
    { "\"bits\":8,\"order\":\"", "\"bits\":8,\"flip\":256,\"order\":\"", "flip" },
    { "\"bits\":8,\"order\":\"", "\"bits\":8,\"from\":-1,\"order\":\"", "from" },
    { "\"order\":\"", "\"order\":\"4:1\",\"was\":\"", "layout 'rows4'" },
    { "\"order\":\"", "\"order\":\"(4:1\",\"was\":\"", "expected" },
    { "\"order\":\"", "\"order\":7,\"was\":\"", "order" },
    { "\"name\":\"rows4\",", "", "name" },
};

START_TEST(lies_about_layouts)
{
    pack_pieces p;
    assert_ok(make("a.pl", 2, "rows4", 0, 2, 0, false));
    pack_take_apart(temp_path("a.pl"), &p);
    char *to = p.text;          /* without what the lies below do not have */
    for (const char *from = p.text; *from; from++)
        if (*from != ' ' && *from != '\n') *to++ = *from;
    *to = 0;
    for (int i = 0; i < PL_COUNT(lies); i++) {
        char *was = p.text, *at = strstr(was, lies[i][0]);
        ck_assert_msg(at != NULL, "no %s", lies[i][0]);
        p.text = pl_alloc((int64_t)(strlen(was) + strlen(lies[i][1]) + 1), 1);
        sprintf(p.text, "%.*s%s%s", (int)(at - was), was, lies[i][1], at + strlen(lies[i][0]));
        pack_put_together(&p, "b.pl");
        for (int how = PL_OPEN_WINDOWS; how <= PL_OPEN_MAP; how++) {
            pl_source *s;
            pl_status code = pl_source_open(pack_only, temp_path("b.pl"), &(pl_open_options){ .how = (pl_open_how)how }, &s);
            ck_assert_msg(code == PL_E_INPUT && strstr(pl_error(), lies[i][2]), "%d: %d %s", i, code, code ? pl_error() : "");
        }
        pl_free(p.text);
        p.text = was;
    }
    pack_free_pieces(&p);
}
END_TEST

static pl_status use(pl_open_how how)
{
    pl_source *s;
    pl_arena *scratch;
    pl_packed all;
    PL_TRY(pl_arena_create(&scratch));
    pl_status code = pl_source_open(pack_only, temp_path("a.pl"), &(pl_open_options){ .how = how }, &s);
    for (int t = 0; code == PL_OK && t < s->model->tensors; t++)
        code = pl_source_packed(s, t, 0, s->model->tensor[t].rows, &all, scratch);
    pl_source_close(s);
    pl_arena_destroy(scratch);
    return code;
}

/* The n-th allocation after the model was made. */
static pl_status write_failing_at(int64_t n)
{
    const pack_wish wish = { .model = &large, .type = "nvfp4", .layout = "nvfp4-atom", .zstd = 3, .threads = 1 };
    pack_run r;
    pack_ready(&r, &wish);
    pl_mem_fail_after(n);
    pl_status code = pack_write(&r, &wish, &pl_sink_pack, temp_path("a.pl"));
    pack_done(&r);
    pl_mem_fail_after(-1);
    return code;
}

START_TEST(without_memory)
{
    pl_status code = PL_E_MEMORY;
    for (int64_t n = 0; code != PL_OK; n += 1 + n / 20) {
        code = write_failing_at(n);
        ck_assert_msg(code == PL_OK || code == PL_E_MEMORY, "%d: %d %s", (int)n, code, pl_error());
        if (code != PL_OK) ck_assert_int_ne(access(temp_path("a.pl"), F_OK), 0);
    }
    for (int how = PL_OPEN_WINDOWS; how <= PL_OPEN_MAP; how++) {
        code = PL_E_MEMORY;
        for (int64_t n = 0; code != PL_OK; n++) {
            pl_mem_fail_after(n);
            code = use((pl_open_how)how);
            pl_mem_fail_after(-1);
            ck_assert_msg(code == PL_OK || code == PL_E_MEMORY, "%d: %d %s", (int)n, code, pl_error());
        }
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { the_same_model, the_same_file, resumed, lies_about_layouts, without_memory };
    return run_suite("pack_layouts", tests, PL_COUNT(tests));
}
