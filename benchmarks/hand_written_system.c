/* The limit for systems: Newton's method with LAPACK, written out for x_i + a sin(sum_j w_ij x_j) = b (i + 1)/n + c x_i^2.
 *
 * No damping, no verification, no status; the Jacobian with respect to (a, b, c) from the last factorisation.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern void dgetrf_(const int *, const int *, double *, const int *, int *, int *);
extern void dgetrs_(const char *, const int *, const int *, const double *, const int *, const int *, double *,
                    const int *, int *, long);

void hand_written_system(int n, int64_t batch, const double *w, const double *parameters, double *solution,
                         double *jacobian) {
    const int three = 3, one = 1;
    double *matrix = malloc(n * n * sizeof(double)), *f = malloc(3 * n * sizeof(double));
    int *pivot = malloc(n * sizeof(int)), info;
    for (int64_t k = 0; k < batch; k++) {
        const double a = parameters[3 * k], b = parameters[3 * k + 1], c = parameters[3 * k + 2];
        double *x = solution + k * n, *s = jacobian + 3 * k * n;
        for (int i = 0; i < n; i++) x[i] = 0.5;
        for (int last = 0;;) {
            double largest = 0;
            for (int i = 0; i < n; i++) {
                double sum = 0;
                for (int j = 0; j < n; j++) sum += w[i * n + j] * x[j];
                const double cosine = a * cos(sum);
                for (int j = 0; j < n; j++) matrix[j * n + i] = cosine * w[i * n + j];
                matrix[i * n + i] += 1 - 2 * c * x[i];
                f[i] = -(x[i] + a * sin(sum) - b * (i + 1) / n - c * x[i] * x[i]);
                if (last) {
                    f[i] = -sin(sum);
                    f[n + i] = (double)(i + 1) / n;
                    f[2 * n + i] = x[i] * x[i];
                }
            }
            dgetrf_(&n, &n, matrix, &n, pivot, &info);
            dgetrs_("N", &n, last ? &three : &one, matrix, &n, pivot, f, &n, &info, 1);
            if (last) break;
            for (int i = 0; i < n; i++) {
                x[i] += f[i];
                largest = fmax(largest, fabs(f[i]));
            }
            last = largest < 1e-8;
        }
        for (int i = 0; i < n; i++)
            for (int j = 0; j < 3; j++) s[3 * i + j] = f[j * n + i];
    }
    free(matrix);
    free(f);
    free(pivot);
}
