/* test_pack_hostile.c: packs that are damaged, cut, or lie: refused with one sentence that says where. */
#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/pack_fixture.h"

/* A refusal: PL_E_INPUT, one sentence that begins with the file and, if wanted, names a segment. */
static void expect_refused(pl_status code, bool segment, const char *what, int64_t at)
{
    const char *sentence = pl_error();
    ck_assert_msg(code == PL_E_INPUT, "%s %lld: status %d, %s", what, (long long)at, code, code ? sentence : "");
    ck_assert_msg(strstr(sentence, ".pl: ") && !strchr(sentence, '\n'), "%s %lld: %s", what, (long long)at, sentence);
    const char *name = strstr(sentence, "segment '");
    ck_assert_msg(!segment || (name && strchr(name + 9, '\'')), "%s %lld: %s", what, (long long)at, sentence);
}

/* ---- damage ---- */

static void flip(int fd, int64_t at)
{
    uint8_t byte;
    ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
    byte ^= (uint8_t)(1 << at % 8);
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
}

static int64_t size_of(const char *name, int *fd)
{
    *fd = open(temp_path(name), O_RDWR);
    ck_assert_int_ge(*fd, 0);
    return lseek(*fd, 0, SEEK_END);
}

/* One bit of bytes `first`, first + step ... of a pack. */
static void flip_bytes(int zstd, int64_t first, int64_t step)
{
    int fd;
    char path[PATH_MAX];
    assert_ok(pack_convert(&(pack_wish){ .zstd = zstd }, &pl_sink_pack, "a.pl"));
    snprintf(path, sizeof path, "%s", temp_path("a.pl"));
    int64_t size = size_of("a.pl", &fd);
    ck_assert_int_gt(size, 20000);
    for (int64_t at = first; at < size; at += step) {
        flip(fd, at);
        expect_refused(pack_verify_file(path, PL_OPEN_WINDOWS), true, "byte", at);
        flip(fd, at);
    }
    assert_ok(pack_verify_file(path, PL_OPEN_WINDOWS));
    close(fd);
}

/* All bytes, in two processes; under a sanitizer, which takes ten times as long, some. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { STEP = 14 };
#elif defined __has_feature
enum { STEP = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ? 14 : 2 };
#else
enum { STEP = 2 };
#endif
START_TEST(every_even_byte) { flip_bytes(0, 0, STEP); }
END_TEST
START_TEST(every_odd_byte) { flip_bytes(0, 1, STEP); }
END_TEST
START_TEST(bytes_of_a_compressed_pack) { flip_bytes(5, 0, 4 * STEP - 1); }
END_TEST

/* The engine's way of opening finds damage in frames without being asked: first, middle and last byte of each. */
START_TEST(flipped_under_a_map)
{
    for (int zstd = 0; zstd <= 5; zstd += 5) {
        int fd;
        pack_pieces p;
        assert_ok(pack_convert(&(pack_wish){ .zstd = zstd }, &pl_sink_pack, "a.pl"));
        pack_take_apart(temp_path("a.pl"), &p);
        size_of("a.pl", &fd);
        for (int64_t i = 0; i < p.frames; i++) {
            int64_t at = pack_u64(p.table + i * PL_PACK_ENTRY), stored = pack_u64(p.table + i * PL_PACK_ENTRY + 8) & 0xffffffff;
            for (int64_t k = 0; k <= 2; k++) {
                int64_t byte = at + k * (stored - 1) / 2;
                pl_source *s;
                flip(fd, byte);
                expect_refused(pl_source_open(pl_sources, temp_path("a.pl"), &(pl_open_options){ .how = PL_OPEN_MAP }, &s),
                               true, "byte", byte);
                flip(fd, byte);
            }
        }
        assert_ok(pack_verify_file(temp_path("a.pl"), PL_OPEN_MAP));
        close(fd);
        pack_free_pieces(&p);
        unlink(temp_path("a.pl"));
    }
}
END_TEST

/* Rows of a frame that is damaged after the file was opened. */
START_TEST(flipped_while_open)
{
    int fd;
    pl_source *s;
    pl_arena *scratch;
    pack_pieces p;
    assert_ok(pl_arena_create(&scratch));
    assert_ok(pack_convert(&(pack_wish){ 0 }, &pl_sink_pack, "a.pl"));
    pack_take_apart(temp_path("a.pl"), &p);
    assert_ok(pl_source_open(pl_sources, temp_path("a.pl"), NULL, &s));
    size_of("a.pl", &fd);
    float *rows = PL_NEW(scratch, float, 40 * 32);
    int t = pl_model_find(s->model, pl_id_make(PL_TOKEN_EMBD, -1, -1));
    flip(fd, pack_u64(p.table + 3 * PL_PACK_ENTRY) + 700);      /* frames of three files come before it */
    expect_refused(pl_source_rows(s, t, 7, 1, rows, scratch), true, "frame", 3);
    ck_assert_ptr_nonnull(strstr(pl_error(), "segment 'input'"));
    pl_source_close(s);
    close(fd);
    pack_free_pieces(&p);
    pl_arena_destroy(scratch);
}
END_TEST

