/* linalg.c: row-major products of one thread on top of CBLAS. */
#include "core/linalg.h"

#include <cblas.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"

#ifdef PL_X86
/* Present where one library holds the code of many processors. */
__attribute__((weak)) void gotoblas_dynamic_quit(void);
__attribute__((weak)) void gotoblas_dynamic_init(void);

/* Releases up to 0.3.21 take a processor that is younger than themselves for a Prescott and run at a
 * quarter of its speed; later ones go by its features. This does the same for the older ones: it names
 * the core and lets them choose again. A core that the user named stays. */
static pl_status choose_core(void)
{
    const char *variable = "OPENBLAS_CORETYPE";
    unsigned flags = pl_cpu_flags();
    if (!gotoblas_dynamic_quit || !gotoblas_dynamic_init || getenv(variable)) return PL_OK;
    if (strcmp(openblas_get_corename(), "Prescott") != 0 || !(flags & PL_CPU_AVX2)) return PL_OK;
    if (setenv(variable, flags & PL_CPU_AVX512 ? "SKYLAKEX" : "HASWELL", 1) != 0)
        return pl_fail(PL_E_MEMORY, "out of memory");       /* another core would give other last digits */
    gotoblas_dynamic_quit();
    gotoblas_dynamic_init();
    unsetenv(variable);
    return PL_OK;
}
#endif

/* OpenBLAS built without threads hands one buffer to several threads that call it (Debian's libopenblas0-serial 0.3.21
 * does: products are wrong now and then), so these wait for each other. */
static bool alone;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void enter(void)
{
    if (alone) pthread_mutex_lock(&lock);
}

static void leave(void)
{
    if (alone) pthread_mutex_unlock(&lock);
}

pl_status pl_linalg_init(void)
{
    static bool done;
    if (done) return PL_OK;
#ifdef PL_X86
    PL_TRY(choose_core());
#endif
    openblas_set_num_threads(1);
    alone = openblas_get_parallel() == OPENBLAS_SEQUENTIAL;
    done = true;
    return PL_OK;
}

const char *pl_linalg_version(void) { return openblas_get_config(); }

/* Zeroes c before a product that ignores it: whether beta = 0 may let a NaN in c through differs
 * between releases of BLAS. */
static void clear_row(float *c, int64_t n, float beta)
{
    if (beta == 0) {
        for (int64_t i = 0; i < n; i++) c[i] = 0;
    }
}

/* One row goes to the matrix-vector product, which does not copy b into panels first. */
void pl_gemm_nt(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    if (m <= 0 || n <= 0) return;
    enter();
    if (m == 1) {
        clear_row(c, n, beta);
        cblas_sgemv(CblasRowMajor, CblasNoTrans, (int)n, (int)k, alpha, b, (int)ldb, a, 1, beta, c,
                    1);
    } else {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, (int)n, (int)k, alpha, a,
                    (int)lda, b, (int)ldb, beta, c, (int)ldc);
    }
    leave();
}

void pl_gemm_nn(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    if (m <= 0 || n <= 0) return;
    enter();
    if (m == 1) {
        clear_row(c, n, beta);
        cblas_sgemv(CblasRowMajor, CblasTrans, (int)k, (int)n, alpha, b, (int)ldb, a, 1, beta, c,
                    1);
    } else {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)m, (int)n, (int)k, alpha, a,
                    (int)lda, b, (int)ldb, beta, c, (int)ldc);
    }
    leave();
}
