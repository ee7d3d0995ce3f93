/* test_gguf_hostile.c: broken and hostile GGUF files are refused with a sentence, nothing worse. */
#include <fcntl.h>

#include "tests/unit/gguf_fixture.h"

/* Opens the file and, if that works, reads every row of every tensor. Success or a sentence. */
static bool survives(pl_open_how how)
{
    pl_source *s;
    pl_status code = pl_source_open(only_gguf, path, &(pl_open_options){ .how = how }, &s);
    if (code != PL_OK) {
        ck_assert(pl_error()[0]);
        return false;
    }
    pl_arena *scratch;
    ck_assert_int_eq(pl_arena_create(&scratch), PL_OK);
    for (int i = 0; i < s->model->tensors; i++) {
        const pl_tensor *t = &s->model->tensor[i];
        float *rows = PL_NEW(scratch, float, t->rows * t->cols);
        ck_assert_int_eq(pl_source_rows(s, i, 0, t->rows, rows, scratch), PL_OK);
        pl_arena_reset(scratch);
    }
    pl_arena_destroy(scratch);
    pl_source_close(s);
    return true;
}

/* Bytes before the tensor data. */
static int64_t header_bytes(void)
{
    pl_file *file;
    pl_arena *arena;
    pl_gguf g;
    ck_assert_int_eq(pl_file_open(path, &file), PL_OK);
    ck_assert_int_eq(pl_arena_create(&arena), PL_OK);
    ck_assert_int_eq(pl_gguf_scan(file, arena, &g), PL_OK);
    pl_arena_destroy(arena);
    pl_file_close(file);
    return g.data;
}

START_TEST(every_truncation)
{
    for (int kind = PL_VOCAB_BPE; kind <= PL_VOCAB_SPM; kind++) {
        tiny m;
        make_model(&m, kind);
        write_model(&m, path);
        int64_t header = header_bytes(), size = m.plan.bytes, padding = 31;
        for (int64_t n = size - padding - 1; n > header; n -= 311) {
            ck_assert_int_eq(truncate(path, n), 0);
            ck_assert(!survives(PL_OPEN_MAP));
        }
        for (int64_t n = header; n >= 0; n--) {
            ck_assert_int_eq(truncate(path, n), 0);
            ck_assert(!survives(PL_OPEN_WINDOWS));
        }
        close_model(&m);
    }
}
END_TEST

START_TEST(every_flipped_byte)
{
    static const uint8_t flips[] = { 0x01, 0x80, 0xff };
    for (int kind = PL_VOCAB_BPE; kind <= PL_VOCAB_SPM; kind++) {
        tiny m;
        size_t size;
        make_model(&m, kind);
        write_model(&m, path);
        uint8_t *good = load(path, &size);
        int64_t header = header_bytes();
        int fd = open(path, O_WRONLY), refused = 0;
        for (int64_t at = 0; at < header; at++) {
            for (int i = 0; i < PL_COUNT(flips); i++) {
                uint8_t bad = good[at] ^ flips[i];
                ck_assert_int_eq(pwrite(fd, &bad, 1, at), 1);
                refused += !survives(i ? PL_OPEN_WINDOWS : PL_OPEN_MAP);
            }
            ck_assert_int_eq(pwrite(fd, &good[at], 1, at), 1);
        }
        ck_assert_int_gt(refused, header);
        ck_assert(survives(PL_OPEN_WINDOWS));
        close(fd);
        pl_free(good);
        close_model(&m);
    }
}
END_TEST

/* A file damaged in one place: `width` bytes of `value` `skip` bytes behind the first occurrence of
 * `anchor` (a key or name: its value or shape follows it, its length stands 8 bytes before it). */
typedef struct damage {
    const char *anchor;
    int skip, width;
    uint64_t value;
    const char *sentence;       /* part of what must be said */
} damage;

#define Q "blk.0.attn_q.weight"     /* [32, 32] of q8_0: dims at 4, type at 20, offset at 24 */

