/* calibrate.h: what the inputs of a model's matrices look like on a text. */
#ifndef RUNTIME_CHECK_CALIBRATE_H
#define RUNTIME_CHECK_CALIBRATE_H

#include "core/stats.h"
#include "runtime-check/check.h"

typedef struct pl_calibrate_options {
    const char *text;           /* path of the text */
    int32_t ctx;                /* tokens of a window */
    int64_t tokens;             /* at most so many, in whole windows; 0: all that the text has */
    pl_bos bos;
    bool output;                /* also of the output matrix */
    const char *journal;        /* where partial sums are kept; NULL: nowhere */
    bool force;                 /* begin anew where the journal is another's, instead of PL_E_INPUT */
} pl_calibrate_options;

typedef struct pl_calibrate_result {
    pl_stats stats;             /* of every matrix of the blocks and of routers; path NULL */
    pl_calibrate_options options;
    int32_t windows, resumed;   /* resumed: of these, taken from the journal */
    bool bos;                   /* windows begin with BOS */
    int matrices, unseen;       /* unseen: experts' matrices that no row came to */
    int threads;
    double seconds;
    char digest_model[40], digest_text[40];
} pl_calibrate_result;

/* Sums of squares over windows of the text as llama-imatrix cuts them (BOS, where the vocabulary asks for it, takes
 * the place of a window's first token), in one exact forward pass. The sums are f64 and do not depend on the pool. A
 * journal that is there is gone on with; it stays behind after a failure, and after success, when the caller removes
 * it as soon as the result is safe. PL_E_INPUT names the matrix whose sums are not finite. `model` is open with
 * PL_OPEN_MAP; memory of the result from arena. */
pl_status pl_calibrate_run(pl_source *model, const pl_calibrate_options *options, pl_pool *pool, pl_arena *arena,
                           pl_calibrate_result *out);
/* As docs/calibrate.md describes it; freed with pl_free. */
pl_status pl_calibrate_json(const pl_calibrate_result *result, char **text);

#endif
