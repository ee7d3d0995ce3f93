/* mutate.c: choosing what of an input to change. */
#include "tests/fuzz/mutate.h"

#include <stdlib.h>
#include <string.h>

void fuzz_replace(fuzz_buffer *b, size_t from, size_t old, const void *bytes, size_t n)
{
    if (from + old > b->len || b->len - old + n > b->most) return;
    uint8_t *copy = malloc(n + 1);
    if (!copy) return;
    if (n) memcpy(copy, bytes, n);
    memmove(b->data + from + n, b->data + from + old, b->len - from - old);
    memcpy(b->data + from, copy, n);
    b->len += n - old;
    free(copy);
}

void fuzz_mutate_bytes(fuzz_buffer *b, size_t from, size_t len)
{
    size_t room = len + 64;
    uint8_t *copy = malloc(room);
    if (!copy) return;
    memcpy(copy, b->data + from, len);
    size_t now = LLVMFuzzerMutate(copy, len, room);
    fuzz_replace(b, from, len, copy, now);
    free(copy);
}

uint64_t fuzz_odd_number(fuzz_buffer *b, uint64_t was)
{
    static const uint64_t odd[] = {
        0, 1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 63, 64, 127, 128, 255, 256, 257, 1023, 1024, 1025, 4096, 32767,
        32768, 65535, 65536, 1 << 20, (1 << 20) + 1, INT32_MAX, UINT64_C(1) << 31, UINT32_MAX,
        UINT64_C(1) << 32, (UINT64_C(1) << 32) + 1, (UINT64_C(1) << 53) - 1, UINT64_C(1) << 53,
        (UINT64_C(1) << 53) + 1, UINT64_C(1) << 60, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX - 31, UINT64_MAX
    };
    switch (fuzz_below(b, 8)) {
    case 0: return was + 1;
    case 1: return was - 1;
    case 2: return was * 2;
    case 3: return was / 2;
    case 4: return was ^ UINT64_C(1) << fuzz_below(b, 64);
    case 5: return 0 - was;
    default: return odd[fuzz_below(b, sizeof odd / sizeof *odd)];
    }
}

static void mutate_kind(fuzz_buffer *b, char kind)
{
    if (fuzz_below(b, 8) == 0) kind = 't';
    if (kind == 'j') fuzz_mutate_json(b);
    else if (kind == 's') fuzz_mutate_safetensors(b);
    else if (kind == 'g') fuzz_mutate_gguf(b);
    else b->len = LLVMFuzzerMutate(b->data, b->len, b->most);
}

size_t fuzz_mutate(const char *kinds, uint8_t *data, size_t len, size_t most, unsigned seed)
{
    fuzz_part part[FUZZ_PARTS];
    fuzz_buffer whole = { data, len, most, seed };
    int parts = fuzz_split_parts(data, len, part), letters = (int)strlen(kinds);
    if (fuzz_below(&whole, 32) == 0 || most < len) return LLVMFuzzerMutate(data, len, most);
    int at = (int)fuzz_below(&whole, (uint64_t)parts);
    size_t from = (size_t)(part[at].data - data), room = part[at].len + (most - len);
    if (room == 0) return len;
    fuzz_buffer one = { malloc(room), part[at].len, room, whole.state };
    if (!one.data) return len;
    memcpy(one.data, part[at].data, one.len);
    int rounds = 1 + (int)fuzz_below(&one, 3);
    for (int i = 0; i < rounds; i++) mutate_kind(&one, kinds[at < letters ? at : letters - 1]);
    fuzz_replace(&whole, from, part[at].len, one.data, one.len);
    free(one.data);
    return whole.len;
}
