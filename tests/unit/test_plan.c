/* test_plan.c: types, fallbacks, methods, memory and digest of plans. */
#include <math.h>

#include "core/cpu.h"
#include "core/plan.h"
#include "quantizers/registry.h"
#include "tests/unit/fake_model.h"
#include "tests/unit/run.h"

static const pl_registries registries = { pl_methods, pl_grids };
static pl_arena *arena;
static pl_sink *sink;

static pl_status make(const pl_source *s, pl_recipe *r, const pl_plan_options *options, pl_plan **plan)
{
    if (!arena) assert_ok(pl_arena_create(&arena));
    if (!sink) assert_ok(pl_sink_create(&fake_sink, &sink));
    return pl_plan_create(s->model, r, sink, &registries, options, arena, plan);
}

static pl_plan *plan_of(const pl_source *s, pl_recipe *r)
{
    pl_plan *plan;
    assert_ok(make(s, r, &(pl_plan_options){ .threads = 2 }, &plan));
    return plan;
}

static pl_recipe wish(int dtype) { return (pl_recipe){ .type = pl_type_plain(dtype) }; }

static const pl_step *step_of(const pl_plan *plan, int role, int layer)
{
    for (int i = 0; i < plan->steps; i++)
        if (pl_id_equal(plan->step[i].id, pl_id_make(role, layer, -1))) return &plan->step[i];
    ck_abort_msg("no step for role %d", role);
    return NULL;
}

static const char *type_of(const pl_plan *plan, int role, int layer)
{
    return pl_type_name(&step_of(plan, role, layer)->out.type);
}

START_TEST(every_tensor_once)
{
    pl_source *s = fake_model_create(&(fake_options){ .dtype = PL_BF16 });
    pl_recipe r = wish(PL_Q8_0);
    pl_plan *plan = plan_of(s, &r);
    ck_assert_int_eq(plan->steps, s->model->tensors);
    ck_assert_int_eq(plan->parts, plan->steps);
    ck_assert_int_eq(plan->changed, 0);
    int64_t bytes = 0;
    for (int i = 0; i < plan->steps; i++) {
        const pl_step *step = &plan->step[i];
        const pl_tensor *t = &s->model->tensor[step->tensor];
        ck_assert(pl_id_equal(step->id, t->id));
        ck_assert_int_eq(step->out.part[0].id, i);
        ck_assert_int_eq(step->out.rows, t->rows);
        ck_assert_int_eq(step->out.cols, t->cols);
        ck_assert_str_eq(pl_type_name(&step->out.type), t->cols == 1 ? "f32" : "q8_0");
        ck_assert_str_eq(step->method->name, t->cols == 1 ? "copy" : "rtn");
        ck_assert((step->grid != NULL) == (t->cols > 1));
        ck_assert_ptr_null(step->why);
        if (i > 0) ck_assert_int_le(plan->step[i - 1].id.layer, step->id.layer);
        bytes += pl_packed_bytes(&step->out);
    }
    ck_assert_int_eq(plan->data_bytes, bytes);
    ck_assert_int_eq(plan->bytes, bytes);           /* this sink adds nothing */
    ck_assert_int_eq(step_of(plan, PL_ATTN_Q, 0)->out.order, 16);
    ck_assert_int_eq(step_of(plan, PL_ATTN_V, 0)->out.order, 0);
    pl_source_close(s);
}
END_TEST

/* The order of the plan is that of identities, however the input was sharded. */
START_TEST(input_order_does_not_matter)
{
    pl_source *a = fake_model_create(&(fake_options){ 0 }), *b = fake_model_create(&(fake_options){ 0 });
    for (int i = 0; i < b->model->tensors / 2; i++) {
        pl_tensor *x = &b->model->tensor[i], *y = &b->model->tensor[b->model->tensors - 1 - i], t = *x;
        *x = *y;
        *y = t;
    }
    assert_ok(pl_model_index(b->model, b->arena));
    pl_recipe r = wish(PL_Q4_0);
    pl_plan *pa = plan_of(a, &r), *pb = plan_of(b, &r);
    ck_assert_mem_eq(&pa->digest, &pb->digest, sizeof pa->digest);
    for (int i = 0; i < pa->steps; i++) ck_assert_str_eq(pa->step[i].name, pb->step[i].name);
    pl_source_close(a);
    pl_source_close(b);
}
END_TEST

