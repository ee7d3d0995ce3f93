/* naive_model.c: one step after another over all tokens, in double, Hugging Face's conventions. */
#include "tests/unit/naive_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/tiny_model.h"

typedef struct naive {
    const pl_source *s;
    const pl_hparams *hp;
    int n, ctx;
} naive;

static bool has(const naive *m, int role, int layer)
{
    return pl_model_find(m->s->model, pl_id_make(role, layer, -1)) >= 0;
}

static double *zeros(int64_t count) { return calloc((size_t)count, sizeof(double)); }

/* y [n][rows] = x [n][cols] times rows first .. first+rows-1 of a matrix, and its bias */
static void linear(const naive *m, pl_id id, int first, int rows, int cols, const double *x, double *y)
{
    pl_id bias = pl_id_make(id.role + PL_BIAS, id.layer, id.expert);
    for (int r = 0; r < rows; r++) {
        double b = pl_tiny_value(m->s, bias, first + r, 0);
        for (int t = 0; t < m->n; t++) y[t * rows + r] = b;
        for (int c = 0; c < cols; c++) {
            double w = pl_tiny_value(m->s, id, first + r, c);
            for (int t = 0; t < m->n; t++) y[t * rows + r] += w * x[t * cols + c];
        }
    }
}

/* x [count][size] in place, if there is such a norm. */
static void norm(const naive *m, pl_norm kind, int role, int layer, int64_t count, int size, double *x)
{
    if (!has(m, role, layer)) return;
    for (int64_t i = 0; i < count; i++, x += size) {
        double mean = 0, square = 0;
        for (int c = 0; c < size && kind == PL_NORM_LAYER; c++) mean += x[c] / size;
        for (int c = 0; c < size; c++) square += pow(x[c] - mean, 2) / size;
        for (int c = 0; c < size; c++) {
            x[c] = (x[c] - mean) / sqrt(square + (double)m->hp->norm_eps) *
                   pl_tiny_value(m->s, pl_id_make(role, layer, -1), c, 0) +
                   pl_tiny_value(m->s, pl_id_make(role + PL_BIAS, layer, -1), c, 0);
        }
    }
}

static void stream_norm(const naive *m, int role, int layer, double *x)
{
    norm(m, m->hp->norm, role, layer, m->n, m->hp->hidden, x);
}

/* ---- rotary positions ---- */

static double clamp01(double x) { return x < 0 ? 0 : x > 1 ? 1 : x; }

static double turns_to_pair(const pl_hparams *hp, double turns)
{
    return hp->rope_dim * log(hp->rope_context / (2 * M_PI * turns)) / 2 / log(hp->rope_base);
}

static double frequency(const naive *m, int layer, int j)
{
    const pl_hparams *hp = m->hp;
    double exponent = 2.0 * j / hp->rope_dim, f = 1 / pow(hp->rope_base, exponent), factor = hp->rope_factor;
    if (hp->layer[layer] & PL_LAYER_WINDOW && hp->rope_base_window > 0) {
        return 1 / pow(hp->rope_base_window, exponent);
    }
    if (has(m, PL_ROPE_FREQS, -1)) f /= pl_tiny_value(m->s, pl_id_make(PL_ROPE_FREQS, -1, -1), j, 0);
    switch (hp->rope_scaling) {
    case PL_ROPE_LINEAR:
        return f / factor;
    case PL_ROPE_YARN: {
        double low = floor(turns_to_pair(hp, hp->yarn_fast ? (double)hp->yarn_fast : 32));
        double high = ceil(turns_to_pair(hp, hp->yarn_slow ? (double)hp->yarn_slow : 1));
        if (low < 0) low = 0;
        if (high > hp->rope_dim - 1) high = hp->rope_dim - 1;
        double keep = 1 - clamp01((j - low) / (high - low));
        return f / factor * (1 - keep) + f * keep;
    }
    case PL_ROPE_LONGROPE:
        return f / pl_tiny_value(m->s, pl_id_make(m->ctx > hp->rope_context ? PL_ROPE_LONG : PL_ROPE_SHORT, -1, -1),
                                 j, 0);
    default:
        return f;
    }
}

static double magnitude(const pl_hparams *hp)
{
    if (hp->rope_scaling != PL_ROPE_YARN && hp->rope_scaling != PL_ROPE_LONGROPE) return 1;
    if (hp->rope_attn_factor > 0) return (double)hp->rope_attn_factor;
    if (hp->rope_scaling == PL_ROPE_YARN) return 0.1 * log(hp->rope_factor) + 1;
    return sqrt(1 + log(hp->context / (double)hp->rope_context) / log(hp->rope_context));
}

