/* encoders.h: rows of weights to blocks by ggml's own rules: the same bytes, with and without importance. */
#ifndef QUANTIZERS_ENCODERS_H
#define QUANTIZERS_ENCODERS_H

#include "core/dtype.h"

/* w [rows][cols], finite; cols a multiple of the type's block; h [cols] importance of the columns, finite and
 * >= 0, or NULL. Writes rows * cols / block blocks. */
typedef void (*pl_row_encoder)(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);

/* The definitions, plain C. */
void pl_encode_q2_k(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_q3_k(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_q4_k(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_q5_k(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_q6_k(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_iq4_nl(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_iq4_xs(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
/* These need pl_iq_prepare (quantizers/iq_near.h) first. iq1_s and iq1_m without importance: as with all ones. */
void pl_encode_iq2_xxs(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_iq2_xs(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_iq2_s(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_iq3_xxs(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_iq3_s(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_iq1_s(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_iq1_m(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
/* Without importance these are their grid's encode, in the fastest variant. */
void pl_encode_q4_0(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_q4_1(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_q5_0(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_q5_1(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
/* These do not look at h. */
void pl_encode_q8_0(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_tq1_0(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_tq2_0(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_q1_0(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_q2_0(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_mxfp4(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);
void pl_encode_nvfp4(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out);

/* The fastest variant on this machine; NULL: no such encoder. */
pl_row_encoder pl_reference_encoder(const pl_dtype *dtype);

/* The search for the least error of its own layout: the sum of h (w - decoded)^2 of a block (h all 1 if NULL) is never
 * above that of the reference's bytes for it. The fastest variant on this machine; NULL: the reference is the best
 * there is. */
pl_row_encoder pl_best_encoder(const pl_dtype *dtype);

/* Encoders by dtype, filled per instruction set so that tests can compare any variant with plain C. */
typedef struct pl_row_encoders { pl_row_encoder encode[PL_DTYPES_READ]; } pl_row_encoders;
void pl_row_encoders_init(pl_row_encoders *list, unsigned cpu_flags);
void pl_row_encoders_best(pl_row_encoders *list, unsigned cpu_flags);
void pl_row_encoders_avx2(pl_row_encoders *list);       /* parts of it: each replaces what it does faster */
void pl_row_encoders_avx512(pl_row_encoders *list);
void pl_row_encoders_neon(pl_row_encoders *list);
void pl_row_encoders_iq4_avx2(pl_row_encoders *list);
void pl_row_encoders_iq4_avx512(pl_row_encoders *list);
void pl_row_encoders_iq4_neon(pl_row_encoders *list);
void pl_row_encoders_weighted_avx2(pl_row_encoders *list);
void pl_row_encoders_weighted_avx512(pl_row_encoders *list);
void pl_row_encoders_weighted_neon(pl_row_encoders *list);
void pl_row_encoders_iq2_avx2(pl_row_encoders *list);
void pl_row_encoders_iq2_avx512(pl_row_encoders *list);
void pl_row_encoders_iq2_neon(pl_row_encoders *list);
void pl_row_encoders_iq3_avx2(pl_row_encoders *list);
void pl_row_encoders_iq3_avx512(pl_row_encoders *list);
void pl_row_encoders_iq3_neon(pl_row_encoders *list);
void pl_row_encoders_iq1_avx2(pl_row_encoders *list);
void pl_row_encoders_iq1_avx512(pl_row_encoders *list);
void pl_row_encoders_iq1_neon(pl_row_encoders *list);
void pl_row_encoders_best_blocks(pl_row_encoders *list);        /* parts of the searches */
void pl_row_encoders_best_blocks_avx2(pl_row_encoders *list);
void pl_row_encoders_best_blocks_avx512(pl_row_encoders *list);
void pl_row_encoders_best_blocks_neon(pl_row_encoders *list);
void pl_row_encoders_best_iq(pl_row_encoders *list);
void pl_row_encoders_best_iq_avx2(pl_row_encoders *list);
void pl_row_encoders_best_iq_avx512(pl_row_encoders *list);
void pl_row_encoders_best_iq_neon(pl_row_encoders *list);
void pl_row_encoders_best_k(pl_row_encoders *list);
void pl_row_encoders_best_k_avx2(pl_row_encoders *list);
void pl_row_encoders_best_k_avx512(pl_row_encoders *list);
void pl_row_encoders_best_k_neon(pl_row_encoders *list);

#endif