/* Blocks of 256 for rows of 96: a type of about as many bits with blocks of 32. */
START_TEST(fallback_to_shorter_blocks)
{
    static const struct { int wish, got; } pairs[] = {
        { PL_Q2_K, PL_Q4_0 }, { PL_Q3_K, PL_Q4_0 }, { PL_Q4_K, PL_Q5_0 }, { PL_Q5_K, PL_Q5_1 }, { PL_Q6_K, PL_Q8_0 },
        { PL_TQ1_0, PL_Q4_0 }, { PL_TQ2_0, PL_Q4_0 }, { PL_Q2_0, PL_Q4_0 }, { PL_Q1_0, PL_F16 }, { PL_NVFP4, PL_F16 },
    };
    pl_source *s = fake_model_create(&(fake_options){ .ffn = 96, .dtype = PL_BF16 });
    for (int i = 0; i < PL_COUNT(pairs); i++) {
        pl_recipe r = wish(pairs[i].wish);
        const pl_step *down = step_of(plan_of(s, &r), PL_FFN_DOWN, 1);
        ck_assert_str_eq(pl_type_name(&down->out.type), pl_dtypes[pairs[i].got].name);
        ck_assert_ptr_nonnull(strstr(down->why, "rows of 96 are no multiple of"));
    }
    pl_source_close(s);
}
END_TEST

START_TEST(fallback_to_f16)
{
    pl_source *s = fake_model_create(&(fake_options){ .ffn = 90, .dtype = PL_BF16 });
    pl_recipe r = wish(PL_Q4_0);
    pl_plan *plan = plan_of(s, &r);
    ck_assert_int_eq(plan->changed, 2);             /* ffn_down of both layers */
    const pl_step *down = step_of(plan, PL_FFN_DOWN, 1);
    ck_assert_str_eq(pl_type_name(&down->out.type), "f16");
    ck_assert_str_eq(down->why, "rows of 90 are no multiple of q4_0's 32");
    ck_assert_str_eq(type_of(plan, PL_FFN_UP, 1), "q4_0");
    r = wish(PL_Q4_K);                              /* no shorter block fits either */
    ck_assert_str_eq(type_of(plan_of(s, &r), PL_FFN_DOWN, 1), "f16");
    r = wish(PL_F32);
    ck_assert_int_eq(plan_of(s, &r)->changed, 0);
    pl_source_close(s);
}
END_TEST

START_TEST(choice_of_method)
{
    pl_source *s = fake_model_create(&(fake_options){ .dtype = PL_F16 });
    pl_recipe r = wish(PL_F16);
    pl_plan *plan = plan_of(s, &r);
    for (int i = 0; i < plan->steps; i++) ck_assert_str_eq(plan->step[i].method->name, "copy");
    pl_digest copied = plan->digest;
    r.method = "rtn";
    plan = plan_of(s, &r);
    ck_assert_str_eq(step_of(plan, PL_ATTN_Q, 0)->method->name, "rtn");
    ck_assert_str_eq(step_of(plan, PL_ATTN_NORM, 0)->method->name, "copy");
    ck_assert_mem_ne(&plan->digest, &copied, sizeof copied);
    r.method = "magic";
    assert_fails(make(s, &r, &(pl_plan_options){ 0 }, &plan), PL_E_WISH, "unknown method 'magic'");
    ck_assert_ptr_null(plan);
    r = wish(PL_Q8_0);
    r.method = "copy";
    assert_fails(make(s, &r, &(pl_plan_options){ 0 }, &plan), PL_E_WISH,
                 "method 'copy' cannot turn tensor 'model.embed_tokens.weight' from f16 into q8_0");
    pl_source_close(s);
}
END_TEST