static void expect_bytes_refused(const char *bytes, size_t len, const char *what, int64_t at)
{
    temp_write("b.pl", bytes, len);
    expect_refused(pack_verify_file(temp_path("b.pl"), PL_OPEN_WINDOWS), len > 4096, what, at);
}

START_TEST(longer_and_shorter)
{
    for (int zstd = 0; zstd <= 5; zstd += 5) {
        char *bytes;
        size_t len;
        assert_ok(pack_convert(&(pack_wish){ .zstd = zstd }, &pl_sink_pack, "a.pl"));
        assert_ok(pl_file_load(temp_path("a.pl"), 1 << 24, &bytes, &len));
        char *other = pl_alloc((int64_t)len + 1, 1);
        ck_assert_ptr_nonnull(other);
        memcpy(other, bytes, len);
        expect_bytes_refused(other, len + 1, "a zero more than", (int64_t)len);
        for (size_t cut = 1; cut <= 300; cut++) expect_bytes_refused(bytes, len - cut, "without the last", (int64_t)cut);
        for (size_t size = len - 300; size > 8; size -= size / 9 + 1) expect_bytes_refused(bytes, size, "cut to", (int64_t)size);
        expect_bytes_refused(bytes, 8, "cut to", 8);
        for (size_t at = 0; at < len; at += at < 70 ? 1 : 97) {         /* one byte less, one more, in the middle */
            if (at >= 8) {
                memcpy(other, bytes, at);
                memcpy(other + at, bytes + at + 1, len - at - 1);
                expect_bytes_refused(other, len - 1, "without byte", (int64_t)at);
                memcpy(other + at + 1, bytes + at, len - at);
                other[at] = 0;
                expect_bytes_refused(other, len + 1, "with a byte more at", (int64_t)at);
            }
        }
        pl_free(other);
        pl_free(bytes);
        unlink(temp_path("a.pl"));
    }
}
END_TEST

/* ---- lies ---- */

/* Where `what` stands behind `after` in the index. */
static char *find(pack_pieces *p, const char *after, const char *what)
{
    char *at = strstr(p->text, after);
    ck_assert_msg(at, "no %s", after);
    at = strstr(at, what);
    ck_assert_msg(at, "no %s behind %s", what, after);
    return at;
}

/* Puts `text` in the place of `what`. */
static void replace(pack_pieces *p, const char *after, const char *what, const char *text)
{
    size_t at = (size_t)(find(p, after, what) - p->text), old = strlen(what), len = strlen(p->text), more = strlen(text);
    p->text = pl_realloc(p->text, (int64_t)(len + more + 1), 1);
    ck_assert_ptr_nonnull(p->text);
    memmove(p->text + at + more, p->text + at + old, len - at - old + 1);
    memcpy(p->text + at, text, more);
}

/* Puts a number in the place of the one that `key` has behind `after`; *old: what it was. */
static void set_number(pack_pieces *p, const char *after, const char *key, int64_t add)
{
    char quoted[64], number[64];
    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    char *at = find(p, after, quoted) + strlen(quoted), *end;
    int64_t old = strtoll(at, &end, 10);
    char was[64];
    snprintf(was, sizeof was, "%s%.*s", quoted, (int)(end - at), at);
    snprintf(number, sizeof number, "%s%lld", quoted, (long long)(old + add));
    replace(p, after, was, number);
}

static void begin(pack_pieces *p)
{
    assert_ok(pack_convert(&(pack_wish){ 0 }, &pl_sink_pack, "a.pl"));
    pack_take_apart(temp_path("a.pl"), p);
    unlink(temp_path("a.pl"));
}

static void put(pack_pieces *p)
{
    pack_put_together(p, "b.pl");
    pack_free_pieces(p);
}

START_TEST(put_together_again)
{
    pack_pieces p;
    begin(&p);
    put(&p);
    assert_ok(pack_verify_file(temp_path("b.pl"), PL_OPEN_MAP));
}
END_TEST