static void rotate(const naive *m, int layer, int heads, double *x)
{
    const pl_hparams *hp = m->hp;
    bool windowed = hp->layer[layer] & PL_LAYER_WINDOW && hp->rope_base_window > 0;
    double size = windowed ? 1 : magnitude(hp);
    if (hp->layer[layer] & PL_LAYER_NO_ROPE) return;
    for (int j = 0; j < hp->rope_dim / 2; j++) {
        double f = frequency(m, layer, j);
        for (int t = 0; t < m->n; t++) {
            double cosine = size * cos(t * f), sine = size * sin(t * f);
            for (int h = 0; h < heads; h++) {
                double *a = x + (t * heads + h) * hp->head_dim + j, *b = a + hp->rope_dim / 2, old = *a;
                *a = old * cosine - *b * sine;
                *b = *b * cosine + old * sine;
            }
        }
    }
}

/* ---- a layer ---- */

static bool sees(const pl_hparams *hp, int layer, int i, int j)
{
    if (hp->encoder) return true;
    if (hp->layer[layer] & PL_LAYER_WINDOW && j <= i - hp->window) return false;
    return j <= i;
}

static void attention(const naive *m, int layer, const double *q, const double *k, const double *v, double *out)
{
    const pl_hparams *hp = m->hp;
    int dim = hp->head_dim, group = hp->heads / hp->kv_heads;
    double scale = hp->attn_scale > 0 ? (double)hp->attn_scale : 1 / sqrt(dim), cap = hp->attn_softcap;
    for (int i = 0; i < m->n; i++) {
        for (int h = 0; h < hp->heads; h++) {
            double sum = 0, *y = out + (i * hp->heads + h) * dim;
            memset(y, 0, (size_t)dim * sizeof *y);
            for (int j = 0; j < m->n; j++) {
                if (!sees(hp, layer, i, j)) continue;
                int kv = (j * hp->kv_heads + h / group) * dim;
                double score = 0;
                for (int d = 0; d < dim; d++) score += q[(i * hp->heads + h) * dim + d] * k[kv + d] * scale;
                if (cap > 0) score = cap * tanh(score / cap);
                sum += exp(score);
                for (int d = 0; d < dim; d++) y[d] += exp(score) * v[kv + d];
            }
            for (int d = 0; d < dim; d++) y[d] /= sum;
        }
    }
}

static void attend(const naive *m, int l, const double *x, double *out)
{
    const pl_hparams *hp = m->hp;
    int nq = hp->heads * hp->head_dim, nk = hp->kv_heads * hp->head_dim, hidden = hp->hidden;
    double *q = zeros(m->n * nq), *k = zeros(m->n * nk), *v = zeros(m->n * nk), *y = zeros(m->n * nq);
    if (has(m, PL_ATTN_QKV, l)) {
        pl_id fused = pl_id_make(PL_ATTN_QKV, l, -1);
        linear(m, fused, 0, nq, hidden, x, q);
        linear(m, fused, nq, nk, hidden, x, k);
        linear(m, fused, nq + nk, nk, hidden, x, v);
    } else {
        linear(m, pl_id_make(PL_ATTN_Q, l, -1), 0, nq, hidden, x, q);
        linear(m, pl_id_make(PL_ATTN_K, l, -1), 0, nk, hidden, x, k);
        linear(m, pl_id_make(PL_ATTN_V, l, -1), 0, nk, hidden, x, v);
    }
    norm(m, PL_NORM_RMS, PL_ATTN_Q_NORM, l, m->n * hp->heads, hp->head_dim, q);
    norm(m, PL_NORM_RMS, PL_ATTN_K_NORM, l, m->n * hp->kv_heads, hp->head_dim, k);
    rotate(m, l, hp->heads, q);
    rotate(m, l, hp->kv_heads, k);
    attention(m, l, q, k, v, y);
    linear(m, pl_id_make(PL_ATTN_O, l, -1), 0, hidden, nq, y, out);
    free(q);
    free(k);
    free(v);
    free(y);
}

static double activate(pl_activation act, double x)
{
    if (act == PL_ACT_SILU) return x / (1 + exp(-x));
    if (act == PL_ACT_GELU) return x * (1 + erf(x / sqrt(2))) / 2;
    return x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) / 2;
}

/* gate: the role; up and down follow it. */
static void feed(const naive *m, int gate, int l, int expert, int rows, const double *x, double *out)
{
    int hidden = m->hp->hidden;
    const pl_model *model = m->s->model;
    pl_id fused = pl_id_make(PL_FFN_GATE_UP, l, expert), id = pl_id_make(gate, l, expert);
    bool is_fused = gate == PL_FFN_GATE && pl_model_find(model, fused) >= 0;
    bool gated = is_fused || pl_model_find(model, id) >= 0;
    double *a = zeros(m->n * rows), *b = zeros(m->n * rows);
    if (gated) linear(m, is_fused ? fused : id, 0, rows, hidden, x, a);
    if (is_fused) linear(m, fused, rows, rows, hidden, x, b);
    else linear(m, pl_id_make(gate + 1, l, expert), 0, rows, hidden, x, b);
    for (int i = 0; i < m->n * rows; i++) {
        b[i] = gated ? activate(m->hp->act, a[i]) * b[i] : activate(m->hp->act, b[i]);
    }
    linear(m, pl_id_make(gate + 2, l, expert), 0, hidden, rows, b, out);
    free(a);
    free(b);
}

