/* Coefficients and interpolants of the explicit Runge-Kutta pairs, and at the end the table of all pairs.
 *
 * Stages are evaluated at t + nodes h; the last row of the weights is the solution, whose derivative is the first stage of
 * the next step ("first same as last").  The node before the last is 1 too: the difference of the last two stages tells
 * a stiff system.
 *
 * Tsit5: Ch. Tsitouras, Comput. Math. Appl. 62 (2011) 770, order 5(4) with its interpolant of order 4.
 * DOP853: E. Hairer, S. P. Norsett and G. Wanner, Solving Ordinary Differential Equations I (1993), section II.10 and its
 * program of that name, order 8(5,3) with an interpolant of order 7 that takes three more stages.
 */
#ifndef IMPLICITOPS_RUNGE_KUTTA_TABLEAUS_H
#define IMPLICITOPS_RUNGE_KUTTA_TABLEAUS_H

#include "runge_kutta.h"

static const double iop_tsit5_nodes[7] = {0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0};

static const double iop_tsit5_weights[7][7] = {
    {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0},
    {0.161, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0},
    {-0.008480655492356989, 0.335480655492357, 0.0, 0.0, 0.0, 0.0, 0.0},
    {2.8971530571054935, -6.359448489975075, 4.3622954328695815, 0.0, 0.0, 0.0, 0.0},
    {5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525, 0.0, 0.0, 0.0},
    {5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383, 0.0,
     0.0},
    {0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774,
     0.0},
};

/* Solution minus embedded solution. */
static const double iop_tsit5_error[7] = {-0.001780011052225777, -0.0008164344596567469, 0.007880878010261995,
    -0.1447110071732629, 0.5823571654525552, -0.458082105929187, 0.015151515151515152};

/* Weight of stage j at t + x h: sum over k of interpolant[j][k] x^(k + 1). */
static const double iop_tsit5_interpolant[7][4] = {
    {1.0, -2.763706197274826, 2.9132554618219126, -1.0530884977290216},
    {0.0, 0.1317, -0.2234, 0.1017},
    {0.0, 3.9302962368947516, -5.941033872131505, 2.490627285651253},
    {0.0, -12.411077166933676, 30.33818863028232, -16.548102889244902},
    {0.0, 37.50931341651104, -88.1789048947664, 47.37952196281928},
    {0.0, -27.896526289197286, 65.09189467479366, -34.87065786149661},
    {0.0, 1.5, -4.0, 2.5},
};

static void iop_tsit5_interpolate(int64_t size, int64_t count, double h, double x, const double *z, const double *k,
                                  double *result) {
    double weights[7];
    for (int64_t j = 0; j < 7; j++) {
        const double *c = iop_tsit5_interpolant[j];
        weights[j] = x * (c[0] + x * (c[1] + x * (c[2] + x * c[3])));
    }
    iop_combination now;
    iop_set_combination(&now, weights, 7, size);
    iop_combine(&now, count, h, k, z, result);
}

static const double iop_dop853_nodes[16] = {0.0, 0.05260015195876773, 0.0789002279381516, 0.1183503419072274,
    0.2816496580927726, 0.3333333333333333, 0.25, 0.3076923076923077, 0.6512820512820513, 0.6,
    0.8571428571428571, 1.0, 1.0, 0.1, 0.2, 0.7777777777777778};

