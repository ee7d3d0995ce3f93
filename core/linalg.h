/* linalg.h: dense linear algebra: the only door to CBLAS and LAPACKE. Row-major, f32. BLAS always
 * runs with one thread here; work is cut into fixed tiles by shape and spread over the pool, so that
 * results do not depend on the number of threads. */
#ifndef CORE_LINALG_H
#define CORE_LINALG_H

#include "core/pool.h"

/* Comes before any other, on one thread; sets BLAS to one thread. A repeated call does nothing. */
pl_status pl_linalg_init(void);

/* c[m][n] = alpha * a[m][k] * b[n][k]^T + beta * c; ld*: elements from row to row. One thread. */
void pl_gemm_nt(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
/* c[m][n] = alpha * a[m][k] * b[k][n] + beta * c. One thread. */
void pl_gemm_nn(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
/* "OpenBLAS 0.3.21 ..." */
const char *pl_linalg_version(void);

#endif
