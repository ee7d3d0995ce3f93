/* mix.c: which type each tensor gets in each mix of llama-quantize. */
#include "core/mix.h"

#include <string.h>
#include <strings.h>

/* What rules speak of. */
typedef enum part { NOTHING, V, K, Q, O, DOWN, GATE, UP, PARTS } part;

/* Conditions of a rule; all of them must hold. i: running number of a tensor among its like, of n. */
enum {
    GROUPED = 1,                /* at least four heads share a head of keys and values */
    MANY = 2, EIGHT = 4,        /* experts: at least four; exactly eight */
    SEEN = 8, BLIND = 16,       /* there are statistics; there are none */
    FIRST_2 = 32, FIRST_4 = 64, SIXTEENTH = 128, EIGHTH = 256,          /* i at the front */
    MIDDLE = 512,               /* neither the first nor the last eighth */
    MORE = 1024                 /* the first and the last eighth, and every third between */
};
typedef struct rule { uint8_t part; uint16_t when; uint8_t dtype; } rule;

enum {                          /* flags of a mix */
    LOW = 1,                    /* of the types below three bits: other rules for experts */
    O_Q5 = 2,                   /* attention's output is Q5_K in a model of eight experts */
    STACKS = 4                  /* stacks of experts get the base type, everything else Q8_0 */
};

struct pl_mix {
    const char *name, *alias;
    int16_t file_type;
    uint8_t base, flags;
    uint8_t output, table;      /* of the output matrix (0: Q6_K), of a token table beside it (0: base) */
    rule rule[8];               /* the first that holds decides; none: base */
};

#define LOW_RULES(more, first) { V, GROUPED, PL_Q4_K }, { V, MANY, PL_Q4_K }, { V, 0, more }, { DOWN, EIGHTH, first }

