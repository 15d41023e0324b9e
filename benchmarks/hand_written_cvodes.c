/* CVODES of SUNDIALS 6 or 7 with staggered sensitivities, for a problem whose functions are appended by ode_cvodes.py.
 *
 * A program that calls the library directly, as its manual shows. The prototypes are written out because the packages
 * that bring the library alone have no headers. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef void *N_Vector;
typedef void *SUNMatrix;
typedef int (*rhs_function)(double, N_Vector, N_Vector, void *);
typedef int (*jacobian_function)(double, N_Vector, N_Vector, SUNMatrix, void *, N_Vector, N_Vector, N_Vector);
typedef int (*sensitivity_function)(int, double, N_Vector, N_Vector, N_Vector *, N_Vector *, void *, N_Vector, N_Vector);

int SUNContext_Create(void *comm, void **context);
int SUNContext_Free(void **context);
N_Vector N_VNew_Serial(int64_t n, void *context);
double *N_VGetArrayPointer(N_Vector v);
void N_VDestroy(N_Vector v);
N_Vector *N_VCloneVectorArray(int count, N_Vector v);
void N_VDestroyVectorArray(N_Vector *v, int count);
SUNMatrix SUNDenseMatrix(int64_t rows, int64_t columns, void *context);
double *SUNDenseMatrix_Data(SUNMatrix a);
void SUNMatDestroy(SUNMatrix a);
void *SUNLinSol_Dense(N_Vector y, SUNMatrix a, void *context);
int SUNLinSolFree(void *solver);
void *CVodeCreate(int method, void *context);
void CVodeFree(void **memory);
int CVodeInit(void *memory, rhs_function f, double t0, N_Vector y0);
int CVodeSVtolerances(void *memory, double rtol, N_Vector atol);
int CVodeSetUserData(void *memory, void *data);
int CVodeSetMaxNumSteps(void *memory, long steps);
int CVodeSetLinearSolver(void *memory, void *solver, SUNMatrix a);
int CVodeSetJacFn(void *memory, jacobian_function jacobian);
int CVodeSensInit(void *memory, int count, int method, sensitivity_function f, N_Vector *s0);
int CVodeSensEEtolerances(void *memory);
int CVodeSetSensErrCon(void *memory, int on);
int CVodeSetSensParams(void *memory, double *p, double *scale, int *list);
int CVode(void *memory, double until, N_Vector y, double *reached, int task);
int CVodeGetSens(void *memory, double *t, N_Vector *s);
int CVodeGetNumSteps(void *memory, long *count);
int CVodeGetNumRhsEvals(void *memory, long *count);
int CVodeGetNumLinSolvSetups(void *memory, long *count);

enum { NORMAL = 1, STAGGERED = 2 };

/* What ode_cvodes.py appends: sizes, the places of the nonzero derivatives, and the functions. */
enum { N, P, BY_STATE, BY_PARAMETER };
extern const int sizes[4], state_rows[], state_columns[], parameter_rows[], parameter_columns[];
void problem_rhs(double t, const double *y, const double *p, double *rate);
void problem_derivatives(double t, const double *y, const double *p, double *by_state, double *by_parameter);

typedef struct {
    const double *p;
    double *by_state, *by_parameter;
} work;

static int rhs(double t, N_Vector y, N_Vector rate, void *data) {
    problem_rhs(t, N_VGetArrayPointer(y), ((work *)data)->p, N_VGetArrayPointer(rate));
    return 0;
}

static int jacobian(double t, N_Vector y, N_Vector rate, SUNMatrix a, void *data, N_Vector t1, N_Vector t2, N_Vector t3) {
    work *w = data;
    double *matrix = SUNDenseMatrix_Data(a);
    (void)rate, (void)t1, (void)t2, (void)t3;
    problem_derivatives(t, N_VGetArrayPointer(y), w->p, w->by_state, w->by_parameter);
    for (int k = 0; k < sizes[BY_STATE]; k++) matrix[state_columns[k] * sizes[N] + state_rows[k]] = w->by_state[k];
    return 0;
}