/* Probabilities [experts] -> weights, 0 of the experts that are not chosen. */
static void choose(const pl_hparams *hp, double *p)
{
    double sum = 0, kept = 0;
    for (int e = 0; e < hp->experts; e++) sum += p[e] = exp(p[e]);
    for (int e = 0; e < hp->experts; e++) p[e] /= sum;
    for (int e = hp->experts - 1; e >= 0; e--) {
        int better = 0;
        for (int other = 0; other < hp->experts; other++) better += fabs(p[other]) > fabs(p[e]);
        if (better >= hp->experts_used) p[e] = -p[e];
        else kept += p[e];
    }
    for (int e = 0; e < hp->experts; e++) p[e] = p[e] < 0 ? 0 : hp->expert_renorm ? p[e] / kept : p[e];
}

/* Every expert runs over every token. */
static void feed_experts(const naive *m, int l, const double *x, double *out)
{
    const pl_hparams *hp = m->hp;
    double *p = zeros(m->n * hp->experts), *y = zeros(m->n * hp->hidden);
    linear(m, pl_id_make(PL_FFN_ROUTER, l, -1), 0, hp->experts, hp->hidden, x, p);
    for (int t = 0; t < m->n; t++) choose(hp, p + t * hp->experts);
    memset(out, 0, (size_t)(m->n * hp->hidden) * sizeof *out);
    for (int e = 0; e < hp->experts; e++) {
        feed(m, PL_FFN_GATE, l, e, hp->expert_ffn, x, y);
        for (int i = 0; i < m->n * hp->hidden; i++) out[i] += p[i / hp->hidden * hp->experts + e] * y[i];
    }
    for (int t = 0; t < m->n && hp->shared_ffn > 0; t++) {
        double dot = 0;
        if (t == 0) feed(m, PL_SHARED_GATE, l, -1, hp->shared_ffn, x, y);
        for (int c = 0; c < hp->hidden; c++) {
            dot += pl_tiny_value(m->s, pl_id_make(PL_SHARED_ROUTER, l, -1), c, 0) * x[t * hp->hidden + c];
        }
        double share = has(m, PL_SHARED_ROUTER, l) ? 1 / (1 + exp(-dot)) : 1;
        for (int c = 0; c < hp->hidden; c++) out[t * hp->hidden + c] += share * y[t * hp->hidden + c];
    }
    free(p);
    free(y);
}

static void layer(const naive *m, int l, double *x)
{
    int64_t count = (int64_t)m->n * m->hp->hidden;
    double *in = zeros(count), *out = zeros(count);
    memcpy(in, x, (size_t)count * sizeof *x);
    stream_norm(m, PL_ATTN_NORM, l, in);
    attend(m, l, in, out);
    stream_norm(m, PL_ATTN_POST_NORM, l, out);
    for (int64_t i = 0; i < count; i++) x[i] += out[i];
    stream_norm(m, PL_ATTN_OUT_NORM, l, x);

    memcpy(in, x, (size_t)count * sizeof *x);
    stream_norm(m, PL_FFN_NORM, l, in);
    if (m->hp->experts > 0) feed_experts(m, l, in, out);
    else feed(m, PL_FFN_GATE, l, -1, m->hp->ffn, in, out);
    stream_norm(m, PL_FFN_POST_NORM, l, out);
    for (int64_t i = 0; i < count; i++) x[i] += out[i];
    stream_norm(m, PL_LAYER_OUT_NORM, l, x);
    free(in);
    free(out);
}

void pl_naive_run(const pl_source *s, const int32_t *tokens, int n, int ctx, double *out)
{
    const naive m = { s, &s->model->hp, n, ctx };
    int hidden = m.hp->hidden;
    double scale = m.hp->embd_scale > 0 ? (double)m.hp->embd_scale : 1, cap = m.hp->logit_softcap;
    double *x = zeros((int64_t)n * hidden);
    for (int t = 0; t < n; t++) {
        for (int c = 0; c < hidden; c++) {
            x[t * hidden + c] = scale * pl_tiny_value(s, pl_id_make(PL_TOKEN_EMBD, -1, -1), tokens[t], c) +
                                pl_tiny_value(s, pl_id_make(PL_POSITION_EMBD, -1, -1), t, c) +
                                pl_tiny_value(s, pl_id_make(PL_TYPE_EMBD, -1, -1), 0, c);
        }
    }
    stream_norm(&m, PL_EMBD_NORM, -1, x);
    for (int l = 0; l < m.hp->layers; l++) layer(&m, l, x);
    stream_norm(&m, PL_OUTPUT_NORM, -1, x);
    if (m.hp->encoder) {
        memcpy(out, x, (size_t)n * (size_t)hidden * sizeof *x);
    } else {
        int role = m.hp->tied ? PL_TOKEN_EMBD : PL_OUTPUT;
        linear(&m, pl_id_make(role, -1, -1), 0, m.hp->vocab, hidden, x, out);
        for (int i = 0; i < n * m.hp->vocab && cap > 0; i++) out[i] = cap * tanh(out[i] / cap);
    }
    free(x);
}
