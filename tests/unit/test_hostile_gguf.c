/* test_hostile_gguf.c: one small file per flaw that GGUF readers have had; docs/hostile-input.md names them.
 * A refusal must be that of the check: running out of memory would be another status. */
#include <stdarg.h>

#include "formats/gguf.h"
#include "formats/registry.h"
#include "tests/unit/run.h"

/* A file under construction. */
typedef struct draft { uint8_t data[4096]; size_t len; } draft;

static void put(draft *d, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) d->data[d->len++] = (uint8_t)(value >> 8 * i);
}

static void put_text(draft *d, const char *text)
{
    put(d, strlen(text), 8);
    memcpy(d->data + d->len, text, strlen(text));
    d->len += strlen(text);
}

static draft begin(uint64_t tensors, uint64_t keys)
{
    draft d = { "GGUF", 4 };
    put(&d, 3, 4);
    put(&d, tensors, 8);
    put(&d, keys, 8);
    return d;
}

static void key(draft *d, const char *name, uint64_t type)
{
    put_text(d, name);
    put(d, type, 4);
}

static void array(draft *d, const char *name, uint64_t element, uint64_t count)
{
    key(d, name, PL_META_ARRAY);
    put(d, element, 4);
    put(d, count, 8);
}

/* dims: their number, then each. */
static void info(draft *d, const char *name, uint64_t type, uint64_t offset, int dims, ...)
{
    va_list args;
    va_start(args, dims);
    put_text(d, name);
    put(d, (uint64_t)dims, 4);
    for (int i = 0; i < dims; i++) put(d, va_arg(args, uint64_t), 8);
    put(d, type, 4);
    put(d, offset, 8);
    va_end(args);
}

/* The program's own way in, and the container alone: both refuse with this sentence. */
static void refused(const draft *d, const char *sentence)
{
    static const pl_source_ops *const formats[] = { &pl_source_gguf, NULL };
    pl_source *s;
    pl_arena *arena;
    pl_gguf_set set;
    temp_write("x.gguf", d->data, d->len);
    assert_fails(pl_source_open(formats, temp_path("x.gguf"), NULL, &s), PL_E_INPUT, sentence);
    assert_ok(pl_arena_create(&arena));
    assert_fails(pl_gguf_set_open(temp_path("x.gguf"), arena, &set), PL_E_INPUT, sentence);
    pl_gguf_set_close(&set);
    pl_arena_destroy(arena);
}

static const uint64_t two = 2;
#define BIT(n) (UINT64_C(1) << (n))

START_TEST(counts_that_wrap)
{
    const uint64_t bad[] = { UINT64_MAX, BIT(63), BIT(63) - 1, BIT(61), BIT(60) + 1, BIT(58), BIT(32), BIT(32) + 1,
                             PL_MAX_TENSORS + 1 };
    for (int i = 0; i < PL_COUNT(bad); i++) {
        draft tensors = begin(bad[i], 0), keys = begin(0, bad[i]);
        for (int k = 0; k < 100; k++) put(&tensors, 0, 8), put(&keys, 0, 8);
        refused(&tensors, "tensors, at most");
        refused(&keys, "keys, at most");
    }
    draft many = begin(PL_MAX_TENSORS, 0), more = begin(0, PL_MAX_KV);
    refused(&many, "tensors do not fit into the 0 bytes");
    refused(&more, "keys do not fit into the 0 bytes");
}
END_TEST

START_TEST(strings_longer_than_the_file)
{
    const uint64_t bad[] = { BIT(30), BIT(30) + 1, BIT(31), BIT(32) + 3, BIT(62), BIT(63), UINT64_MAX, UINT64_MAX - 7,
                             200 };
    for (int i = 0; i < PL_COUNT(bad); i++) {
        draft value = begin(0, 1), name = begin(0, 1), element = begin(0, 1), tensor = begin(1, 0);
        key(&value, "general.name", PL_META_STRING);
        put(&value, bad[i], 8);
        array(&element, "a", PL_META_STRING, 1);
        put(&element, bad[i], 8);
        put(&name, bad[i], 8);
        put(&tensor, bad[i], 8);
        draft *all[] = { &value, &name, &element, &tensor };
        for (int k = 0; k < PL_COUNT(all); k++) {
            while (all[k]->len < 160) put(all[k], 'x', 1);
            refused(all[k], "bytes");
        }
    }
}
END_TEST