static int sensitivities(int count, double t, N_Vector y, N_Vector rate, N_Vector *s, N_Vector *s_rate, void *data,
                         N_Vector t1, N_Vector t2) {
    work *w = data;
    (void)rate, (void)t1, (void)t2;
    problem_derivatives(t, N_VGetArrayPointer(y), w->p, w->by_state, w->by_parameter);
    for (int j = 0; j < count; j++) {
        const double *x = N_VGetArrayPointer(s[j]);
        double *result = N_VGetArrayPointer(s_rate[j]);
        memset(result, 0, sizes[N] * sizeof(double));
        for (int k = 0; k < sizes[BY_STATE]; k++) result[state_rows[k]] += w->by_state[k] * x[state_columns[k]];
    }
    for (int k = 0; k < sizes[BY_PARAMETER]; k++)
        N_VGetArrayPointer(s_rate[parameter_columns[k]])[parameter_rows[k]] += w->by_parameter[k];
    return 0;
}

/* Values (T, n) and sensitivities (T, p, n) from y0 and s0 (p, n); method 1 is Adams, 2 BDF. Returns 0 or CVODES' error. */
int solve_by_cvodes(int method, double t0, int n_times, const double *times, const double *y0, const double *s0,
                    double *params, double rtol, const double *atol, double *values, double *sensitivity, long *counts) {
    const int n = sizes[N], p = sizes[P];
    void *context = NULL;
    if (SUNContext_Create(NULL, &context)) return -100;
    N_Vector y = N_VNew_Serial(n, context), tolerance = N_VNew_Serial(n, context);
    N_Vector *s = N_VCloneVectorArray(p, y);
    double *scale = malloc(p * sizeof(double)), *memory = malloc((sizes[BY_STATE] + sizes[BY_PARAMETER]) * sizeof(double));
    work w = {params, memory, memory + sizes[BY_STATE]};
    memcpy(N_VGetArrayPointer(y), y0, n * sizeof(double));
    memcpy(N_VGetArrayPointer(tolerance), atol, n * sizeof(double));
    for (int j = 0; j < p; j++) {
        memcpy(N_VGetArrayPointer(s[j]), s0 + j * n, n * sizeof(double));
        scale[j] = params[j] != 0 ? fabs(params[j]) : 1;
    }
    void *cvodes = CVodeCreate(method, context);
    SUNMatrix a = SUNDenseMatrix(n, n, context);
    void *solver = SUNLinSol_Dense(y, a, context);
    int failed = CVodeInit(cvodes, rhs, t0, y) || CVodeSVtolerances(cvodes, rtol, tolerance) ||
                 CVodeSetUserData(cvodes, &w) || CVodeSetMaxNumSteps(cvodes, 1000000) ||
                 CVodeSetLinearSolver(cvodes, solver, a) || CVodeSetJacFn(cvodes, jacobian) ||
                 CVodeSensInit(cvodes, p, STAGGERED, sensitivities, s) ||
                 CVodeSetSensParams(cvodes, NULL, scale, NULL) || CVodeSensEEtolerances(cvodes) ||
                 CVodeSetSensErrCon(cvodes, 1);
    for (int k = 0; k < n_times && !failed; k++) {
        double reached = t0;
        if (times[k] > t0) {
            const int status = CVode(cvodes, times[k], y, &reached, NORMAL);
            failed = status < 0 ? status : CVodeGetSens(cvodes, &reached, s);
        }
        memcpy(values + k * n, N_VGetArrayPointer(y), n * sizeof(double));
        for (int j = 0; j < p; j++)
            memcpy(sensitivity + (k * p + j) * n, N_VGetArrayPointer(s[j]), n * sizeof(double));
    }
    CVodeGetNumSteps(cvodes, counts);
    CVodeGetNumRhsEvals(cvodes, counts + 1);
    CVodeGetNumLinSolvSetups(cvodes, counts + 2);
    CVodeFree(&cvodes);
    SUNLinSolFree(solver);
    SUNMatDestroy(a);
    N_VDestroyVectorArray(s, p);
    N_VDestroy(y);
    N_VDestroy(tolerance);
    free(scale);
    free(memory);
    SUNContext_Free(&context);
    return failed;
}
