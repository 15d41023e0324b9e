"""Handles of operations, their registry by content name, and the one C entry point through which every face runs them."""

from cpython.buffer cimport PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check
from cpython.long cimport PyLong_CheckExact
from cpython.ref cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.string cimport strcmp
from libc.stdlib cimport free, malloc

import threading

import numpy as np


cdef extern from "Python.h":
    PyObject *PyErr_Occurred()

include "interface.pxi"

cdef extern from "implicitops.h" nogil:
    enum:
        IOP_N_STATS

cdef extern from "marked_nan.h" nogil:
    int64_t iop_run_judged(const iop_operation *, int64_t, const double *const *, const int64_t *, double *const *,
                           int32_t *, int64_t *const *, int)
    int64_t iop_run_marked(const iop_operation *, int64_t, const double *const *, const int64_t *, double *const *)
    enum:
        IOP_N_SOLVE_OUTPUTS

cdef enum:
    MAX_ARGUMENTS = 32  # of the scalar fast path
    MAX_LENGTHS = 64  # for which an operation keeps its resolved form


cdef int raise_if_set() except -1:
    """Raise the exception that Python code called by a kernel has left, if there is one."""
    return -1 if PyErr_Occurred() != NULL else 0


cdef struct Arguments:
    Py_buffer *views  # the memory that everything else here lies behind
    const double **inputs
    double **outputs
    int64_t *strides


cdef int allocate(Arguments *a, int64_t n_in, int64_t n_out) except -1:
    """Memory for the arguments of one run: two buffers more than arrays, for status and counters."""
    cdef int64_t n = n_in + n_out
    a.views = <Py_buffer *> malloc((n + 2) * sizeof(Py_buffer) + n * sizeof(double *) + (n_in + 1) * sizeof(int64_t))
    if a.views == NULL:
        raise MemoryError
    a.inputs = <const double **> (a.views + n + 2)
    a.outputs = <double **> (a.inputs + n_in)
    a.strides = <int64_t *> (a.outputs + n_out)
    return 0


cdef void *hold(Arguments *a, int64_t *held, object array, int flags, Py_ssize_t size) except? NULL:
    """Address of an array's numbers, which stay where they are until the buffer is released.

    They are contiguous, unless the flags allow for steps: inputs may be views that the given strides walk through.
    """
    cdef Py_buffer *view = &a.views[held[0]]
    PyObject_GetBuffer(array, view, flags)
    held[0] += 1
    if view.itemsize != size:
        raise TypeError(f"the array must hold numbers of {size} bytes each; got dtype {array.dtype}")
    return view.buf