START_TEST(arrays_longer_than_the_file)
{
    static const struct { int element; uint64_t count; } bad[] = {
        { PL_META_U8, BIT(30) }, { PL_META_U8, UINT64_MAX }, { PL_META_U16, BIT(63) }, { PL_META_F32, BIT(62) },
        { PL_META_F32, BIT(62) + 1 }, { PL_META_U64, BIT(61) }, { PL_META_F64, BIT(61) + 1 }, { PL_META_BOOL, BIT(29) },
        { PL_META_STRING, BIT(61) }, { PL_META_STRING, BIT(30) }, { PL_META_STRING, 9 }, { PL_META_I32, 17 },
    };
    for (int i = 0; i < PL_COUNT(bad); i++) {
        draft d = begin(0, 1);
        array(&d, "tokenizer.ggml.tokens", (uint64_t)bad[i].element, bad[i].count);
        for (int k = 0; k < 8; k++) put(&d, 0, 8);
        refused(&d, "key 'tokenizer.ggml.tokens'");
    }
    draft nested = begin(0, 1), unknown = begin(0, 1), type = begin(0, 1);
    array(&nested, "a", PL_META_ARRAY, 1);
    put(&nested, PL_META_ARRAY, 4);
    refused(&nested, "an array of arrays");
    array(&unknown, "a", UINT32_MAX, 0);
    refused(&unknown, "an array of the unknown type 4294967295");
    key(&type, "a", 13);
    put(&type, 0, 8);
    refused(&type, "a value of the unknown type 13");
}
END_TEST

START_TEST(dimensions_of_zero)
{
    for (int dims = 1; dims <= 4; dims++)
        for (int zero = 0; zero < dims; zero++) {
            draft d = begin(1, 0);
            uint64_t n[4] = { 2, 2, 2, 2 };
            n[zero] = 0;
            info(&d, "t", 0, 0, dims, n[0], n[1], n[2], n[3]);
            for (int k = 0; k < 32; k++) put(&d, 0, 8);
            refused(&d, "is 0");
        }
    draft none = begin(1, 0), five = begin(1, 0);
    info(&none, "t", 0, 0, 0);
    put(&none, 0, 8);
    refused(&none, "0 dimensions");
    info(&five, "t", 0, 0, 5, two, two, two, two, two);
    refused(&five, "5 dimensions");
}
END_TEST

START_TEST(sizes_that_wrap)
{
    static const struct { uint64_t a, b, c; int type; } bad[] = {
        { BIT(63), 1, 1, 0 }, { UINT64_MAX, 1, 1, 0 }, { BIT(32), BIT(31), 1, 0 }, { BIT(32), BIT(32), 1, 0 },
        { BIT(62), 4, 1, 0 }, { BIT(61), 1, 1, 0 }, { BIT(61) + 1, 1, 1, 0 }, { BIT(31), BIT(31), 2, 0 },
        { BIT(60), 16, 1, 8 }, { 32, BIT(58), 1, 8 }, { UINT64_C(3037000500), UINT64_C(3037000500), 1, 1 },
    };
    for (int i = 0; i < PL_COUNT(bad); i++) {
        draft d = begin(1, 0);
        info(&d, "t", (uint64_t)bad[i].type, 0, 3, bad[i].a, bad[i].b, bad[i].c);
        for (int k = 0; k < 32; k++) put(&d, 0, 8);
        refused(&d, "tensor 't'");
    }
    /* Each size fits, their padded sum does not; the offsets are what this sum would be. */
    draft sum = begin(3, 0);
    info(&sum, "a", 0, 0, 2, BIT(30), BIT(30));
    info(&sum, "b", 0, BIT(62), 2, BIT(30), BIT(30));
    info(&sum, "c", 0, BIT(63), 1, two);
    refused(&sum, "tensor 'b'");
    draft pad = begin(2, 0);
    info(&pad, "a", 24, 0, 1, BIT(63) - 1);
    info(&pad, "b", 0, BIT(63), 1, two);
    refused(&pad, "tensor 'a'");
}
END_TEST

/* What a converter would otherwise copy from its own memory into the output. */
START_TEST(data_outside_the_file)
{
    draft d = begin(1, 0);
    info(&d, "token_embd.weight", 0, 0, 2, UINT64_C(64), UINT64_C(64));
    while (d.len < 160) put(&d, 0x41, 1);
    refused(&d, "has 16384 bytes from byte 96 on, the file ends at 160");
    draft one = begin(1, 0), behind = begin(1, 0);
    info(&one, "t", 0, 0, 1, two);
    while (one.len < 64 + 7) put(&one, 0, 1);
    refused(&one, "has 8 bytes from byte 64 on, the file ends at 71");
    info(&behind, "t", 0, UINT64_C(1) << 40, 1, two);
    while (behind.len < 200) put(&behind, 0, 1);
    refused(&behind, "is said to begin at 1099511627776");
}
END_TEST

START_TEST(holes_overlaps_and_order)
{
    static const uint64_t offsets[][2] = { { 0, 0 }, { 0, 8 }, { 0, 31 }, { 0, 64 }, { 32, 0 }, { 32, 64 }, { 1, 32 } };
    for (int i = 0; i < PL_COUNT(offsets); i++) {
        draft d = begin(2, 0);
        info(&d, "a", 0, offsets[i][0], 1, two);
        info(&d, "b", 0, offsets[i][1], 1, two);
        for (int k = 0; k < 40; k++) put(&d, 0, 8);
        refused(&d, "is said to begin at");
    }
}
END_TEST

