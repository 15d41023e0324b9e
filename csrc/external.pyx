"""Existing code on a batch: a C function called in a loop without the GIL, or a Python evaluator called once.

A C function sees one set of inputs at a time, all of them one after the other, and nothing is assumed of it. The
evaluator (implicitops/external/handle.py) sees the whole batch as arrays of its own, so that code that
keeps or changes them, or goes on after it was given up, cannot touch the caller's.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.ref cimport PyObject
from libc.math cimport isfinite, isnan, NAN
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

import numpy as np


cdef extern from "Python.h":
    void PyErr_Restore(PyObject *, PyObject *, PyObject *)
    void Py_INCREF(PyObject *)

include "interface.pxi"

ctypedef double (*scalar_1)(double) noexcept nogil
ctypedef double (*scalar_2)(double, double) noexcept nogil
ctypedef double (*scalar_3)(double, double, double) noexcept nogil
ctypedef double (*scalar_4)(double, double, double, double) noexcept nogil
ctypedef double (*scalar_1_int)(double, int) noexcept nogil
ctypedef double (*scalar_2_int)(double, double, int) noexcept nogil
ctypedef double (*scalar_3_int)(double, double, double, int) noexcept nogil
ctypedef double (*scalar_4_int)(double, double, double, double, int) noexcept nogil
ctypedef double (*scalar_context)(double, void *) noexcept nogil
ctypedef double (*array_plain)(int, double *) noexcept nogil
ctypedef double (*array_context)(int, double *, void *) noexcept nogil
ctypedef void (*block_form)(const double *, double *, void *) noexcept nogil

# The order of implicitops.external.call.FORMS, with 0 for the block form.
cdef enum Form:
    BLOCK = 0
    SCALAR_1, SCALAR_2, SCALAR_3, SCALAR_4
    SCALAR_1_INT, SCALAR_2_INT, SCALAR_3_INT, SCALAR_4_INT
    SCALAR_CONTEXT, ARRAY_PLAIN, ARRAY_CONTEXT

cdef struct c_function:
    void *address
    void *context
    Form form
    int64_t n_inputs
    int64_t n_outputs


cdef void call_once(const c_function *f, double *x, double *y) noexcept nogil:
    """One call. `x` is a copy that the function may overwrite."""
    cdef void *a = f.address
    if f.form == BLOCK:
        (<block_form> a)(x, y, f.context)
    elif f.form == SCALAR_1:
        y[0] = (<scalar_1> a)(x[0])
    elif f.form == SCALAR_2:
        y[0] = (<scalar_2> a)(x[0], x[1])
    elif f.form == SCALAR_3:
        y[0] = (<scalar_3> a)(x[0], x[1], x[2])
    elif f.form == SCALAR_4:
        y[0] = (<scalar_4> a)(x[0], x[1], x[2], x[3])
    elif f.form == SCALAR_1_INT:  # cpdef functions of Cython: the last argument is __pyx_skip_dispatch
        y[0] = (<scalar_1_int> a)(x[0], 0)
    elif f.form == SCALAR_2_INT:
        y[0] = (<scalar_2_int> a)(x[0], x[1], 0)
    elif f.form == SCALAR_3_INT:
        y[0] = (<scalar_3_int> a)(x[0], x[1], x[2], 0)
    elif f.form == SCALAR_4_INT:
        y[0] = (<scalar_4_int> a)(x[0], x[1], x[2], x[3], 0)
    elif f.form == SCALAR_CONTEXT:
        y[0] = (<scalar_context> a)(x[0], f.context)
    elif f.form == ARRAY_PLAIN:
        y[0] = (<array_plain> a)(<int> f.n_inputs, x)
    else:
        y[0] = (<array_context> a)(<int> f.n_inputs, x, f.context)


cdef int32_t call_checked(const c_function *f, double *x, double *y) noexcept nogil:
    """One call with its status; y is NaN where that is not IOP_CONVERGED."""
    cdef int64_t j
    cdef int32_t status = IOP_CONVERGED
    for j in range(f.n_inputs):
        if not isfinite(x[j]):
            status = IOP_INVALID_INPUT
    if status == IOP_CONVERGED:
        # What the function leaves unwritten must not be taken for a result.
        for j in range(f.n_outputs):
            y[j] = NAN
        call_once(f, x, y)
        for j in range(f.n_outputs):
            if isnan(y[j]):
                status = IOP_EXTERNAL_NAN
    if status != IOP_CONVERGED:
        for j in range(f.n_outputs):
            y[j] = NAN
    return status


cdef int64_t run_function(const iop_operation *operation, int64_t n, const double *const *inputs,
                          const int64_t *input_strides, double *const *outputs, int32_t *status,
                          int64_t *const *stats) noexcept nogil:
    """The value of a C function: the first output; the others, derivatives, are never asked of it."""
    cdef const c_function *f = <const c_function *> operation.data
    cdef int64_t i, k, offset, failed = 0
    cdef int32_t code
    cdef double *x = <double *> malloc((f.n_inputs + f.n_outputs) * sizeof(double))
    cdef double *y
    if x == NULL:
        return -1
    y = x + f.n_inputs
    for i in range(n):
        offset = 0
        for k in range(operation.n_inputs):
            memcpy(x + offset, inputs[k] + i * input_strides[k], operation.input_sizes[k] * sizeof(double))
            offset += operation.input_sizes[k]
        code = call_checked(f, x, y)
        failed += code != IOP_CONVERGED
        if outputs[0] != NULL:
            memcpy(outputs[0] + i * f.n_outputs, y, f.n_outputs * sizeof(double))
        if status != NULL:
            status[i] = code
        if stats != NULL:
            stats[0][i] = code != IOP_INVALID_INPUT
    free(x)
    return failed


cdef class Function(Kernel):
    """A C function with its form and sizes.

    Parameters
    ----------
    address, context : int
    form : int, position in implicitops.external.call.FORMS
    n_inputs, n_outputs : int
    keep : object that has to live as long as the address is used
    """

    cdef c_function data
    cdef object keep
    stat_names = ("calls",)

    def __init__(self, address, context, form, n_inputs, n_outputs, keep=None):
        self.keep = keep
        self.data.address = <void *> <uintptr_t> address
        self.data.context = <void *> <uintptr_t> context
        self.data.form = form
        self.data.n_inputs = n_inputs
        self.data.n_outputs = n_outputs
        self.function = run_function
        self.address = &self.data

    def evaluate(self, const double[:, ::1] inputs, double[:, ::1] outputs, int32_t[::1] status):
        """Call the function on each row without the GIL.

        Parameters
        ----------
        inputs : (m, n_inputs) float64 array
        outputs : (m, n_outputs) float64 array to be filled
        status : (m,) int32 array to be filled
        """
        cdef int64_t i, m = inputs.shape[0]
        cdef double *x = <double *> PyMem_Malloc((self.data.n_inputs + 1) * sizeof(double))
        if x == NULL:
            raise MemoryError
        try:
            with nogil:
                for i in range(m):
                    memcpy(x, &inputs[i, 0], self.data.n_inputs * sizeof(double))
                    status[i] = call_checked(&self.data, x, &outputs[i, 0])
        finally:
            PyMem_Free(x)


cdef object as_array(const double *source, int64_t stride, int64_t n, int64_t size):
    """Copy of n batch elements of one input, as an array (n, size)."""
    array = np.empty((n, size))
    cdef double[:, ::1] view = array
    cdef int64_t i
    for i in range(n):
        memcpy(&view[i, 0], source + i * stride, size * sizeof(double))
    return array


cdef int64_t evaluate(const iop_operation *operation, int64_t n, const double *const *inputs,
                      const int64_t *input_strides, double *const *outputs, int32_t *status, int64_t *const *stats) except -1:
    """Hand the batch to the evaluator and take what it returns."""
    cdef int64_t i, k
    cdef const double[:, ::1] values
    cdef const int32_t[::1] codes
    cdef const int64_t[::1] calls
    evaluator = <object> operation.data
    arrays = [as_array(inputs[k], input_strides[k], n, operation.input_sizes[k]) for k in range(operation.n_inputs)]
    outcome = evaluator(arrays)
    for k in range(operation.n_outputs):
        if outputs[k] != NULL and operation.output_sizes[k]:
            values = np.ascontiguousarray(outcome.outputs[k], dtype=np.float64).reshape(n, operation.output_sizes[k])
            memcpy(outputs[k], &values[0, 0], n * operation.output_sizes[k] * sizeof(double))
    codes = np.ascontiguousarray(outcome.status, dtype=np.int32)
    if status != NULL:
        memcpy(status, &codes[0], n * sizeof(int32_t))
    if stats != NULL:
        calls = np.ascontiguousarray(outcome.calls, dtype=np.int64)
        memcpy(stats[0], &calls[0], n * sizeof(int64_t))
    return np.count_nonzero(codes)


cdef int64_t run_evaluator(const iop_operation *operation, int64_t n, const double *const *inputs,
                           const int64_t *input_strides, double *const *outputs, int32_t *status,
                           int64_t *const *stats) noexcept nogil:
    """-1 with a Python exception set, if the evaluator itself raised: Ctrl-C, or a warning turned into an error."""
    cdef int64_t failed
    if n == 0:
        return 0
    with gil:
        try:
            failed = evaluate(operation, n, inputs, input_strides, outputs, status, stats)
        except BaseException as error:
            restore(error)
            failed = -1
    return failed


cdef void restore(object error) noexcept:
    """Leave an exception set for the caller, who checks."""
    kind = type(error)
    trace = error.__traceback__
    Py_INCREF(<PyObject *> kind)
    Py_INCREF(<PyObject *> error)
    if trace is not None:
        Py_INCREF(<PyObject *> trace)
    PyErr_Restore(<PyObject *> kind, <PyObject *> error, NULL if trace is None else <PyObject *> trace)


cdef class ExternalKernel(Kernel):
    """Python code that evaluates a batch: what an Operation needs to call it.

    Parameters
    ----------
    evaluator : implicitops.external.handle.Evaluator
    """

    cdef readonly object evaluator
    stat_names = ("calls",)

    def __init__(self, evaluator):
        self.evaluator = evaluator
        self.function = run_evaluator
        self.address = <PyObject *> evaluator

    @property
    def cause(self):
        """Exception behind the first failure of the last batch that this thread ran, or None."""
        return self.evaluator.cause
