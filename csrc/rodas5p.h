/* One step of Rodas5P, a stiffly accurate Rosenbrock method of order 5(4), with its interpolant of order 4.
 *
 * G. Steinebach, BIT Numer. Math. 63 (2023) 27.  In the form without matrix products (E. Hairer and G. Wanner, Solving
 * Ordinary Differential Equations II, section IV.7): with u_j the increments,
 *
 *     (I / (gamma h) - F_z) u_i = F(t + c_i h, z + sum a_ij u_j) + sum (C_ij / h) u_j + d_i h F_t
 *
 * One factorisation serves the eight stages.  The Jacobian must be exact, and for sensitivities that of the whole system
 * is: see iop_ode_solve() in ode.h.
 */
#ifndef IMPLICITOPS_RODAS5P_H
#define IMPLICITOPS_RODAS5P_H

#include "runge_kutta.h"

/* Its order, its stages, and the vectors of z that its interpolant works from: the rate or z at the end, and three more. */
enum { IOP_RODAS_ORDER = 5, IOP_RODAS_STAGES = 8, IOP_RODAS_KEPT = 4 };

static const double iop_rodas_gamma = 0.21193756319429014;
static const double iop_rodas_nodes[8] = {0, 0.6358126895828704, 0.4095798393397535, 0.9769306725060716,
                                          0.4288403609558664, 1, 1, 1};
static const double iop_rodas_time[8] = {0.21193756319429014, -0.42387512638858027, -0.3384627126235924,
                                         1.8046452872882734, 2.325825639765069, 0, 0, 0};
static const double iop_rodas_a[8][7] = {
    {0},
    {3.0},
    {2.849394379747939, 0.45842242204463923},
    {-6.954028509809101, 2.489845061869568, -10.358996098473584},
    {2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641},
    {-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946},
    {-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946, 1},
    {-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946, 1, 1},
};
static const double iop_rodas_c[8][7] = {
    {0},
    {-14.155112264123755},
    {-17.97296035885952, -2.859693295451294},
    {147.12150275711716, -1.41221402718213, 71.68940251302358},
    {165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306},
    {24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125, -0.6610691825249471},
    {30.91273214028599, -3.1208243349937974, 77.79954646070892, 34.28646028294783, -19.097331116725623,
     -28.087943162872662},
    {37.80277123390563, -3.2571969029072276, 112.26918849496327, 66.9347231244047, -40.06618937091002,
     -54.66780262877968, -9.48861652309627},
};
static const double iop_rodas_dense[3][8] = {
    {25.948786856663858, -2.5579724845846235, 10.433815404888879, -2.3679251022685204, 0.524948541321073,
     1.1241088310450404, 0.4272876194431874, -0.17202221070155493},
    {-9.91568850695171, -0.9689944594115154, 3.0438037242978453, -24.495224566215796, 20.176138334709044,
     15.98066361424651, -6.789040303419874, -6.710236069923372},
    {11.419903575922262, 2.8879645146136994, 72.92137995996029, 80.12511834622643, -52.072871366152654,
     -59.78993625266729, -0.15582684282751913, 4.883087185713722},
};

/* All combinations of increments that it needs, for vectors of one size. */
typedef struct {
    iop_combination state[IOP_RODAS_STAGES], rate[IOP_RODAS_STAGES], dense[3];
} iop_rodas_combinations;

static void iop_set_rodas(iop_rodas_combinations *c, int64_t size) {
    for (int64_t s = 0; s < IOP_RODAS_STAGES; s++) {
        iop_set_combination(&c->state[s], iop_rodas_a[s], s, size);
        iop_set_combination(&c->rate[s], iop_rodas_c[s], s, size);
    }
    for (int64_t m = 0; m < 3; m++) iop_set_combination(&c->dense[m], iop_rodas_dense[m], IOP_RODAS_STAGES, size);
}

/* Tries a step from z to z_new with the Jacobian kept by flow->linearise() at (t, z) and the derivative there in `rate`.
 * `u` receives the eight increments; `work` holds one z.  Returns the norm of the error, infinite where a stage is not
 * defined or the matrix is singular. */
static double iop_rodas_step(const iop_rodas_combinations *c, iop_flow *flow, double t, double h, const double *z,
                             const double *rate, double *z_new, double *u, double *work) {
    const int64_t size = flow->size;
    if (flow->factorise(flow, 1 / (iop_rodas_gamma * h))) return INFINITY;
    for (int64_t s = 0; s < IOP_RODAS_STAGES; s++) {
        double *increment = u + s * size;
        if (s == 0) {
            memcpy(increment, rate, size * sizeof(double));
        } else {
            iop_combine(&c->state[s], size, 1, u, z, work);
            flow->evaluate(flow, t + iop_rodas_nodes[s] * h, work, increment);
            iop_combine(&c->rate[s], size, 1 / h, u, increment, increment);
        }
        flow->solve(flow, iop_rodas_time[s] * h, increment);
        if (!iop_finite(increment, flow->primary)) return INFINITY;
    }
    for (int64_t i = 0; i < size; i++) z_new[i] = work[i] + u[7 * size + i];
    if (!iop_finite(z_new, size)) return INFINITY;
    return flow->norm(flow, u + 7 * size, z, z_new);
}

/* Coefficients of the interpolant over an accepted step: three rows of z. */
static void iop_rodas_prepare(const iop_rodas_combinations *c, int64_t size, const double *u, double *dense) {
    for (int64_t m = 0; m < 3; m++) iop_combine(&c->dense[m], size, 1, u, NULL, dense + m * size);
}

/* result = the first `count` components of z(t + x h) for 0 <= x <= 1. */
static void iop_rodas_interpolate(int64_t size, int64_t count, double x, const double *z, const double *z_new,
                                  const double *dense, double *result) {
    const double y = 1 - x;
    for (int64_t i = 0; i < count; i++)
        result[i] = y * z[i] + x * (z_new[i] + y * (dense[i] + x * (dense[size + i] + x * dense[2 * size + i])));
}

#endif