START_TEST(other_byte_order)
{
    for (uint32_t version = 1; version <= 3; version++) {
        draft d = { "GGUF", 4 };
        put(&d, version << 24, 4);
        put(&d, 0, 7), put(&d, 1, 1), put(&d, 0, 7), put(&d, 1, 1);
        refused(&d, "big-endian");
    }
}
END_TEST

/* ---- vocabularies ---- */

/* Keys of an SPM vocabulary of four tokens; `instead` takes the place of the key with its name. */
typedef void (*writer)(draft *d);

static void keep_model(draft *d) { key(d, PL_GGUF_TOK_MODEL, PL_META_STRING), put_text(d, "llama"); }
static void keep_bpe(draft *d) { key(d, PL_GGUF_TOK_MODEL, PL_META_STRING), put_text(d, "gpt2"); }
static void keep_tokens(draft *d)
{
    static const char *const text[] = { "<unk>", "<s>", "</s>", "a" };
    array(d, PL_GGUF_TOK_TOKENS, PL_META_STRING, 4);
    for (int i = 0; i < 4; i++) put_text(d, text[i]);
}
static void keep_scores(draft *d)
{
    array(d, PL_GGUF_TOK_SCORES, PL_META_F32, 4);
    for (int i = 0; i < 4; i++) put(d, 0, 4);
}

static void vocab_refused(const writer *parts, int count, const char *sentence)
{
    draft d = begin(0, (uint64_t)count);
    pl_arena *arena;
    pl_gguf_set set;
    pl_vocab *vocab;
    for (int i = 0; i < count; i++) parts[i](&d);
    temp_write("v.gguf", d.data, d.len);
    assert_ok(pl_arena_create(&arena));
    assert_ok(pl_gguf_set_open(temp_path("v.gguf"), arena, &set));
    assert_fails(pl_gguf_vocab(&set.shard[0], NULL, arena, &vocab), PL_E_INPUT, sentence);
    ck_assert_ptr_null(vocab);
    pl_gguf_set_close(&set);
    pl_arena_destroy(arena);
}

#define VOCAB_REFUSED(sentence, ...)                                                               \
    vocab_refused((const writer[]){ __VA_ARGS__ }, PL_COUNT(((const writer[]){ __VA_ARGS__ })), sentence)

static void tokens_i32(draft *d) { array(d, PL_GGUF_TOK_TOKENS, PL_META_I32, 4), put(d, 0, 8), put(d, 0, 8); }
static void tokens_string(draft *d) { key(d, PL_GGUF_TOK_TOKENS, PL_META_STRING), put_text(d, "abcd"); }
static void tokens_none(draft *d) { array(d, PL_GGUF_TOK_TOKENS, PL_META_STRING, 0); }
static void scores_f64(draft *d) { array(d, PL_GGUF_TOK_SCORES, PL_META_F64, 4), d->len += 32; }
static void scores_i32(draft *d) { array(d, PL_GGUF_TOK_SCORES, PL_META_I32, 4), d->len += 16; }
static void scores_three(draft *d) { array(d, PL_GGUF_TOK_SCORES, PL_META_F32, 3), d->len += 12; }
static void scores_five(draft *d) { array(d, PL_GGUF_TOK_SCORES, PL_META_F32, 5), d->len += 20; }
static void scores_text(draft *d) { array(d, PL_GGUF_TOK_SCORES, PL_META_STRING, 4), d->len += 32; }
static void types_u32(draft *d) { array(d, PL_GGUF_TOK_TYPES, PL_META_U32, 4), d->len += 16; }
static void types_i8(draft *d) { array(d, PL_GGUF_TOK_TYPES, PL_META_I8, 4), d->len += 4; }
static void types_i64(draft *d) { array(d, PL_GGUF_TOK_TYPES, PL_META_I64, 4), d->len += 32; }
static void merges_i32(draft *d) { array(d, PL_GGUF_TOK_MERGES, PL_META_I32, 2), d->len += 8; }
static void merges_one(draft *d) { key(d, PL_GGUF_TOK_MERGES, PL_META_STRING), put_text(d, "a b"); }
static void merges_bad(draft *d) { array(d, PL_GGUF_TOK_MERGES, PL_META_STRING, 1), put_text(d, "a b"); }
static void merges_empty(draft *d) { array(d, PL_GGUF_TOK_MERGES, PL_META_STRING, 1), put_text(d, ""); }
static void bos_wraps(draft *d) { key(d, PL_GGUF_TOK_BOS, PL_META_U64), put(d, (UINT64_C(1) << 32) + 1, 8); }
static void bos_huge(draft *d) { key(d, PL_GGUF_TOK_BOS, PL_META_U64), put(d, UINT64_MAX, 8); }
static void bos_minus(draft *d) { key(d, PL_GGUF_TOK_BOS, PL_META_I32), put(d, UINT32_MAX, 4); }
static void bos_behind(draft *d) { key(d, PL_GGUF_TOK_BOS, PL_META_U32), put(d, 4, 4); }
static void bos_float(draft *d) { key(d, PL_GGUF_TOK_BOS, PL_META_F32), put(d, 0x3f800000, 4); }
static void eos_array(draft *d) { array(d, PL_GGUF_TOK_EOS, PL_META_U32, 1), put(d, 2, 4); }