START_TEST(rules_of_the_recipe)
{
    pl_source *s = fake_model_create(&(fake_options){ .dtype = PL_BF16 });
    pl_rule rules[] = {
        { .role = PL_FFN_DOWN, .first_layer = 1, .last_layer = 1, .type = pl_type_plain(PL_Q8_0) },
        { .role = PL_FFN_DOWN, .first_layer = -1, .last_layer = INT_MAX, .type = pl_type_plain(PL_Q5_1) },
        { .role = PL_OUTPUT, .first_layer = -1, .last_layer = INT_MAX, .type = pl_type_plain(PL_BF16), .method = "copy" },
        { .role = PL_ATTN_V, .first_layer = -1, .last_layer = INT_MAX, .method = "rtn" },
    };
    pl_recipe r = { .type = pl_type_plain(PL_Q4_0), .rule = rules, .rules = 4 };
    pl_plan *plan = plan_of(s, &r);
    ck_assert_str_eq(type_of(plan, PL_FFN_DOWN, 0), "q5_1");
    ck_assert_str_eq(type_of(plan, PL_FFN_DOWN, 1), "q8_0");
    ck_assert_str_eq(type_of(plan, PL_OUTPUT, -1), "bf16");
    ck_assert_str_eq(step_of(plan, PL_OUTPUT, -1)->method->name, "copy");
    ck_assert_str_eq(type_of(plan, PL_ATTN_V, 0), "q4_0");
    ck_assert_str_eq(type_of(plan, PL_TOKEN_EMBD, -1), "q4_0");
    ck_assert_str_eq(pl_type_name(&plan->type), "q4_0");
    const int used[] = { 1, 1, 1, 2 };
    for (int i = 0; i < 4; i++) ck_assert_int_eq(rules[i].used, used[i]);
    /* the same recipe, for a model without an output matrix */
    pl_source *tied = fake_model_create(&(fake_options){ .dtype = PL_BF16, .tied = true });
    assert_fails(make(tied, &r, &(pl_plan_options){ 0 }, &plan), PL_E_WISH, "rule 3 of the recipe matches no matrix");
    rules[0].last_layer = INT_MAX;
    rules[0].first_layer = 2;
    assert_fails(make(s, &r, &(pl_plan_options){ 0 }, &plan), PL_E_WISH, "rule 1 of the recipe");
    pl_source_close(tied);
    pl_source_close(s);
}
END_TEST

/* A rule wins over what was chosen, that over the mix; pure leaves the mix's name. */
START_TEST(mixes)
{
    pl_source *s = fake_model_create(&(fake_options){ .layers = 8, .hidden = 256, .ffn = 256, .dtype = PL_BF16 });
    pl_rule rule = { .role = PL_ATTN_V, .first_layer = 0, .last_layer = 0, .type = pl_type_plain(PL_Q8_0) };
    pl_recipe r = { .rule = &rule, .rules = 1 };
    assert_ok(pl_recipe_wish(&r, "q4_k"));
    pl_plan *plan = plan_of(s, &r);
    ck_assert_ptr_eq(plan->mix, pl_mix_find("q4_k_m"));
    ck_assert_str_eq(pl_type_name(&plan->type), "q4_k");
    ck_assert_str_eq(type_of(plan, PL_ATTN_V, 0), "q8_0");
    ck_assert_str_eq(type_of(plan, PL_ATTN_V, 3), "q6_k");
    ck_assert_str_eq(type_of(plan, PL_ATTN_Q, 3), "q4_k");
    ck_assert_str_eq(type_of(plan, PL_OUTPUT, -1), "q6_k");
    ck_assert_str_eq(type_of(plan, PL_ATTN_NORM, 3), "f32");
    pl_type *choice = PL_ZNEW(arena, pl_type, s->model->tensors);
    choice[pl_model_find(s->model, pl_id_make(PL_ATTN_V, 0, -1))] = pl_type_plain(PL_Q5_0);
    choice[pl_model_find(s->model, pl_id_make(PL_ATTN_V, 3, -1))] = pl_type_plain(PL_Q5_1);
    r.choice = choice;
    plan = plan_of(s, &r);
    ck_assert_str_eq(type_of(plan, PL_ATTN_V, 0), "q8_0");
    ck_assert_str_eq(type_of(plan, PL_ATTN_V, 3), "q5_1");
    ck_assert_str_eq(type_of(plan, PL_FFN_DOWN, 0), "q6_k");
    r.pure = true;
    plan = plan_of(s, &r);
    ck_assert_ptr_eq(plan->mix, pl_mix_find("q4_k_m"));
    ck_assert_str_eq(type_of(plan, PL_FFN_DOWN, 0), "q4_k");
    ck_assert_str_eq(type_of(plan, PL_OUTPUT, -1), "q4_k");
    ck_assert_str_eq(type_of(plan, PL_ATTN_V, 3), "q5_1");
    pl_source_close(s);
}
END_TEST