static const damage spm_damages[] = {
    { "GGUF", -4, 4, 0x46554748, "is no model" },
    { "GGUF", 0, 4, 0, "version 0" },
    { "GGUF", 0, 4, 1, "version 1" },
    { "GGUF", 0, 4, 4, "version 4" },
    { "GGUF", 0, 4, 0x03000000, "big-endian" },
    { "GGUF", 4, 8, 1 << 18, "tensors do not fit" },
    { "GGUF", 4, 8, UINT64_MAX, "tensors, at most" },
    { "GGUF", 12, 8, 60000, "keys do not fit" },
    { "GGUF", 12, 8, UINT64_C(1) << 61, "keys, at most" },
    { "general.architecture", -28, 8, 0, "a key of 0 bytes" },
    { "general.architecture", -28, 8, UINT64_MAX, "a key of" },
    { "general.architecture", -20, 1, 27, "control character" },
    { "general.architecture", -1, 1, 'X', "'general.architecture' is missing" },
    { "general.architecture", 12, 5, 0x726568746f, "architecture 'other'" },
    { "general.type", 0, 4, 13, "unknown type 13" },
    { "general.type", 12, 5, 0x7470616461, "holds a GGUF 'adapt'" },
    { "general.name", 4, 8, UINT64_C(1) << 40, "a string of" },
    { "general.name", 4, 8, 1 << 29, "bytes expected" },
    { "general.name", 12, 1, 0, "NUL character" },
    { "general.file_type", 0, 4, PL_META_F32, "is of type f32" },
    { "x.strings", 4, 4, PL_META_ARRAY, "an array of arrays" },
    { "x.strings", 4, 4, 13, "unknown type 13" },
    { "x.strings", 8, 8, UINT64_C(1) << 40, "an array of" },
    { "x.strings", 8, 8, 1 << 29, "bytes expected" },
    { "x.strings", 16, 8, UINT64_MAX, "bytes expected" },
    { "x.numbers", 8, 8, 1 << 29, "bytes expected" },
    { "tokenizer.ggml.bos_token_id", -12, 1, 'e', "is there twice" },
    { "tokenizer.ggml.add_bos_token", 4, 1, 2, "truth value" },
    { "llama.block_count", 4, 4, 0, "expected 1 to" },
    { "llama.block_count", 4, 4, 1 << 30, "expected 1 to" },
    { "llama.block_count", 4, 4, 3, "missing" },
    { "llama.block_count", 4, 4, 1, "layer 1" },
    { "llama.context_length", -1, 1, 'X', "is missing" },
    { "llama.embedding_length", 4, 4, 0, "expected 1 to" },
    { "llama.embedding_length", 4, 4, 64, "should be" },
    { "llama.feed_forward_length", 4, 4, 64, "should be" },
    { "llama.attention.head_count", 4, 4, 0, "expected 1 to" },
    { "llama.attention.head_count_kv", 4, 4, 3, "expected 1 to" },
    { "llama.attention.layer_norm_rms_epsilon", 4, 4, 0x7fc00000, "expected 0 to 1" },
    { "llama.attention.key_length", 4, 4, 32, "expected one even number" },
    { "llama.attention.value_length", 4, 4, 32, "expected one even number" },
    { "llama.rope.freq_base", 4, 4, 0, "expected 1 to" },
    { "llama.rope.dimension_count", 4, 4, 8, "that rotate" },
    { "llama.vocab_size", 4, 4, 11, "says 11 tokens" },
    { "tokenizer.ggml.model", 12, 5, 0x7472656262, "tokenizer model 'bbert'" },
    { "tokenizer.ggml.token_type", 4, 4, PL_META_F32, "no array of i32" },
    { "tokenizer.ggml.token_type", 16, 4, 7, "unknown type 7" },
    { "tokenizer.ggml.token_type", 16, 4, 0, "unknown type 0" },
    { "tokenizer.ggml.scores", 4, 4, PL_META_U32, "no array of f32" },
    { "tokenizer.ggml.scores", 16, 4, 0x7fc00000, "not a number" },
    { "tokenizer.ggml.scores", -1, 1, 'X', "is missing" },
    { "tokenizer.ggml.eos_token_id", 4, 4, 10, "expected 0 to 9" },
    { "tokenizer.ggml.eos_token_id", 4, 4, UINT32_MAX, "expected 0 to 9" },
    { "<0x41>", -3, 2, '-' | '1' << 8, "byte token" },
    { "<0x41>", -1, 1, ')', "byte token" },
    { "▁", 8, 1, 'b', "tokens 5 and 6 are both 'b'" },
    { "output_norm.weight", 4, 8, UINT64_C(1) << 61, "too many bytes" },
    { Q, -27, 8, 64, "a tensor name of 64 bytes" },
    { Q, -27, 8, 0, "a tensor name of 0 bytes" },
    { Q, -15, 1, '1', "is there twice" },
    { Q, -9, 1, 'z', "is no tensor" },
    { Q, 0, 4, 0, "0 dimensions" },
    { Q, 0, 4, 5, "5 dimensions" },
    { Q, 0, 4, UINT32_MAX, "dimensions" },
    { Q, 4, 8, 0, "dimension 0 is 0" },
    { Q, 4, 8, UINT64_MAX, "dimension 0 is -1" },
    { Q, 12, 8, UINT64_C(1) << 60, "dimension 1" },
    { Q, 4, 8, 33, "no multiple of the 32" },
    { Q, 12, 8, 64, "is said to begin" },
    { Q, 20, 4, 4, "unknown storage type 4" },
    { Q, 20, 4, 9, "stored as q8_1" },
    { Q, 20, 4, 12, "no multiple of the 256" },
    { Q, 20, 4, 1000, "unknown storage type 1000" },
    { Q, 20, 4, UINT32_MAX, "unknown storage type" },
    { Q, 24, 8, 0, "is said to begin" },
    { Q, 24, 8, UINT64_MAX - 31, "is said to begin" },
};