START_TEST(features)
{
    pack_pieces p;
    begin(&p);
    replace(&p, "{", "\"required\": [\n\n  ]", "\"required\": [\"chains\"]");
    put(&p);
    assert_fails(pack_verify_file(temp_path("b.pl"), PL_OPEN_WINDOWS), PL_E_INPUT, "needs 'chains', which this version");
    static const char *const wrong[] = { "\"zstd2\"", "{\"zstd\": 1}", "[1]", "[\"zstd\", \"\"]", "[[\"zstd\"]]", "true" };
    for (int i = 0; i < PL_COUNT(wrong); i++) {
        char text[64];
        begin(&p);
        snprintf(text, sizeof text, "\"required\": %s", wrong[i]);
        replace(&p, "{", "\"required\": [\n\n  ]", text);
        put(&p);
        expect_refused(pack_verify_file(temp_path("b.pl"), PL_OPEN_WINDOWS), false, wrong[i], 0);
    }
    /* Unknown keys, anywhere. */
    begin(&p);
    replace(&p, "{", "\"required\": [\n\n  ]", "\"required\": [\"zstd\"], \"later\": {\"a\": [1, null]}");
    replace(&p, "\"segments\"", "\"name\"", "\"later\": 1, \"name\"");
    replace(&p, "\"files\"", "\"name\"", "\"later\": \"x\", \"name\"");
    replace(&p, "\"tensors\"", "\"role\"", "\"later\": [], \"role\"");
    replace(&p, "\"tensors\"", "\"scheme\"", "\"later\": false, \"scheme\"");
    replace(&p, "\"parts\"", "\"dtype\"", "\"later\": 1e3, \"dtype\"");
    put(&p);
    assert_ok(pack_verify_file(temp_path("b.pl"), PL_OPEN_MAP));
}
END_TEST

/* Texts of the index, after an anchor, and what stands there instead. */
START_TEST(lies_in_the_index)
{
    static const struct { const char *after, *what, *instead; } lies[] = {
        { "{", "planish-pack", "planish-pick" },
        { "{", "\"version\": 1", "\"version\": 2" },
        { "{", "\"architecture\": \"llama\"", "\"architecture\": \"gpt2\"" },
        { "{", "\"architecture\": \"llama\"", "\"architecture\": 7" },
        { "{", "\"name\": \"fake\"", "\"name\": \"\"" },
        { "{", "\"segments\": [", "\"segment\": [" },
        { "{", "\"files\": [", "\"file\": [" },
        { "{", "\"tensors\": [", "\"tensor\": [" },
        { "{", "\"segments\": [", "\"segments\": [{\"name\": \"more\", \"first\": 0, \"frames\": 1}, " },
        { "{", "\"segments\": [", "\"segments\": [{\"name\": \"\", \"first\": 0, \"frames\": 0}, " },
        { "{", "\"files\": [", "\"files\": [{\"name\": \"a\", \"bytes\": 0, \"frame\": 1, \"first\": 0}, " },
        { "\"files\"", "model.gguf", "model.ggml" },
        { "\"files\"", "config.json", "../x" },
        { "\"files\"", "config.json", ".x" },
        { "\"files\"", "config.json", "LICENSE" },
        { "\"files\"", "config.json", "model.gguf" },
        { "\"files\"", "config.json", "a/b" },
        { "\"tensors\"", "token_embd", "token_embed" },
        { "\"tensors\"", "\"element\": \"q4_0\"", "\"element\": \"q4_1\"" },
        { "\"tensors\"", "\"element\": \"q4_0\"", "\"element\": \"q8_k\"" },
        { "\"tensors\"", "\"element\": \"q4_0\"", "\"element\": \"u32\"" },
        { "\"tensors\"", "\"element\": \"q4_0\"", "\"bits\": 4" },
        { "\"tensors\"", "\"element\": \"q4_0\"", "\"element\": \"q4_0\", \"symmetric\": true" },
        { "\"tensors\"", "\"element\": \"q4_0\"", "\"element\": \"q4_0\", \"global\": true" },
        { "\"tensors\"", "\"element\": \"q4_0\"", "\"element\": \"q4_0\", \"group\": 32" },
        { "\"tensors\"", "\"dtype\": \"q4_0\"", "\"dtype\": \"q8_0\"" },
        { "\"tensors\"", "\"scheme\": \"plain\"", "\"scheme\": \"scaled\"" },
        { "\"tensors\"", "\"scheme\": \"plain\"", "\"scheme\": \"plainer\"" },
        { "\"tensors\"", "\"role\": \"codes\"", "\"role\": \"scales\"" },
        { "\"tensors\"", "\"role\": \"codes\"", "\"role\": \"?\"" },
        { "attn_q", "\"layer\": 0", "\"layer\": 1" },
        { "attn_q", "\"layer\": 0", "\"layer\": -1" },
        { "attn_q", "\"layer\": 0", "\"layer\": 0, \"expert\": 0" },
        { "attn_q", "\"layer\": 0", "\"layer\": 1000000000000" },
        { "\"role\": \"attn_k\"", "attn_k", "attn_q" },                 /* twins */
        { "\"role\": \"attn_k\"", "attn_k", "ffn_up" },
        { "\"role\": \"attn_k\"", "attn_k", "output" },
        { "attn_q", "\"bits\": 4", "\"bits\": 3" },
        { "attn_q", "\"bits\": 4", "\"bits\": 33" },
        { "attn_q", "\"bits\": 4", "\"bits\": 0" },
        { "attn_q", "\"bits\": 4", "\"bits\": 1" },
        { "attn_q", "\"group\": 32", "\"group\": 0" },
        { "attn_q", "\"group\": 32", "\"group\": 7" },
        { "attn_q", "\"group\": 32", "\"group\": 2147483648" },
        { "attn_q", "\"group\": 32", "\"group\": 32, \"group_rows\": 1" },
        { "attn_q", "\"scale\": \"bf16\"", "\"scale\": \"q8_0\"" },
        { "attn_q", "\"scale\": \"bf16\"", "\"scale\": \"u8\"" },
        { "attn_q", "\"scale\": \"bf16\",", "" },
        { "attn_q", "\"role\": \"biases\"", "\"role\": \"zeros\"" },
        { "\"role\": \"attn_k\"", "\"symmetric\": true", "\"symmetric\": false" },
        { "\"role\": \"attn_k\"", "\"symmetric\": true", "\"symmetric\": 1" },
        { "\"role\": \"attn_v\"", "\"bits\": 3", "\"bits\": 3, \"symmetric\": true" },
        { "\"role\": \"attn_output\"", "\"group_rows\": 1", "\"group_rows\": 2" },
        { "\"role\": \"attn_output\"", "\"group_rows\": 1", "\"group_rows\": -1" },
        { "\"role\": \"attn_output\"", "\"scale\": \"f8_e8m0\"", "\"scale\": \"f8_e4m3\"" },
    };
    for (int i = 0; i < PL_COUNT(lies); i++) {
        pack_pieces p;
        begin(&p);
        replace(&p, lies[i].after, lies[i].what, lies[i].instead);
        put(&p);
        expect_refused(pack_verify_file(temp_path("b.pl"), PL_OPEN_WINDOWS), false, lies[i].instead, i);
    }
}
END_TEST

