/* The limit: mu + mu exp(theta mu) = 1 by eight Newton steps written out by hand, and the derivative.
 *
 * No safeguard, no convergence test, no status: what a person writes who knows that eight steps are enough for
 * theta in [0, 5].  Compiled with -O3 -march=native -ffast-math, so that exp is the vector version of libmvec.
 */
#include <math.h>
#include <stdint.h>

void hand_written_newton(int64_t n, const double *restrict theta, double *restrict mu, double *restrict slope) {
    for (int64_t i = 0; i < n; i++) {
        const double t = theta[i];
        double x = 0.5;
        for (int k = 0; k < 8; k++) {
            const double e = exp(t * x);
            x -= (x + x * e - 1) / (1 + e * (1 + t * x));
        }
        const double e = exp(t * x);
        mu[i] = x;
        slope[i] = -x * x * e / (1 + e * (1 + t * x));
    }
}
