/* The C interface of implicitops: callbacks below the kernels, one entry point above them.
 *
 * Nothing here knows Python.  A *callback* is machine code for the user's expressions; a *kernel* solves a
 * batch with it; an *operation* is a kernel bound to its callbacks, and iop_run() is the only way in.
 */
#ifndef IMPLICITOPS_H
#define IMPLICITOPS_H

#include <stdint.h>

#define IOP_ABI_VERSION 1

/* Lanes per block of the elementwise kernels: 128 doubles a row keep some thirty rows in a 32 KiB L1 cache. */
#define IOP_LANES 128

/* Doubles from one row of a block to the next: no power of two, or loads would wait for unrelated stores whose
 * addresses agree in the last twelve bits. */
#define IOP_ROW (IOP_LANES + 8)

/* Block form: many parameter sets per call, structure of arrays.  Input r of lane i is in[r * stride + i],
 * output r of lane i is out[r * stride + i], for 0 <= i < n.  `in` and `out` do not overlap. */
typedef void (*iop_block_function)(int64_t n, int64_t stride, const double *in, double *out, void *ctx);

/* Scalar form: one parameter set, contiguous inputs and outputs. */
typedef void (*iop_scalar_function)(const double *in, double *out, void *ctx);

typedef struct {
    iop_block_function block;
    iop_scalar_function scalar;
    void *ctx;            /* passed through; machine code from SymPy ignores it */
    int32_t n_inputs;
    int32_t n_outputs;
} iop_callback;

/* Why a solve ended, per batch element.  The messages are in implicitops/status.py, same order. */
typedef enum {
    IOP_CONVERGED = 0,
    IOP_NO_SIGN_CHANGE = 1,
    IOP_DISCONTINUITY = 2,
    IOP_MAX_STEPS = 3,
    IOP_UNDEFINED = 4,
    IOP_SINGULAR = 5,
    IOP_INVALID_INPUT = 6,
    IOP_STALLED = 7,
    IOP_INVALID_BRACKET = 8,
    IOP_NOT_A_MINIMUM = 9,
    IOP_UNBOUNDED = 10,
    IOP_NON_SMOOTH = 11,
    IOP_DEGENERATE_BOUND = 12,
    IOP_INVALID_BOUNDS = 13,
    IOP_EXTERNAL_ERROR = 14,
    IOP_EXTERNAL_TIMEOUT = 15,
    IOP_EXTERNAL_SHAPE = 16,
    IOP_EXTERNAL_NAN = 17,
    IOP_WORKER_DIED = 18,
    IOP_BLOW_UP = 19,
    IOP_STEP_TOO_SMALL = 20,
    IOP_STIFF = 21,
    IOP_NOT_LIPSCHITZ = 22,
    IOP_BEFORE_START = 23,
    IOP_DIVERGENT = 24,
    IOP_SLOW_TAIL = 25,
    IOP_PEAK_MISSED = 26,
    IOP_ROUGH = 27,
    IOP_INVALID_LIMITS = 28,
    IOP_DERIVATIVE_UNDEFINED = 29,
    IOP_DERIVATIVE_INACCURATE = 30,
    IOP_INVALID_GUESS = 31
} iop_status;

/* Most work counters that a kernel keeps of each batch element; their names belong to the kernel. */
enum { IOP_N_STATS = 8 };

typedef struct iop_operation iop_operation;

/* Runs `operation` on a batch of n elements and returns how many failed.
 *
 * inputs[k]       core array of element i begins at inputs[k] + i * input_strides[k] (0 repeats one array)
 * outputs[k]      core array of element i begins at outputs[k] + i * output_sizes[k]; NULL: not wanted
 * status          n entries; NULL: not wanted
 * stats[k]        n entries for each counter of the kernel; stats NULL: not wanted
 */
typedef int64_t (*iop_run_function)(const iop_operation *operation, int64_t n,
                                    const double *const *inputs, const int64_t *input_strides,
                                    double *const *outputs, int32_t *status, int64_t *const *stats);

struct iop_operation {
    iop_run_function run;
    int32_t n_inputs;
    int32_t n_outputs;
    /* Doubles per element of each input and output.  In what iop_find() returns, -k stands for k times a length that
     * the call chooses; it runs as a copy with sizes that are resolved, from which the kernel learns the length. */
    const int64_t *input_sizes;
    const int64_t *output_sizes;
    const void *data;            /* what this kind of kernel needs: callbacks and options */
    /* Whether outputs 1, 2, 4 and 5 are derivatives of output 0 and their errors, and what is judged of them: see
     * derivative_status.h. */
    int32_t has_derivatives;
};

#endif