/* Numbers of the index, one more, one less, a lot more. */
START_TEST(wrong_numbers)
{
    static const struct { const char *after, *key; } numbers[] = {
        { "\"segments\"", "first" }, { "\"segments\"", "frames" }, { "\"name\": \"input\"", "first" },
        { "\"name\": \"output\"", "frames" }, { "\"files\"", "bytes" }, { "\"files\"", "first" }, { "config.json", "bytes" },
        { "config.json", "first" }, { "\"tensors\"", "segment" }, { "\"tensors\"", "rows" }, { "\"tensors\"", "cols" },
        { "\"tensors\"", "bytes" }, { "\"tensors\"", "first" }, { "ffn_down", "rows" }, { "ffn_down", "cols" },
        { "ffn_down", "first" }, { "attn_norm", "rows" }, { "attn_norm", "cols" },
    };
    static const int64_t more[] = { 1, -1, 64, 1000000000, INT64_C(1) << 40, (INT64_C(1) << 53) - 100000, INT64_MAX / 2,
                                    -1000000000 };
    for (int i = 0; i < PL_COUNT(numbers); i++) {
        for (int k = 0; k < PL_COUNT(more); k++) {
            pack_pieces p;
            begin(&p);
            set_number(&p, numbers[i].after, numbers[i].key, more[k]);
            put(&p);
            expect_refused(pack_verify_file(temp_path("b.pl"), PL_OPEN_WINDOWS), false, numbers[i].key, more[k]);
        }
    }
}
END_TEST

static void set_entry(pack_pieces *p, int64_t frame, int at, int bytes, uint64_t value)
{
    for (int i = 0; i < bytes; i++) p->table[frame * PL_PACK_ENTRY + at + i] = (uint8_t)(value >> 8 * i);
}