static const damage bpe_damages[] = {
    { "tokenizer.ggml.eot_token_id", 4, 4, 8, "expected 0 to 7" },
    { "tokenizer.ggml.merges", 24, 1, 'z', "merge 0" },
    { "tokenizer.ggml.merges", 25, 1, 'x', "merge 0" },
    { "tokenizer.ggml.merges", -1, 1, 'X', "is missing" },
};

/* The file must be refused, saying `sentence`. */
static void refused(const char *sentence, const char *what, int detail)
{
    pl_source *s = NULL;
    pl_status code = pl_source_open(only_gguf, path, NULL, &s);
    const char *said = code == PL_OK ? "(nothing)" : pl_error();
    ck_assert_msg(code == PL_E_INPUT && strstr(said, sentence), "%s %d: '%s' expected in '%s'",
                  what, detail, sentence, said);
}

static void apply(uint8_t *file, size_t size, const damage *d)
{
    uint8_t *at = memmem(file, size, d->anchor, strlen(d->anchor));
    ck_assert_msg(at, "%s", d->anchor);
    at += (int)strlen(d->anchor) + d->skip;
    for (int k = 0; k < d->width; k++) at[k] = (uint8_t)(d->value >> 8 * k);
}

static void refuse_damaged(pl_vocab_kind kind, const damage *d)
{
    tiny m;
    size_t size;
    make_model(&m, kind);
    write_model(&m, path);
    uint8_t *file = load(path, &size);
    apply(file, size, d);
    save(file, size);
    refused(d->sentence, d->anchor, d->skip);
    pl_free(file);
    close_model(&m);
}

START_TEST(damaged_spm)
{
    refuse_damaged(PL_VOCAB_SPM, &spm_damages[_i]);
}
END_TEST

START_TEST(damaged_bpe)
{
    refuse_damaged(PL_VOCAB_BPE, &bpe_damages[_i]);
}
END_TEST

/* A key put in front of the others. */
typedef struct addition {
    const char *key, *hidden;   /* hidden: a key that gets another name before */
    int type, bytes;
    const char *value;          /* as it stands in a file */
    const char *sentence;       /* NULL: the file is a good one */
} addition;