/* Rules by expression look at the names of the source and of the sink, and each must match a matrix. */
START_TEST(kept_tensors)
{
    pl_source *s = fake_model_create(&(fake_options){ .dtype = PL_BF16 });
    const char *wishes[] = { "^1.attn_q$=q8_0", "layers\\.0.*q_proj=q5_0" }, *none = "norm=q8_0";
    pl_recipe r = wish(PL_Q4_0);
    assert_ok(pl_arena_create(&arena));
    assert_ok(pl_recipe_keep(&r, wishes, 2, arena));
    pl_plan *plan = plan_of(s, &r);
    ck_assert_str_eq(type_of(plan, PL_ATTN_Q, 0), "q5_0");
    ck_assert_str_eq(type_of(plan, PL_ATTN_Q, 1), "q8_0");
    ck_assert_str_eq(type_of(plan, PL_ATTN_K, 1), "q4_0");
    pl_recipe_release(&r);
    r = wish(PL_Q4_0);
    assert_ok(pl_recipe_keep(&r, &none, 1, arena));
    assert_fails(make(s, &r, &(pl_plan_options){ 0 }, &plan), PL_E_WISH, "--keep 'norm' matches no matrix");
    pl_recipe_release(&r);
    pl_source_close(s);
}
END_TEST

/* What statistics say of a plan: two of the matrices have some, one of them without a row. */
START_TEST(statistics)
{
    pl_source *s = fake_model_create(&(fake_options){ .layers = 8, .hidden = 256, .ffn = 256, .dtype = PL_BF16 });
    float sum2[256] = { 25600.0f }, nothing[256] = { 0 };
    pl_stat stat[] = {
        { .id = pl_id_make(PL_ATTN_Q, 0, -1), .cols = 256, .sum2 = sum2, .count = 100000 },
        { .id = pl_id_make(PL_FFN_UP, 0, -1), .cols = 256, .sum2 = nothing, .count = 0 },
    };
    pl_stats stats = { .stat = stat, .count = 2, .path = "s.gguf" };
    pl_plan_options o = { .threads = 2, .stats = &stats };
    pl_recipe r = { .encoder = "best" };
    assert_ok(pl_recipe_wish(&r, "q2_k_s"));
    pl_plan *plan;
    assert_ok(make(s, &r, &o, &plan));
    int low = 0;
    for (int i = 0; i < plan->steps; i++) low += plan->step[i].out.type.element == &pl_dtypes[PL_Q2_K];
    ck_assert_int_eq(plan->blind, low - 3);             /* token table and two with statistics */
    ck_assert(pl_plan_blind(plan, step_of(plan, PL_ATTN_K, 0)));
    ck_assert(!pl_plan_blind(plan, step_of(plan, PL_ATTN_Q, 0)));
    ck_assert(!pl_plan_blind(plan, step_of(plan, PL_TOKEN_EMBD, -1)));
    ck_assert(!pl_plan_blind(plan, step_of(plan, PL_ATTN_NORM, 0)));
    pl_coverage c;
    assert_ok(pl_plan_coverage(plan, s->model, &c));
    ck_assert_int_eq(c.matrices, 2 + 7 * 8);
    ck_assert_int_eq(c.without, 7 * 8);
    ck_assert_int_eq(c.unseen, 0);                      /* it is no expert's */
    ck_assert_int_eq(c.columns, 512);
    ck_assert_int_eq(c.lifted, 255);
    r.encoder = "rtn";                                  /* takes them as they are */
    assert_ok(make(s, &r, &o, &plan));
    assert_ok(pl_plan_coverage(plan, s->model, &c));
    ck_assert_int_eq(c.columns, 0);
    r = wish(PL_F16);
    assert_ok(make(s, &r, &o, &plan));
    assert_ok(pl_plan_coverage(plan, s->model, &c));
    ck_assert_int_eq(c.matrices, 0);
    stat[0].cols = 255;
    assert_fails(make(s, &r, &o, &plan), PL_E_INPUT, "s.gguf: statistics of 255 columns");
    pl_source_close(s);
}
END_TEST

