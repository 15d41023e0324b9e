# What ode.pyx uses of implicitops.h, linear.h and ode*.h.

cdef extern from "implicitops.h" nogil:
    ctypedef void (*iop_scalar_function)(const double *, double *, void *) noexcept nogil
    ctypedef struct iop_callback:
        iop_scalar_function scalar
        void *ctx
    ctypedef struct iop_operation:
        const int64_t *input_sizes
        const int64_t *output_sizes
        int32_t n_inputs
        const void *data
    ctypedef enum iop_status:
        IOP_CONVERGED, IOP_UNDEFINED, IOP_BLOW_UP, IOP_STEP_TOO_SMALL

cdef extern from "linear.h" nogil:
    ctypedef struct iop_matrix_shape:
        int64_t n, lower, upper, banded
    int64_t iop_matrix_width(const iop_matrix_shape *)

cdef extern from "ode.h" nogil:
    ctypedef struct iop_map:
        iop_callback value, first, second
        int64_t n_rows, n_entries, n_parameter_entries
        const int32_t *rows
        const int32_t *columns
        const int32_t *parameter_rows
        const int32_t *parameter_columns
    ctypedef struct iop_ode:
        iop_map rhs
        iop_callback directional, variational, third, moments, breakpoints, regimes, surfaces
        const iop_map *changes
        const iop_map *outputs
        iop_matrix_shape shape
        int64_t n, p, n_regimes, n_events, n_switches, n_periodic, n_surfaces, n_guards, n_breakpoints, n_outputs
        int64_t order, max_steps, method
        double rtol, max_step
        const double *atol
    ctypedef struct iop_ode_counts:
        int64_t steps, rejected, evaluations, factorisations, stiff_steps, switches
    ctypedef struct iop_flow:
        int64_t size, primary
        iop_ode_counts *counts
    ctypedef struct iop_ode_flow:
        iop_flow flow
        int64_t p, pairs
        const iop_ode *ode
        double *point
        double *values
        double *base
        double *base_point
        double *change
        double *surface_values
        double *matrix
        double *row
        double *sums
        double *scale
        int32_t *pivot
        double *scales
    int64_t iop_map_first_size(const iop_map *)

cdef extern from "ode_solve.h" nogil:
    ctypedef struct iop_pair:
        pass
    const iop_pair iop_tsit5, iop_dop853
    ctypedef struct iop_plan:
        double *rows
        int64_t width, count, capacity, is_repeated, position
    void iop_estimate_errors(int64_t, int64_t, int64_t, int64_t, int64_t, const int64_t *, const double *, const double *, double *,
                             double *)
    ctypedef struct iop_stepper:
        iop_flow *flow
        const iop_pair *pair
        int64_t method, max_steps
        double t
        double max_step
        double *z
        double *z_new
        double *stages
        double *work
        double *dense
        double *interpolated
        double *power
        iop_plan *plan
        int (*record)(iop_stepper *, double) noexcept nogil
    ctypedef struct iop_surfaces:
        double *samples
        double *noise
        double *next
    enum:
        IOP_STRETCHES
    ctypedef struct iop_passage:
        pass
    ctypedef struct iop_trajectory:
        double *steps
        int64_t n_steps, capacity, row, n_passages, passage_capacity
        iop_passage *passages
        double *kept
        double *outputs
    ctypedef struct iop_ode_work:
        iop_ode_flow s
        iop_stepper stepper
        iop_ode_counts counts
        iop_surfaces surfaces
        double *moments
        double *crossing
        double *stops
        int64_t *queue
        double *zero
        double *values
        double *rate
        double *changed
        double *first
        double *second
        double *result
        double *result_first
        double *result_second
        const double *times
        int64_t *order
        int64_t n_times
        double *value
        double *jacobian
        double *hessian
        iop_trajectory *trajectory
        int64_t failed_in
    void iop_ode_bind(iop_ode_work *)
    int iop_ode_solve_times(iop_ode_work *)

cdef extern from "ode_adjoint.h" nogil:
    ctypedef struct iop_adjoint:
        iop_ode_work *forward
        iop_stepper stepper
        double *y
        double *base
        double *base_slope
        double *atol
        double *extent
        double *values
        double *contracted
        double *gradient
        double *times_gradient
        const double *weights
    void iop_adjoint_bind(iop_adjoint *)
    int iop_adjoint_solve_times(iop_adjoint *)