static const addition additions[] = {
    { "general.name", NULL, PL_META_STRING, 9, "\1\0\0\0\0\0\0\0x", "is there twice" },
    { "general.alignment", NULL, PL_META_U32, 4, "\0\0\0\0", "is 0, a power of two" },
    { "general.alignment", NULL, PL_META_U32, 4, "\x30\0\0\0", "is 48, a power of two" },
    { "general.alignment", NULL, PL_META_U32, 4, "\4\0\0\0", "is 4, a power of two" },
    { "general.alignment", NULL, PL_META_U32, 4, "\0\0\0\x80", "is 2147483648, a power of two" },
    { "general.alignment", NULL, PL_META_U64, 8, "\x20\0\0\0\0\0\0\0", "32-bit unsigned" },
    { "split.count", NULL, PL_META_U16, 2, "\2\0", "'split.no' is missing" },
    { "split.count", NULL, PL_META_STRING, 9, "\1\0\0\0\0\0\0\0x", "is of type string" },
    { "split.tensors.count", NULL, PL_META_I32, 4, "\1\0\0\0", "is 1, the files hold" },
    { "llama.rope.scaling.type", NULL, PL_META_STRING, 12, "\4\0\0\0\0\0\0\0ntks", "'ntks'" },
    { "llama.rope.scaling.factor", NULL, PL_META_F32, 4, "\0\0\xc0\x7f", "expected 0 to" },
    { "llama.expert_count", NULL, PL_META_U32, 4, "\x08\0\0\0", "expert_used_count' is missing" },
    { "llama.logit_scale", NULL, PL_META_F32, 4, "\0\0\0\x40", "not supported" },
    { "llama.attention.causal", NULL, PL_META_BOOL, 1, "\0", "not causal" },
    { "tokenizer.ggml.scores", "tokenizer.ggml.scores", PL_META_ARRAY, 16,
      "\6\0\0\0" "\1\0\0\0\0\0\0\0" "\0\0\0\0", "1 elements for 10 tokens" },
    { "tokenizer.ggml.token_type", "tokenizer.ggml.token_type", PL_META_ARRAY, 16,
      "\5\0\0\0" "\1\0\0\0\0\0\0\0" "\0\0\0\0", "1 elements for 10 tokens" },
    { "tokenizer.ggml.tokens", "tokenizer.ggml.tokens", PL_META_ARRAY, 12,
      "\x08\0\0\0" "\0\0\0\0\0\0\0\0", "0 tokens" },
    { "tokenizer.ggml.tokens", "tokenizer.ggml.tokens", PL_META_ARRAY, 16,
      "\5\0\0\0" "\1\0\0\0\0\0\0\0" "\0\0\0\0", "an array of strings" },
    { "llama.feed_forward_length", "llama.feed_forward_length", PL_META_ARRAY, 20,
      "\4\0\0\0" "\2\0\0\0\0\0\0\0" "\x30\0\0\0\x20\0\0\0", "differs from layer to layer" },
    { "llama.feed_forward_length", "llama.feed_forward_length", PL_META_ARRAY, 20,
      "\4\0\0\0" "\2\0\0\0\0\0\0\0" "\x30\0\0\0\x30\0\0\0", NULL },
    { "general.alignment", NULL, PL_META_U32, 4, "\x08\0\0\0", NULL },
    { "llama.rope.scaling.attn_factor", NULL, PL_META_F32, 4, "\0\0\x80\x3f", NULL },
};

enum { HEADER = 24 };               /* magic, version, two counts */

static size_t add_key(uint8_t *to, const char *key, int type, const void *value, size_t bytes)
{
    uint64_t len = strlen(key);
    uint32_t id = (uint32_t)type;
    memcpy(to, &len, 8);
    memcpy(to + 8, key, len);
    memcpy(to + 8 + len, &id, 4);
    memcpy(to + 12 + len, value, bytes);
    return 12 + len + bytes;
}

START_TEST(one_key_more)
{
    tiny m;
    size_t size;
    const addition *a = &additions[_i];
    make_model(&m, PL_VOCAB_SPM);
    write_model(&m, path);
    uint8_t *good = load(path, &size), *file = pl_alloc((int64_t)size + 256, 1);
    if (a->hidden) apply(good, size, &(damage){ a->hidden, -1, 1, 'X', NULL });
    memcpy(file, good, HEADER);
    file[16] += 2;
    size_t n = HEADER + add_key(file + HEADER, a->key, a->type, a->value, (size_t)a->bytes);
    /* a second key fills up to the alignment, so that the data stays where it is expected */
    uint64_t filler = 64 - (n - HEADER + 8 + 1 + 4 + 8) % 32;
    uint8_t zeros[8 + 64] = { (uint8_t)filler };
    n += add_key(file + n, "z", PL_META_STRING, zeros, 8 + filler);
    memcpy(file + n, good + HEADER, size - HEADER);
    save(file, n + size - HEADER);
    if (a->sentence) refused(a->sentence, a->key, _i);
    else ck_assert_msg(survives(PL_OPEN_MAP), "%s", pl_error());
    pl_free(good);
    pl_free(file);
    close_model(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gguf_hostile");
    TCase *cases = tcase_create("gguf_hostile");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, every_truncation);
    tcase_add_test(cases, every_flipped_byte);
    tcase_add_loop_test(cases, damaged_spm, 0, PL_COUNT(spm_damages));
    tcase_add_loop_test(cases, damaged_bpe, 0, PL_COUNT(bpe_damages));
    tcase_add_loop_test(cases, one_key_more, 0, PL_COUNT(additions));
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