START_TEST(no_type)
{
    pl_source *s = fake_model_create(&(fake_options){ 0 });
    pl_recipe r = { 0 };
    pl_plan *plan = (void *)1;
    assert_fails(make(s, &r, &(pl_plan_options){ 0 }, &plan), PL_E_WISH, "no type given");
    ck_assert_ptr_null(plan);
    pl_source_close(s);
}
END_TEST

START_TEST(memory_limit)
{
    pl_source *s = fake_model_create(&(fake_options){ .vocab = 40000, .dtype = PL_F16 });
    pl_recipe r = wish(PL_Q8_0);
    pl_plan *plan;
    pl_plan_options o = { .threads = 4, .held = 1000 };
    assert_ok(make(s, &r, &o, &plan));
    ck_assert_int_eq(plan->threads, 4);
    int64_t free_peak = plan->peak, full_range = plan->range_elements;
    pl_digest digest = plan->digest;
    /* ever less: first shorter ranges, then fewer threads, then no */
    int threads = 4;
    int64_t range = full_range, least = 0;
    pl_status code = PL_OK;
    for (o.memory = free_peak; code == PL_OK; o.memory -= 200000) {
        code = make(s, &r, &o, &plan);
        if (code != PL_OK) break;
        ck_assert_int_le(plan->peak, o.memory);
        ck_assert_int_le(plan->threads, threads);
        ck_assert_int_le(plan->range_elements, range);
        if (plan->threads < 4) ck_assert_int_le(plan->range_elements, 1 << 14);
        ck_assert_mem_eq(&plan->digest, &digest, sizeof digest);
        threads = plan->threads;
        range = plan->range_elements;
    }
    ck_assert_int_eq(code, PL_E_WISH);
    ck_assert_int_eq(threads, 1);
    long long asked, named;
    ck_assert_int_eq(sscanf(pl_error(), "--memory %lld is too little: at least %lld bytes", &asked, &named), 2);
    ck_assert_int_eq(asked, o.memory);
    o.memory = named + (1 << 18);                   /* the arena that holds the plan has grown a bit */
    assert_ok(make(s, &r, &o, &plan));
    least = plan->peak;
    o.memory = 0;
    o.held += 5 << 20;                              /* what the source holds counts */
    o.threads = 1;
    assert_ok(make(s, &r, &o, &plan));
    ck_assert_int_gt(plan->peak, least + (5 << 20));
    o.threads = 0;
    assert_ok(make(s, &r, &o, &plan));
    ck_assert_int_eq(plan->threads, pl_cpu_count());
    pl_source_close(s);
}
END_TEST