/* Of rows with the same base the first is the one for files of a single type. */
static const pl_mix mixes[] = {
    { "q1_0", NULL, 40, PL_Q1_0, 0, 0, 0, { { 0 } } },
    { "q2_0", NULL, 41, PL_Q2_0, 0, 0, PL_Q4_K, { { 0 } } },
    { "tq1_0", NULL, 36, PL_TQ1_0, 0, 0, PL_Q4_K, { { 0 } } },
    { "tq2_0", NULL, 37, PL_TQ2_0, 0, 0, PL_Q4_K, { { 0 } } },
    { "iq1_s", NULL, 24, PL_IQ1_S, LOW | O_Q5, PL_Q5_K, PL_Q2_K,
      { LOW_RULES(PL_Q2_K, PL_Q2_K), { O, 0, PL_IQ2_XXS } } },
    { "iq1_m", NULL, 31, PL_IQ1_M, LOW | O_Q5, PL_Q5_K, PL_Q2_K,
      { LOW_RULES(PL_Q2_K, PL_Q2_K), { O, 0, PL_IQ2_XXS } } },
    { "iq2_xxs", NULL, 19, PL_IQ2_XXS, LOW | O_Q5, PL_Q5_K, PL_Q2_K, { LOW_RULES(PL_Q2_K, PL_Q2_K) } },
    { "iq2_xs", NULL, 20, PL_IQ2_XS, LOW | O_Q5, PL_Q5_K, PL_Q2_K, { LOW_RULES(PL_Q2_K, PL_Q2_K) } },
    { "iq2_s", NULL, 28, PL_IQ2_XS, LOW | O_Q5, PL_Q5_K, PL_IQ3_S,
      { LOW_RULES(PL_IQ3_S, PL_IQ3_S), { O, 0, PL_IQ3_S } } },
    { "iq2_m", NULL, 29, PL_IQ2_S, LOW | O_Q5, PL_Q5_K, PL_IQ3_S,
      { LOW_RULES(PL_IQ3_S, PL_IQ3_S), { O, 0, PL_IQ3_S } } },
    { "q2_k_s", NULL, 21, PL_Q2_K, 0, 0, 0, { { V, GROUPED, PL_Q4_K }, { DOWN, EIGHTH, PL_Q4_K } } },
    { "q2_k", NULL, 10, PL_Q2_K, O_Q5, 0, 0,
      { { V, GROUPED, PL_Q4_K }, { V, 0, PL_Q3_K }, { O, 0, PL_Q3_K }, { DOWN, 0, PL_Q3_K } } },
    { "iq3_xxs", NULL, 23, PL_IQ3_XXS, O_Q5, PL_Q5_K, PL_IQ3_S,
      { { V, GROUPED, PL_Q4_K }, { V, BLIND, PL_IQ3_S }, { K, 0, PL_IQ2_S }, { Q, 0, PL_IQ2_S }, { O, 0, PL_IQ3_S },
        { DOWN, BLIND | EIGHTH, PL_Q4_K }, { DOWN, BLIND, PL_Q3_K } } },
    { "iq3_s", NULL, 26, PL_IQ3_S, O_Q5, 0, 0, { { V, GROUPED, PL_Q4_K } } },
    { "iq3_xs", NULL, 22, PL_IQ3_S, O_Q5, 0, 0,
      { { V, GROUPED, PL_Q4_K }, { K, 0, PL_IQ3_XXS }, { Q, 0, PL_IQ3_XXS }, { GATE, MIDDLE, PL_IQ3_XXS },
        { UP, MIDDLE, PL_IQ3_XXS } } },
    { "iq3_m", NULL, 27, PL_IQ3_S, O_Q5, 0, 0,
      { { V, 0, PL_Q4_K }, { O, 0, PL_Q4_K }, { DOWN, EIGHTH, PL_Q4_K }, { DOWN, EIGHT | MORE, PL_Q4_K } } },
    { "q3_k_s", NULL, 11, PL_Q3_K, O_Q5, 0, 0, { { 0 } } },
    { "q3_k_m", "q3_k", 12, PL_Q3_K, O_Q5, 0, 0,
      { { V, FIRST_2, PL_Q5_K }, { V, 0, PL_Q4_K }, { O, 0, PL_Q4_K }, { DOWN, SIXTEENTH, PL_Q5_K },
        { DOWN, 0, PL_Q4_K } } },
    { "q3_k_l", NULL, 13, PL_Q3_K, 0, 0, 0, { { V, 0, PL_Q5_K }, { O, 0, PL_Q5_K }, { DOWN, 0, PL_Q5_K } } },
    { "iq4_xs", NULL, 30, PL_IQ4_XS, O_Q5, 0, 0, { { V, GROUPED, PL_Q5_K }, { DOWN, BLIND | EIGHTH, PL_Q5_K } } },
    { "iq4_nl", NULL, 25, PL_IQ4_NL, O_Q5, 0, 0, { { V, GROUPED, PL_Q5_K }, { DOWN, BLIND | EIGHTH, PL_Q5_K } } },
    { "q4_0", NULL, 2, PL_Q4_0, 0, 0, 0, { { DOWN, SEEN | EIGHTH, PL_Q4_1 } } },
    { "q4_1", NULL, 3, PL_Q4_1, 0, 0, 0, { { 0 } } },
    { "q4_k_s", NULL, 14, PL_Q4_K, O_Q5, 0, 0, { { V, FIRST_4, PL_Q5_K }, { DOWN, EIGHTH, PL_Q5_K } } },
    { "q4_k_m", "q4_k", 15, PL_Q4_K, O_Q5, 0, 0, { { V, MORE, PL_Q6_K }, { DOWN, MORE, PL_Q6_K } } },
    { "q5_0", NULL, 8, PL_Q5_0, 0, 0, 0, { { DOWN, SEEN | EIGHTH, PL_Q5_1 } } },
    { "q5_1", NULL, 9, PL_Q5_1, 0, 0, 0, { { 0 } } },
    { "q5_k_s", NULL, 16, PL_Q5_K, 0, 0, 0, { { 0 } } },
    { "q5_k_m", "q5_k", 17, PL_Q5_K, 0, 0, 0, { { V, MORE, PL_Q6_K }, { DOWN, MORE, PL_Q6_K } } },
    { "q6_k", NULL, 18, PL_Q6_K, 0, 0, 0, { { 0 } } },
    { "q8_0", NULL, 7, PL_Q8_0, 0, PL_Q8_0, 0, { { 0 } } },
    { "mxfp4_moe", NULL, 38, PL_MXFP4, STACKS, 0, 0, { { 0 } } },
    { "f16", NULL, 1, PL_F16, 0, 0, 0, { { 0 } } },
    { "bf16", NULL, 32, PL_BF16, 0, 0, 0, { { 0 } } },
    { "f32", NULL, 0, PL_F32, 0, 0, 0, { { 0 } } },
};
enum { NVFP4_FILE_TYPE = 39 };  /* llama.cpp has a number for such files, but no mix */