static const double iop_dop853_weights[16][16] = {
    {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0},
    {0.05260015195876773, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0},
    {0.0197250569845379, 0.0591751709536137, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
     0.0},
    {0.02958758547680685, 0.0, 0.08876275643042054, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
     0.0},
    {0.2413651341592667, 0.0, -0.8845494793282861, 0.924834003261792, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
     0.0, 0.0, 0.0, 0.0},
    {0.037037037037037035, 0.0, 0.0, 0.17082860872947386, 0.12546768756682242, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
     0.0, 0.0, 0.0, 0.0, 0.0},
    {0.037109375, 0.0, 0.0, 0.17025221101954405, 0.06021653898045596, -0.017578125, 0.0, 0.0, 0.0, 0.0, 0.0,
     0.0, 0.0, 0.0, 0.0, 0.0},
    {0.03709200011850479, 0.0, 0.0, 0.17038392571223998, 0.10726203044637328, -0.015319437748624402,
     0.008273789163814023, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0},
    {0.6241109587160757, 0.0, 0.0, -3.3608926294469414, -0.868219346841726, 27.59209969944671,
     20.154067550477894, -43.48988418106996, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0},
    {0.47766253643826434, 0.0, 0.0, -2.4881146199716677, -0.590290826836843, 21.230051448181193,
     15.279233632882423, -33.28821096898486, -0.020331201708508627, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0},
    {-0.9371424300859873, 0.0, 0.0, 5.186372428844064, 1.0914373489967295, -8.149787010746927,
     -18.52006565999696, 22.739487099350505, 2.4936055526796523, -3.0467644718982196, 0.0, 0.0, 0.0, 0.0, 0.0,
     0.0},
    {2.273310147516538, 0.0, 0.0, -10.53449546673725, -2.0008720582248625, -17.9589318631188, 27.94888452941996,
     -2.8589982771350235, -8.87285693353063, 12.360567175794303, 0.6433927460157636, 0.0, 0.0, 0.0, 0.0, 0.0},
    {0.054293734116568765, 0.0, 0.0, 0.0, 0.0, 4.450312892752409, 1.8915178993145003, -5.801203960010585,
     0.3111643669578199, -0.1521609496625161, 0.20136540080403034, 0.04471061572777259, 0.0, 0.0, 0.0, 0.0},
    {0.056167502283047954, 0.0, 0.0, 0.0, 0.0, 0.0, 0.25350021021662483, -0.2462390374708025,
     -0.12419142326381637, 0.15329179827876568, 0.00820105229563469, 0.007567897660545699, -0.008298, 0.0, 0.0,
     0.0},
    {0.03183464816350214, 0.0, 0.0, 0.0, 0.0, 0.028300909672366776, 0.053541988307438566, -0.05492374857139099,
     0.0, 0.0, -0.00010834732869724932, 0.0003825710908356584, -0.00034046500868740456, 0.1413124436746325, 0.0,
     0.0},
    {-0.42889630158379194, 0.0, 0.0, 0.0, 0.0, -4.697621415361164, 7.683421196062599, 4.06898981839711,
     0.3567271874552811, 0.0, 0.0, 0.0, -0.0013990241651590145, 2.9475147891527724, -9.15095847217987, 0.0},
};

static const double iop_dop853_error5[13] = {0.01312004499419488, 0.0, 0.0, 0.0, 0.0, -1.2251564463762044,
    -0.4957589496572502, 1.6643771824549864, -0.35032884874997366, 0.3341791187130175, 0.08192320648511571,
    -0.022355307863886294, 0.0};

static const double iop_dop853_error3[13] = {-0.18980075407240762, 0.0, 0.0, 0.0, 0.0, 4.450312892752409,
    1.8915178993145003, -5.801203960010585, -0.4226823213237919, -0.1521609496625161, 0.20136540080403034,
    0.02265179219836082, 0.0};

/* The last four coefficients of the interpolant, in terms of all sixteen stages. */
static const double iop_dop853_interpolant[4][16] = {
    {-8.428938276109013, 0.0, 0.0, 0.0, 0.0, 0.5667149535193777, -3.0689499459498917, 2.38466765651207,
     2.117034582445028, -0.871391583777973, 2.2404374302607883, 0.6315787787694688, -0.08899033645133331,
     18.148505520854727, -9.194632392478356, -4.436036387594894},
    {10.427508642579134, 0.0, 0.0, 0.0, 0.0, 242.28349177525817, 165.20045171727028, -374.5467547226902,
     -22.113666853125306, 7.733432668472264, -30.674084731089398, -9.332130526430229, 15.697238121770845,
     -31.139403219565178, -9.35292435884448, 35.81684148639408},
    {19.985053242002433, 0.0, 0.0, 0.0, 0.0, -387.0373087493518, -189.17813819516758, 527.8081592054236,
     -11.57390253995963, 6.8812326946963, -1.0006050966910838, 0.7777137798053443, -2.778205752353508,
     -60.19669523126412, 84.32040550667716, 11.99229113618279},
    {-25.69393346270375, 0.0, 0.0, 0.0, 0.0, -154.18974869023643, -231.5293791760455, 357.6391179106141,
     93.40532418362432, -37.45832313645163, 104.0996495089623, 29.8402934266605, -43.53345659001114,
     96.32455395918828, -39.17726167561544, -149.72683625798564},
};