START_TEST(ranges_of_rows)
{
    pl_plan plan = { .range_elements = 1000 };
    pl_step step = { .out = { .rows = 500, .cols = 64, .granule = 1 } };
    ck_assert_int_eq(pl_plan_range_rows(&plan, &step), 8);
    step.out.granule = 4;
    ck_assert_int_eq(pl_plan_range_rows(&plan, &step), 12);
    step.out.cols = 5000;
    ck_assert_int_eq(pl_plan_range_rows(&plan, &step), 4);
    step.out.granule = 1;
    ck_assert_int_eq(pl_plan_range_rows(&plan, &step), 1);
    step.out.granule = 0;
    ck_assert_int_eq(pl_plan_range_rows(&plan, &step), 500);
    step.out = (pl_packed){ .rows = 3, .cols = 1, .granule = 4 };
    ck_assert_int_eq(pl_plan_range_rows(&plan, &step), 3);
    step.out.rows = 0;
    ck_assert_int_eq(pl_plan_range_rows(&plan, &step), 1);
}
END_TEST

START_TEST(digest_tells_plans_apart)
{
    enum { N = 7 };
    pl_digest digest[N];
    const int types[] = { PL_Q4_0, PL_Q4_1, PL_Q8_0, PL_F16 };
    fake_options o = { .dtype = PL_F32 };
    pl_source *s = fake_model_create(&o);
    int n = 0;
    for (int i = 0; i < PL_COUNT(types); i++) {
        pl_recipe r = wish(types[i]);
        digest[n++] = plan_of(s, &r)->digest;
    }
    pl_rule rule = { .role = PL_ATTN_K, .first_layer = 1, .last_layer = 1, .type = pl_type_plain(PL_Q4_1) };
    pl_recipe r = { .type = pl_type_plain(PL_Q4_0), .rule = &rule, .rules = 1 };
    digest[n++] = plan_of(s, &r)->digest;
    r = wish(PL_Q4_0);
    pl_digest again = plan_of(s, &r)->digest;
    pl_source_close(s);
    for (int i = 0; i < 2; i++) {
        o = i ? (fake_options){ .vocab = 101 } : (fake_options){ .hidden = 128 };
        s = fake_model_create(&o);
        digest[n++] = plan_of(s, &r)->digest;
        pl_source_close(s);
    }
    ck_assert_int_eq(n, N);
    ck_assert_mem_eq(&again, &digest[0], sizeof again);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < i; k++) ck_assert_mem_ne(&digest[i], &digest[k], sizeof again);
}
END_TEST

START_TEST(bits_per_weight)
{
    pl_source *s = fake_model_create(&(fake_options){ 0 });
    pl_recipe r = wish(PL_Q4_0);
    pl_plan *plan = plan_of(s, &r);
    double body, file;
    pl_plan_bpw(plan, s->model, &body, &file);
    ck_assert(fabs(body - 4.5) < 1e-12);            /* norms do not count */
    ck_assert(fabs(file - 8.0 * (double)plan->bytes / (double)s->model->parameters) < 1e-12);
    pl_plan none = { 0 };
    pl_plan_bpw(&none, &(pl_model){ 0 }, &body, &file);
    ck_assert(body == 0 && file == 0);
    pl_source_close(s);
}
END_TEST

START_TEST(without_memory)
{
    pl_source *s = fake_model_create(&(fake_options){ .ffn = 90 });
    assert_ok(pl_sink_create(&fake_sink, &sink));
    pl_recipe r = wish(PL_Q4_0);
    int64_t n = 0;
    for (pl_status code = PL_E_MEMORY; code != PL_OK; n++) {
        assert_ok(pl_arena_create(&arena));
        pl_plan *plan = (void *)1;
        pl_mem_fail_after(n);
        code = make(s, &r, &(pl_plan_options){ 0 }, &plan);
        pl_mem_fail_after(-1);
        ck_assert(code == PL_OK ? plan != NULL : code == PL_E_MEMORY && !plan);
        pl_arena_destroy(arena);
    }
    ck_assert_int_gt(n, 2);
    pl_sink_close(sink);
    pl_source_close(s);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        every_tensor_once, input_order_does_not_matter, fallback_to_shorter_blocks, fallback_to_f16, choice_of_method,
        rules_of_the_recipe, mixes, kept_tensors, statistics, no_type, memory_limit, ranges_of_rows,
        digest_tells_plans_apart,
        bits_per_weight, without_memory,
    };
    return run_suite("plan", tests, PL_COUNT(tests));
}