/* Places and sizes in the table of frames. */
START_TEST(lies_in_the_table)
{
    static const struct { int64_t frame, add; int at, bytes; } lies[] = {
        { 5, -64, 0, 8 },                   /* into the frame before */
        { 5, 1, 0, 8 }, { 3, 64, 0, 8 },    /* not where a blob, a segment may begin */
        { 0, -4096, 0, 8 }, { 0, -1, 0, 8 }, { 0, INT64_MIN, 0, 8 }, { 2, 1 << 20, 0, 8 }, { 2, INT64_MAX / 2, 0, 8 },
        { 4, 1, 8, 4 }, { 4, -1, 8, 4 }, { 4, 1 << 30, 8, 4 }, { 4, 1, 12, 4 }, { 4, -1, 12, 4 }, { 4, 1 << 23, 12, 4 },
        { 4, 1, 16, 4 }, { 4, 2, 16, 4 }, { 4, 1, 20, 4 }, { 4, 1, 23, 1 },
    };
    for (int i = 0; i < PL_COUNT(lies); i++) {
        pack_pieces p;
        begin(&p);
        uint64_t old = (uint64_t)pack_u64(p.table + lies[i].frame * PL_PACK_ENTRY + lies[i].at);
        set_entry(&p, lies[i].frame, lies[i].at, lies[i].bytes, old + (uint64_t)lies[i].add);
        put(&p);
        expect_refused(pack_verify_file(temp_path("b.pl"), PL_OPEN_WINDOWS), false, "table", i);
    }
    /* All of a frame empty; frames behind those that the index knows. */
    pack_pieces p;
    begin(&p);
    set_entry(&p, 6, 8, 8, 0);
    put(&p);
    expect_refused(pack_verify_file(temp_path("b.pl"), PL_OPEN_WINDOWS), false, "no bytes", 6);
    begin(&p);
    p.table = pl_realloc(p.table, p.frames + 1, PL_PACK_ENTRY);
    ck_assert_ptr_nonnull(p.table);
    memcpy(p.table + p.frames * PL_PACK_ENTRY, p.table + (p.frames - 1) * PL_PACK_ENTRY, PL_PACK_ENTRY);
    p.frames++;
    put(&p);
    expect_refused(pack_verify_file(temp_path("b.pl"), PL_OPEN_WINDOWS), false, "a frame more", 0);
    begin(&p);
    p.frames--;
    put(&p);
    expect_refused(pack_verify_file(temp_path("b.pl"), PL_OPEN_WINDOWS), false, "a frame less", 0);
}
END_TEST

/* Frames that call themselves compressed: what is in them is no zstd frame of that size, though their digests are right. */
START_TEST(no_zstd_inside)
{
    for (int how = PL_OPEN_WINDOWS; how <= PL_OPEN_MAP; how++) {
        pl_source *s;
        pl_arena *scratch;
        pack_pieces p;
        begin(&p);
        replace(&p, "{", "\"required\": [\n\n  ]", "\"required\": [\"zstd\"]");
        uint64_t stored = (uint64_t)pack_u64(p.table + 3 * PL_PACK_ENTRY + 8) & 0xffffffff;
        pl_pack_frame f = { .stored = (uint32_t)stored - 1 };
        assert_ok(pl_pack_know(&f, p.body + pack_u64(p.table + 3 * PL_PACK_ENTRY)));
        set_entry(&p, 3, 8, 4, stored - 1);
        set_entry(&p, 3, 16, 4, 1);
        set_entry(&p, 3, 24, 8, f.check);
        memcpy(p.table + 3 * PL_PACK_ENTRY + 32, f.sha.byte, 32);
        p.body[pack_u64(p.table + 3 * PL_PACK_ENTRY) + stored - 1] = 0;
        put(&p);
        assert_ok(pl_arena_create(&scratch));
        pl_status code = pl_source_open(pl_sources, temp_path("b.pl"), &(pl_open_options){ .how = (pl_open_how)how }, &s);
        if (code == PL_OK) {
            pl_packed rows;
            int t = pl_model_find(s->model, pl_id_make(PL_TOKEN_EMBD, -1, -1));
            ck_assert_int_eq(how, PL_OPEN_WINDOWS);
            code = pl_source_packed(s, t, 0, 1, &rows, scratch);
            expect_refused(code, true, "rows", 0);
            pl_source_close(s);
        } else {
            expect_refused(code, true, "open", 0);
        }
        pl_arena_destroy(scratch);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        every_even_byte, every_odd_byte, bytes_of_a_compressed_pack, flipped_under_a_map, flipped_while_open, longer_and_shorter,
        put_together_again, features, lies_in_the_index, wrong_numbers, lies_in_the_table, no_zstd_inside,
    };
    return run_suite("pack_hostile", tests, PL_COUNT(tests));
}