cdef class Handle:
    """A kernel bound to its callbacks, with the shapes of its inputs and outputs.

    Parameters
    ----------
    kernel : RootScalar, Evaluate, ... ; kept alive by the handle
    input_sizes, output_sizes : sequences of int, doubles per batch element
        -k stands for k times a length that each call chooses: such an operation runs by way of ``with_length``, or
        in C as a copy whose sizes are resolved.
    grain : int, smallest part of a batch that is worth a thread; for a length of 1 if that is free
    has_derivatives : 1 or True if the outputs are those of a problem's kernel (``Solve.kernel_output_shapes``), whose
        derivatives have a status of their own; 2 if their errors are none of its concern; else 0
    """

    cdef iop_operation c
    cdef int64_t *sizes
    cdef readonly object kernel
    cdef readonly tuple input_sizes
    cdef readonly tuple output_sizes
    cdef readonly int64_t grain
    cdef readonly bint is_free
    cdef dict resolved

    def __cinit__(self, kernel, input_sizes, output_sizes, grain=8192, *, int has_derivatives=0):
        cdef int64_t k
        self.kernel = kernel
        self.grain = grain
        self.input_sizes = tuple(int(s) for s in input_sizes)
        self.output_sizes = tuple(int(s) for s in output_sizes)
        self.is_free = any(size < 0 for size in self.input_sizes + self.output_sizes)
        self.resolved = {}
        self.sizes = <int64_t *> malloc((len(self.input_sizes) + len(self.output_sizes) + 1) * sizeof(int64_t))
        if self.sizes == NULL:
            raise MemoryError
        for k, size in enumerate(self.input_sizes + self.output_sizes):
            self.sizes[k] = size
        self.c.run = <iop_run_function> <uintptr_t> kernel.run_address
        self.c.data = <const void *> <uintptr_t> kernel.data_address
        self.c.n_inputs = <int32_t> len(self.input_sizes)
        self.c.n_outputs = <int32_t> len(self.output_sizes)
        self.c.input_sizes = self.sizes
        self.c.output_sizes = self.sizes + self.c.n_inputs
        self.c.has_derivatives = has_derivatives
        if has_derivatives and self.c.n_outputs != IOP_N_SOLVE_OUTPUTS:
            raise ValueError(f"the kernel of a problem has {IOP_N_SOLVE_OUTPUTS} outputs; got {self.c.n_outputs}")

    def __dealloc__(self):
        free(self.sizes)

    @property
    def address(self):
        """Address of the ``iop_operation``, for callers in C that keep this object alive."""
        return <uintptr_t> &self.c

    def with_length(self, length):
        """Handle for a given length of the free axes: itself if it has none.

        Parameters
        ----------
        length : int, or None for an operation without free axes
        """
        if not self.is_free:
            return self
        if length is None or length < 0:
            raise ValueError(f"the operation has free axes: their length must be 0 or more; got {length}")
        found = self.resolved.get(length)
        if found is None:
            found = Handle(
                self.kernel,
                [-size * length if size < 0 else size for size in self.input_sizes],
                [-size * length if size < 0 else size for size in self.output_sizes],
                max(1, self.grain // max(1, length)),
                has_derivatives=self.c.has_derivatives,
            )
            if len(self.resolved) >= MAX_LENGTHS:
                self.resolved = {}  # replaced, not emptied: another thread may be looking
            self.resolved[length] = found
        return found

    def run(self, int64_t n, int64_t first, inputs, strides, outputs, status, stats, bint marked=False):
        """Run batch elements first ... first + n - 1 without the GIL.

        Parameters
        ----------
        n, first : int
        inputs : float64 arrays, core dimensions contiguous
        strides : sequence of int, doubles between batch elements of each input; 0 repeats one element
        outputs : C-contiguous float64 arrays (or None: not wanted), of all batch elements
        status : int32 array (batch,), or None
        stats : int64 array (N_STATS, batch), or None
        marked : bool, the NaN of a failed solve carries its status, as in graphs; then status and stats are None

        Returns
        -------
        int, how many elements failed
        """
        cdef int64_t k, n_all, held = 0, n_in = self.c.n_inputs, n_out = self.c.n_outputs, failed
        cdef Arguments a
        cdef int32_t *c_status = NULL
        cdef int64_t *rows[IOP_N_STATS]
        cdef int64_t **c_stats = NULL
        if self.is_free:
            raise ValueError("the operation has free axes: run with_length(...) of it")
        if len(inputs) != n_in or len(strides) != n_in or len(outputs) != n_out:
            raise ValueError(
                f"the operation has {n_in} inputs and {n_out} outputs; got {len(inputs)}, with {len(strides)} strides, and "
                f"{len(outputs)}"
            )
        allocate(&a, n_in, n_out)
        try:
            # The buffers are held while the kernel runs, so that nobody moves their memory.
            for k in range(n_in):
                a.strides[k] = strides[k]
                a.inputs[k] = <const double *> hold(&a, &held, inputs[k], PyBUF_STRIDES, sizeof(double))
                a.inputs[k] += first * a.strides[k]
            for k in range(n_out):
                a.outputs[k] = NULL
                if outputs[k] is not None and outputs[k].size:
                    a.outputs[k] = <double *> hold(&a, &held, outputs[k], PyBUF_WRITABLE, sizeof(double))
                    a.outputs[k] += first * self.c.output_sizes[k]
            if status is not None and status.size:
                c_status = <int32_t *> hold(&a, &held, status, PyBUF_WRITABLE, sizeof(int32_t)) + first
            if stats is not None and stats.size:
                rows[0] = <int64_t *> hold(&a, &held, stats, PyBUF_WRITABLE, sizeof(int64_t)) + first
                n_all = stats.shape[1]
                for k in range(1, IOP_N_STATS):
                    rows[k] = rows[0] + k * n_all
                c_stats = rows
            with nogil:
                if marked:
                    failed = iop_run_marked(&self.c, n, a.inputs, a.strides, a.outputs)
                else:
                    failed = iop_run_judged(&self.c, n, a.inputs, a.strides, a.outputs, c_status, c_stats, 1)
        finally:
            for k in range(held):
                PyBuffer_Release(&a.views[k])
            free(a.views)
        if failed < 0:
            raise_if_set()
            raise MemoryError(f"no memory for the workspace of {n} batch elements")
        return failed

    def solve_scalars(self, tuple arguments):
        """First output for plain numbers, or None if an argument is anything else or the solve failed.

        The shortest way from Python to a kernel; whoever gets None takes the long one, which explains.
        """
        cdef Py_ssize_t k, n = PyTuple_GET_SIZE(arguments)
        cdef double values[MAX_ARGUMENTS]
        cdef const double *inputs[MAX_ARGUMENTS]
        cdef int64_t strides[MAX_ARGUMENTS]
        cdef double *outputs[IOP_N_SOLVE_OUTPUTS]
        cdef double value
        cdef object argument
        if n != self.c.n_inputs or n > MAX_ARGUMENTS or self.c.n_outputs > IOP_N_SOLVE_OUTPUTS or self.is_free:
            return None
        for k in range(n):
            argument = <object> PyTuple_GET_ITEM(arguments, k)
            if PyFloat_Check(argument):
                values[k] = PyFloat_AS_DOUBLE(argument)
            elif PyLong_CheckExact(argument):
                try:
                    values[k] = argument
                except OverflowError:
                    return None
            else:
                return None
            inputs[k] = &values[k]
            strides[k] = 0
        for k in range(self.c.n_outputs):
            outputs[k] = NULL
        outputs[0] = &value
        if self.c.run(&self.c, 1, inputs, strides, outputs, NULL, NULL) != 0:
            return None
        return float64(value)


float64 = np.float64
N_STATS = IOP_N_STATS

# -- registry ---------------------------------------------------------------------------------------------
# C callers find operations by name, because a name survives pickling, saving and another process; an
# address does not.  A registered operation lives as long as the process: graphs may hold its address.

cdef struct Entry:
    const char *name
    const iop_operation *operation
    Entry *next

cdef Entry *entries = NULL
_registered = {}
_registry_lock = threading.Lock()


def register(str name not None, Handle handle not None):
    """Make a handle known to C callers under a content name; registering it again does nothing."""
    global entries
    with _registry_lock:
        if name in _registered:
            return
        encoded = name.encode()
        _registered[name] = (handle, encoded)
        entry = <Entry *> malloc(sizeof(Entry))
        entry.name = encoded
        entry.operation = &handle.c
        entry.next = entries
        entries = entry


def registered(str name not None):
    """Handle of that name, or None."""
    found = _registered.get(name)
    return None if found is None else found[0]


cdef api const iop_operation *iop_find(const char *name) noexcept nogil:
    """Handle of that name, or NULL if this process has not registered it."""
    cdef Entry *entry = entries
    while entry != NULL:
        if strcmp(entry.name, name) == 0:
            return entry.operation
        entry = entry.next
    return NULL


cdef api int64_t iop_run(const iop_operation *operation, int64_t n, const double *const *inputs,
                         const int64_t *input_strides, double *const *outputs, int32_t *status,
                         int64_t *const *stats) noexcept nogil:
    """The one C entry point: see iop_run_function in implicitops.h."""
    return operation.run(operation, n, inputs, input_strides, outputs, status, stats)
