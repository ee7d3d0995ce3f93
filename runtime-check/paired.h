/* paired.h: whether one candidate lost more than another over the same windows. docs/report.md has the formulas. */
#ifndef RUNTIME_CHECK_PAIRED_H
#define RUNTIME_CHECK_PAIRED_H

#include "core/base.h"

typedef struct pl_paired {
    double change;              /* mean of the candidate / mean of the first - 1; NaN unless the latter is above 0 */
    double error;               /* of the change, one standard error by the delta method; NaN below 2 windows */
    double p;                   /* two-sided, of the paired t test that both have the same mean; NaN below 2 windows
                                 * and where both are the same in every window */
} pl_paired;

/* x of a candidate, first of the one it is compared with: [n] means of windows of equal size. A value that is not
 * finite makes every figure NaN. */
pl_paired pl_paired_compare(const double *x, const double *first, int64_t n);

/* Probability of |T| >= |t| under Student's t distribution of df >= 1 degrees of freedom, to some 1e-13 of itself;
 * NaN for df < 1 or t NaN. */
double pl_student_p(double t, int64_t df);

#endif