/* fifth^2 / sqrt(fifth^2 + (third / 10)^2), without squares that leave the range of doubles. */
static double iop_dop853_error(const double *norms) {
    const double fifth = norms[0], third = norms[1];
    return fifth == 0 ? 0 : fifth * (fifth / hypot(fifth, 0.1 * third));
}

static void iop_dop853_prepare(const iop_pair *pair, const iop_combinations *c, iop_flow *flow, double t, double h,
                               const double *z, const double *z_new, double *k, double *work, double *dense) {
    const int64_t size = flow->size;
    for (int64_t s = pair->stages; s < pair->all_stages; s++) iop_stage(pair, c, flow, s, t, h, z, work, k);
    const double *restrict first = k, *restrict last = k + (pair->stages - 1) * size;
    for (int64_t i = 0; i < size; i++) {
        const double difference = z_new[i] - z[i];
        dense[i] = difference;
        dense[size + i] = h * first[i] - difference;
        dense[2 * size + i] = 2 * difference - h * (last[i] + first[i]);
    }
    for (int64_t m = 0; m < pair->n_prepared; m++)
        iop_combine(&c->prepared[m], size, h, k, NULL, dense + (3 + m) * size);
}

static void iop_dop853_interpolate(int64_t size, int64_t count, double h, double x, const double *z, const double *dense,
                                   double *result) {
    (void)h;
    const double y = 1 - x;
    for (int64_t i = 0; i < count; i++) {
        const double *d = dense + i;
        result[i] = z[i] + x * (d[0] + y * (d[size] + x * (d[2 * size] + y * (d[3 * size]
                    + x * (d[4 * size] + y * (d[5 * size] + x * d[6 * size]))))));
    }
}

/* The number of rows of an array; an error of the compiler where they are more than a limit of runge_kutta.h. */
#define IOP_ROWS(array) (sizeof(array) / sizeof(array)[0])
#define IOP_AT_MOST(most, array) (IOP_ROWS(array) + 0 * sizeof(char[IOP_ROWS(array) <= (most) ? 1 : -1]))

/* Every explicit pair there is: a new one is a new entry, and nothing else knows the pairs by name. */
static const iop_pair iop_explicit_pairs[] = {
    {
        .name = "tsit5",
        .order = 5,
        .stability = 3.3,
        .stages = 7,
        .all_stages = IOP_AT_MOST(IOP_MOST_STAGES, iop_tsit5_nodes),
        .nodes = iop_tsit5_nodes,
        .weights = iop_tsit5_weights[0],
        .n_errors = 1,
        .errors = {iop_tsit5_error},
        .n_kept = 7, /* the stages */
        .interpolate = iop_tsit5_interpolate,
    },
    {
        .name = "dop853",
        .order = 8,
        .stability = 6.1,
        .stages = 13,
        .all_stages = IOP_AT_MOST(IOP_MOST_STAGES, iop_dop853_nodes),
        .nodes = iop_dop853_nodes,
        .weights = iop_dop853_weights[0],
        .n_errors = 2,
        .errors = {iop_dop853_error5, iop_dop853_error3},
        .error = iop_dop853_error,
        .n_prepared = IOP_AT_MOST(IOP_MOST_PREPARED, iop_dop853_interpolant),
        .prepared = iop_dop853_interpolant[0],
        .n_kept = 7,
        .prepare = iop_dop853_prepare,
        .interpolate = iop_dop853_interpolate,
    },
};

enum { IOP_N_PAIRS = IOP_ROWS(iop_explicit_pairs) };

/* The pair of method auto: the one of order 8 needs fewer evaluations except where next to no accuracy is asked for. */
static inline const iop_pair *iop_automatic_pair(double rtol) {
    return rtol > 1e-4 ? &iop_explicit_pairs[0] : &iop_explicit_pairs[1];
}

#endif