const pl_mix *pl_mix_find(const char *name)
{
    for (int i = 0; i < PL_COUNT(mixes); i++)
        if (!strcasecmp(name, mixes[i].name) || (mixes[i].alias && !strcasecmp(name, mixes[i].alias))) return &mixes[i];
    return NULL;
}

const char *pl_mix_name(const pl_mix *mix) { return mix->name; }

const char *pl_mix_list(void)
{
    static _Thread_local char list[512];
    list[0] = '\0';
    for (int i = 0; i < PL_COUNT(mixes); i++) {
        if (i) strncat(list, ", ", sizeof list - strlen(list) - 1);
        strncat(list, mixes[i].name, sizeof list - strlen(list) - 1);
    }
    return list;
}

pl_type pl_mix_base(const pl_mix *mix) { return pl_type_plain(mix->base); }

int pl_mix_file_type(const pl_mix *mix, const pl_type *type)
{
    if (mix) return mix->file_type;
    if (type->scheme != &pl_scheme_plain && type->element != &pl_dtypes[PL_NVFP4]) return -1;
    for (int i = 0; i < PL_COUNT(mixes); i++)
        if (type->element == &pl_dtypes[mixes[i].base]) return mixes[i].file_type;
    return type->element == &pl_dtypes[PL_NVFP4] ? NVFP4_FILE_TYPE : -1;
}

static part part_of(int role)
{
    switch (role) {
    case PL_ATTN_V: case PL_ATTN_QKV: return V;
    case PL_ATTN_K: return K;
    case PL_ATTN_Q: return Q;
    case PL_ATTN_O: return O;
    case PL_FFN_DOWN: case PL_SHARED_DOWN: return DOWN;
    case PL_FFN_GATE: case PL_SHARED_GATE: return GATE;
    case PL_FFN_UP: case PL_SHARED_UP: case PL_FFN_GATE_UP: return UP;
    default: return NOTHING;
    }
}

/* What the rules ask of a model, and how many tensors of each part came by already. */
typedef struct state {
    const pl_mix *mix;
    const pl_hparams *hp;
    unsigned known;             /* conditions that hold for the whole model */
    bool big;                   /* Llama 2 70B and its like: V is small beside Q there */
    bool tied;                  /* the token table is the output matrix */
    int values;                 /* tensors of part V */
    int seen[PARTS];
} state;

static void begin(state *s, const pl_mix *mix, const pl_model *model, bool have_stats)
{
    const pl_hparams *hp = &model->hp;
    *s = (state){ .mix = mix, .hp = hp, .known = have_stats ? SEEN : BLIND, .tied = true };
    if (hp->kv_heads > 0 && hp->heads / hp->kv_heads >= 4) s->known |= GROUPED;
    if (hp->experts >= 4) s->known |= MANY;
    if (hp->experts == 8) s->known |= EIGHT;
    if (hp->layers == 80)
        s->big = !strcmp(model->arch, "qwen2") || (!strcmp(model->arch, "llama") && hp->heads != hp->kv_heads);
    for (int i = 0; i < model->tensors; i++) {
        const pl_tensor *t = &model->tensor[i];
        if (part_of(t->id.role) == V) s->values++;
        if (t->id.role == PL_OUTPUT) s->tied = false;
    }
}

