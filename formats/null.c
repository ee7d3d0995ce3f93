/* null.c: sinks that write nothing: `count` says how large an output would be, `digest` what is in
 * it. Both ask for the types and row orders that GGUF does, so the work is the same.
 *
 * The digest of a part must not depend on how it was cut into ranges nor on their order, and may
 * not keep bytes back. So it is a sum, linear in the bytes: the part as 64-bit words (little-endian,
 * zeros behind the end) in blocks of 512; word j of a block times weight j, their sum times weight b
 * of block b, added up modulo 2^128. Weights are pseudo-random odd 64-bit numbers. A range that
 * begins or ends inside a word or a block adds its share of it. XXH3 over the sums of all parts, in
 * plan order, is the digest. A range put twice would count twice; finish refuses that. */
#include <stdatomic.h>
#include <string.h>

#include "core/rng.h"
#include "formats/arch.h"
#include "formats/registry.h"

/* ---- what both share ---- */

static pl_type form(const pl_sink *s, pl_type wish, const pl_tensor *t)
{
    return pl_type_scales_like(wish, t->type.element);
}

static pl_status resolve(pl_sink *s, const pl_model *model, const pl_tensor *t, pl_type wish,
                         pl_packed *out, const char **name, pl_arena *arena)
{
    const pl_arch *arch = pl_arch_find(model->arch);
    const pl_arch_tensor *row = arch ? pl_arch_row(arch, t->id.role) : NULL;
    if (!row)
        return pl_fail(PL_E_WISH, "tensor '%s' has no place in architecture '%s'", t->name,
                       model->arch);
    *out = (pl_packed){ .type = t->flags & PL_TENSOR_MATRIX ? wish : pl_type_plain(PL_F32),
                        .rows = t->rows, .cols = t->cols,
                        .order = row->order ? row->order(&model->hp) : 0 };
    *name = pl_arch_name(arch, PL_NAMES_GGUF, t->id, arena);
    return *name ? PL_OK : PL_E_MEMORY;
}

static pl_status size(pl_sink *s, const pl_plan *plan, const pl_model *model, int64_t *bytes)
{
    *bytes = plan->data_bytes;
    return PL_OK;
}

/* ---- count ---- */

static pl_status count_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model)
{
    return PL_OK;
}

static pl_status count_put(pl_sink *s, const pl_part *part, int64_t offset, const void *bytes,
                           size_t len)
{
    return PL_OK;
}

static pl_status count_finish(pl_sink *s) { return PL_OK; }
static void count_close(pl_sink *s) {}

const pl_sink_ops pl_sink_count = {
    .name = "count",
    .extension = "",
    .flags = PL_SINK_ANY_ORDER,
    .form = form,
    .resolve = resolve,
    .size = size,
    .begin = count_begin,
    .put = count_put,
    .finish = count_finish,
    .close = count_close,
};

/* ---- digest ---- */

enum { BLOCK_WORDS = 512 };

typedef struct part_sum {
    atomic_uint_fast64_t low, high, received;   /* low, high: the sum modulo 2^128 */
    int64_t bytes;
} part_sum;

typedef struct digest_state {
    uint64_t weight[BLOCK_WORDS];       /* of the words of a block */
    part_sum *part;                     /* [parts] */
    int parts;
    pl_digest value;
} digest_state;

/* Weight i of a stream: 0 for words, 1 for blocks. */
static uint64_t weight(uint64_t stream, uint64_t i) { return pl_rng_bits(0, stream, i) | 1; }

static pl_status digest_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model)
{
    digest_state *state = s->state;
    state->part = pl_alloc(plan->parts, sizeof *state->part);
    if (!state->part) return PL_E_MEMORY;
    state->parts = plan->parts;
    for (int i = 0; i < BLOCK_WORDS; i++) state->weight[i] = weight(0, (uint64_t)i);
    for (int i = 0; i < plan->steps; i++)
        for (int p = 0; p < plan->step[i].out.nparts; p++)
            state->part[plan->step[i].out.part[p].id].bytes = plan->step[i].out.part[p].bytes;
    return PL_OK;
}

typedef unsigned __int128 wide;

/* `len` bytes from byte `at` of a word on, zeros around them. */
static uint64_t part_of_word(const uint8_t *bytes, size_t len, unsigned at)
{
    uint64_t word = 0;
    memcpy(&word, bytes, len);
    return word << (8 * at);
}

/* `len` bytes that lie inside one block, from its byte `at` on. */
static wide sum_block(const uint64_t *weights, const uint8_t *bytes, size_t len, size_t at)
{
    wide sum = 0;
    weights += at / 8;
    at %= 8;
    if (at) {
        size_t head = len < 8 - at ? len : 8 - at;
        sum = (wide)part_of_word(bytes, head, (unsigned)at) * *weights++;
        bytes += head;
        len -= head;
    }
    for (; len >= 8; len -= 8, bytes += 8) sum += (wide)part_of_word(bytes, 8, 0) * *weights++;
    return len ? sum + (wide)part_of_word(bytes, len, 0) * *weights : sum;
}

static wide sum_range(const uint64_t *weights, const uint8_t *bytes, size_t len, int64_t offset)
{
    const size_t block = BLOCK_WORDS * 8;
    size_t index = (size_t)offset / block, at = (size_t)offset % block;
    wide sum = 0;
    while (len) {
        size_t n = len < block - at ? len : block - at;
        sum += sum_block(weights, bytes, n, at) * weight(1, index++);
        bytes += n;
        len -= n;
        at = 0;
    }
    return sum;
}

static pl_status digest_put(pl_sink *s, const pl_part *part, int64_t offset, const void *bytes,
                            size_t len)
{
    digest_state *state = s->state;
    part_sum *to = &state->part[part->id];
    wide sum = sum_range(state->weight, bytes, len, offset);
    uint64_t low = (uint64_t)sum, before = atomic_fetch_add(&to->low, low);
    atomic_fetch_add(&to->high, (uint64_t)(sum >> 64) + (before + low < before));
    atomic_fetch_add(&to->received, len);
    return PL_OK;
}

static pl_status digest_finish(pl_sink *s)
{
    digest_state *state = s->state;
    pl_hash *hash;
    PL_TRY(pl_hash_create(&hash));
    pl_status code = PL_OK;
    for (int i = 0; i < state->parts && code == PL_OK; i++) {
        part_sum *part = &state->part[i];
        uint64_t sum[] = { atomic_load(&part->low), atomic_load(&part->high),
                           atomic_load(&part->received) };
        pl_hash_update(hash, sum, sizeof sum);
        if (sum[2] != (uint64_t)part->bytes)
            code = pl_fail(PL_E_IO, "digest: part %d has %lld bytes, %llu were put", i,
                           (long long)part->bytes, (unsigned long long)sum[2]);
    }
    state->value = pl_hash_digest(hash);
    pl_hash_destroy(hash);
    return code;
}

static void digest_close(pl_sink *s)
{
    digest_state *state = s->state;
    pl_free(state->part);
}

pl_digest pl_sink_digest_value(const pl_sink *s)
{
    const digest_state *state = s->state;
    return state->value;
}

const pl_sink_ops pl_sink_digest = {
    .name = "digest",
    .extension = "",
    .flags = PL_SINK_ANY_ORDER,
    .state_size = sizeof(digest_state),
    .form = form,
    .resolve = resolve,
    .size = size,
    .begin = digest_begin,
    .put = digest_put,
    .finish = digest_finish,
    .close = digest_close,
};