START_TEST(vocabularies_of_other_types)
{
    VOCAB_REFUSED("an array of strings", keep_model, tokens_i32, keep_scores);
    VOCAB_REFUSED("an array of strings", keep_model, tokens_string, keep_scores);
    VOCAB_REFUSED("0 tokens", keep_model, tokens_none, keep_scores);
    VOCAB_REFUSED("no array of f32", keep_model, keep_tokens, scores_f64);
    VOCAB_REFUSED("no array of f32", keep_model, keep_tokens, scores_i32);
    VOCAB_REFUSED("no array of f32", keep_model, keep_tokens, scores_text);
    VOCAB_REFUSED("3 elements for 4 tokens", keep_model, keep_tokens, scores_three);
    VOCAB_REFUSED("5 elements for 4 tokens", keep_model, keep_tokens, scores_five);
    VOCAB_REFUSED("no array of i32", keep_model, keep_tokens, keep_scores, types_u32);
    VOCAB_REFUSED("no array of i32", keep_model, keep_tokens, keep_scores, types_i8);
    VOCAB_REFUSED("no array of i32", keep_model, keep_tokens, keep_scores, types_i64);
    VOCAB_REFUSED("an array of strings", keep_bpe, keep_tokens, merges_i32);
    VOCAB_REFUSED("an array of strings", keep_bpe, keep_tokens, merges_one);
    VOCAB_REFUSED("does not join two tokens", keep_bpe, keep_tokens, merges_bad);
    VOCAB_REFUSED("does not join two tokens", keep_bpe, keep_tokens, merges_empty);
}
END_TEST

/* 2^32 + 1 must not become token 1, nor -1 the last one. */
START_TEST(token_ids_do_not_wrap)
{
    VOCAB_REFUSED("is 4294967297, expected 0 to 3", keep_model, keep_tokens, keep_scores, bos_wraps);
    VOCAB_REFUSED("is 9223372036854775807, expected 0 to 3", keep_model, keep_tokens, keep_scores, bos_huge);
    VOCAB_REFUSED("is -1, expected 0 to 3", keep_model, keep_tokens, keep_scores, bos_minus);
    VOCAB_REFUSED("is 4, expected 0 to 3", keep_model, keep_tokens, keep_scores, bos_behind);
    VOCAB_REFUSED("of type f32, expected an integer", keep_model, keep_tokens, keep_scores, bos_float);
    VOCAB_REFUSED("of type array of u32, expected an integer", keep_model, keep_tokens, keep_scores, eos_array);
}
END_TEST

static const char *byte_text;
static void tokens_byte(draft *d)
{
    array(d, PL_GGUF_TOK_TOKENS, PL_META_STRING, 4);
    put_text(d, "<unk>"), put_text(d, "<s>"), put_text(d, "</s>"), put_text(d, byte_text);
}
static void types_byte(draft *d)
{
    array(d, PL_GGUF_TOK_TYPES, PL_META_I32, 4);
    put(d, 2, 4), put(d, 3, 4), put(d, 3, 4), put(d, 6, 4);
}

START_TEST(byte_tokens_outside_a_byte)
{
    static const char *const bad[] = { "<0x-1>", "<0x100>", "<0xG0>", "<0x4>", "<0x>", "0x41", "<0x41", "<0x41>>", "",
                                       "<0X41>", "<0x 1>", "<0x+1>", "a" };
    for (int i = 0; i < PL_COUNT(bad); i++) {
        byte_text = bad[i];
        VOCAB_REFUSED("expected <0x00> to <0xFF>", keep_model, tokens_byte, keep_scores, types_byte);
    }
}
END_TEST

int main(void)
{
    const TTest *tests[] = {
        counts_that_wrap, strings_longer_than_the_file, arrays_longer_than_the_file, dimensions_of_zero,
        sizes_that_wrap, data_outside_the_file, holes_overlaps_and_order, other_byte_order,
        vocabularies_of_other_types, token_ids_do_not_wrap, byte_tokens_outside_a_byte,
    };
    return run_suite("hostile_gguf", tests, PL_COUNT(tests));
}
