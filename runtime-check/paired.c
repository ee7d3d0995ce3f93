/* paired.c: paired comparison of two candidates, window by window. */
#include "runtime-check/paired.h"

#include <math.h>

/* With c = cos and s = sin of atan(|t| / sqrt(df)), and terms a_m c^m of every second m, where a_0 = 1, a_1 = 2/pi,
 * a_(m+2) = a_m (m+1)/(m+2), m as odd or even as df:
 *   1 - p = s (terms below df) (odd df: + 2/pi atan(..)),    p = s (terms from df on).
 * The first sum is finite; a small p would drown in its rounding, the second has positive terms alone. */
double pl_student_p(double t, int64_t df)
{
    if (df < 1) return NAN;
    double n = (double)df, ratio = t * t / n, square = 1 / (1 + ratio), s = 1 / sqrt(1 + 1 / ratio), inside = 0;
    bool odd = df % 2;
    double term = odd ? 2 / M_PI * sqrt(square) : 1;
    int64_t m = odd;
    for (; m < df; m += 2) {
        inside += term;
        term *= square * (double)(m + 1) / (double)(m + 2);
    }
    inside *= s;
    if (odd) inside += 2 / M_PI * atan(sqrt(ratio));
    if (!(inside > 0.99)) return 1 - inside;
    double outside = 0;
    for (; term > 1e-17 * outside; m += 2) {
        outside += term;
        term *= square * (double)(m + 1) / (double)(m + 2);
    }
    return s * outside;
}

pl_paired pl_paired_compare(const double *x, const double *first, int64_t n)
{
    pl_paired out = { NAN, NAN, NAN };
    double sum = 0, base = 0, spread = 0, error = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i];
        base += first[i];
    }
    if (n < 1 || !isfinite(sum) || !isfinite(base)) return out;
    double ratio = sum / base, mean = (sum - base) / (double)n;
    if (base > 0) out.change = ratio - 1;
    if (n < 2) return out;
    for (int64_t i = 0; i < n; i++) {
        double away = x[i] - first[i] - mean, rest = x[i] - ratio * first[i];
        spread += away * away;
        error += rest * rest;
    }
    double freedom = (double)n * (double)(n - 1);
    if (base > 0) out.error = sqrt(error / freedom) / (base / (double)n);
    out.p = pl_student_p(mean / sqrt(spread / freedom), n - 1);
    return out;
}