/* Conditions on the place of tensor i of n. */
static unsigned place(int i, int n)
{
    unsigned at = 0;
    if (i < 2) at |= FIRST_2;
    if (i < 4) at |= FIRST_4;
    if (i < n / 16) at |= SIXTEENTH;
    if (i < n / 8) at |= EIGHTH;
    if (i >= n / 8 && i < 7 * n / 8) at |= MIDDLE;
    if (i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2) at |= MORE;
    return at;
}

/* In a model of eight experts attention is small, so that it may keep more bits. 0: no rule. */
static int by_eight_experts(const pl_mix *mix, part p)
{
    if (p == V && !(mix->flags & LOW)) return PL_Q8_0;
    if (p == K) return mix->flags & LOW ? PL_Q4_K : PL_Q8_0;
    if (p == O) return mix->flags & O_Q5 ? PL_Q5_K : mix->base;
    return 0;
}

static int of_part(state *s, part p, int layer)
{
    const pl_mix *mix = s->mix;
    /* layers may have experts' matrices beside shared ones: there the layer counts, but not in the low mixes */
    int i = s->seen[p]++, n = p == V ? s->values : s->hp->layers;
    if ((p == DOWN || p == GATE || p == UP) && s->hp->experts > 1 && !(mix->flags & LOW)) i = layer;
    int forced = s->known & EIGHT ? by_eight_experts(mix, p) : 0;
    if (forced) return forced;
    int dtype = mix->base;
    unsigned holds = s->known | place(i, n);
    for (const rule *r = mix->rule; r < mix->rule + PL_COUNT(mix->rule) && r->part != NOTHING; r++) {
        if (r->part != p || (r->when & ~holds)) continue;
        dtype = r->dtype;
        break;
    }
    bool raised = p == V && s->big && !(mix->flags & LOW) && (dtype == PL_Q3_K || dtype == PL_Q4_K);
    return raised ? PL_Q5_K : dtype;
}

static int type_of(state *s, const pl_tensor *t)
{
    const pl_mix *mix = s->mix;
    if (pl_dtypes[mix->base].block == 1) return mix->base;
    if (mix->flags & STACKS) return t->id.expert >= 0 && s->hp->experts > 1 ? mix->base : PL_Q8_0;
    if (t->id.role == PL_OUTPUT || (t->id.role == PL_TOKEN_EMBD && s->tied)) {
        if (t->cols % pl_dtypes[mix->base].block) return PL_Q8_0;
        return mix->output ? mix->output : PL_Q6_K;
    }
    if (t->id.role == PL_TOKEN_EMBD) return mix->table ? mix->table : mix->base;
    part p = part_of(t->id.role);
    return p == NOTHING ? mix->base : of_part(s, p, t->id.layer);
}

pl_status pl_mix_types(const pl_mix *mix, const pl_model *model, bool have_stats, pl_arena *arena, pl_type **out)
{
    state s;
    begin(&s, mix, model, have_stats);
    *out = PL_ZNEW(arena, pl_type, model->tensors);
    if (!*out) return PL_E_MEMORY;
    pl_type type = { 0 };
    pl_id before = { -1, -1, -1 };
    for (int i = 0; i < model->tensors; i++) {
        int at = model->entry[i].tensor;
        const pl_tensor *t = &model->tensor[at];
        if (!(t->flags & PL_TENSOR_MATRIX)) continue;
        /* the experts of a layer are one tensor to llama.cpp */
        bool same = t->id.expert >= 0 && before.expert >= 0 && t->id.role == before.role && t->id.layer == before.layer;
        if (!same) type = pl_type_plain(type_of(&s, t));
        (*out)[at] = type;
        before = t->id;
    }
    return PL_OK;
}

bool pl_mix_wants_stats(const pl_mix *mix, const pl_type *type, pl_id id)
{
    if (type->scheme != &pl_scheme_plain || id.role == PL_TOKEN_EMBD || id.role == PL_OUTPUT) return false;
    switch (type->element - pl_dtypes) {
    case PL_IQ1_S: case PL_IQ1_M: case PL_IQ2_XXS: case PL_IQ2_XS: case PL_IQ2_S: case PL_IQ3_XXS: return true;
    case PL_Q2_K: return mix && !strcmp(mix->name, "q2_k_s");
    default: return false;
    }
}
