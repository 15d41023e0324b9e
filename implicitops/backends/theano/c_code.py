"""C code of the Theano op. It depends on the numbers of inputs and outputs alone, so that most problems share it.

What else a node needs (its operation, found by content name, and its shapes) it asks the op for when a function is
made. No address is ever in the source.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

INCLUDE = Path(__file__).resolve().parents[2] / "include"
HEADERS = ("implicitops.h", "derivative_status.h", "marked_nan.h")

Shape = tuple[int, ...]

SUPPORT = """
#ifndef IMPLICITOPS_THEANO
#define IMPLICITOPS_THEANO

#define IOP_FREE (-1)

typedef const iop_operation *(*iop_find_type)(const char *);
typedef int64_t (*iop_run_type)(const iop_operation *, int64_t, const double *const *, const int64_t *,
                                double *const *, int32_t *, int64_t *const *);

/* Arrays have n_batch leading axes, then their core axes. */
typedef struct {
    int64_t n_batch, n_inputs, n_outputs;
    const int64_t *broadcastable; /* of each batch axis of each input, whether it is */
    const int64_t *core_ndim;     /* of the inputs, then of the outputs */
    const int64_t *core_shape;    /* of the inputs, then of the outputs; IOP_FREE where each call chooses */
} iop_layout;

/* What is found when a function is made. */
typedef struct {
    PyObject *op;          /* the SymbolicOperation; borrowed */
    PyObject *description; /* what it said, and the memory of the layout; owned */
    const iop_operation *operation;
    int solves;            /* a failure is marked with its status */
    long long large_batch; /* from here on batches go through implicitops.kernels.run, which uses threads */
    iop_layout layout;
} iop_target;

static iop_run_type iop_run = NULL;

static void *iop_import(const char *name, const char *signature)
{
    void *function = NULL;
    PyObject *module = PyImport_ImportModule("implicitops.kernels._operation");
    PyObject *table = module ? PyObject_GetAttrString(module, "__pyx_capi__") : NULL;
    PyObject *capsule = table ? PyMapping_GetItemString(table, name) : NULL;
    if (capsule != NULL)
        function = PyCapsule_GetPointer(capsule, signature);
    Py_XDECREF(capsule);
    Py_XDECREF(table);
    Py_XDECREF(module);
    return function;
}

/* Registers a node's operation in this process and finds it: 0, or -1 with an exception set. */
static int iop_find_target(PyObject *params, iop_target *target)
{
    const char *name;
    PyObject *shapes;
    const int64_t *numbers;
    iop_find_type find = (iop_find_type)iop_import("iop_find", "iop_operation const *(char const *)");
    iop_run = (iop_run_type)iop_import("iop_run",
        "int64_t (iop_operation const *, int64_t, double const *const *, int64_t const *, "
        "double *const *, int32_t *, int64_t *const *)");
    if (find == NULL || iop_run == NULL)
        return -1;
    target->op = PyTuple_GET_ITEM(params, 0);
    target->description = PyObject_CallMethod(target->op, "describe", "(O)", PyTuple_GET_ITEM(params, 1));
    if (target->description == NULL
        || !PyArg_ParseTuple(target->description, "spLS", &name, &target->solves, &target->large_batch, &shapes))
        return -1;
    target->operation = find(name);
    if (target->operation == NULL) {
        PyErr_Format(PyExc_RuntimeError, "operation %s is not registered", name);
        return -1;
    }
    numbers = (const int64_t *)PyBytes_AS_STRING(shapes);
    target->layout.n_batch = numbers[0];
    target->layout.n_inputs = numbers[1];
    target->layout.n_outputs = numbers[2];
    target->layout.broadcastable = numbers + 3;
    target->layout.core_ndim = target->layout.broadcastable + numbers[0] * numbers[1];
    target->layout.core_shape = target->layout.core_ndim + numbers[1] + numbers[2];
    return 0;
}

/* Common batch shape and length of the free axes (1 if there are none), or -1 where lengths differ: then the op raises
 * an error that names the argument. */
static int iop_batch_shape(const iop_layout *layout, PyArrayObject **inputs, npy_intp *batch, npy_intp *length)
{
    const int64_t *broadcastable = layout->broadcastable;
    const int64_t *core = layout->core_shape;
    int k, d;
    *length = -1;
    for (d = 0; d < layout->n_batch; d++)
        batch[d] = -1;
    for (k = 0; k < layout->n_inputs; k++) {
        const npy_intp *shape = PyArray_DIMS(inputs[k]);
        for (d = 0; d < layout->n_batch; d++) {
            if (*broadcastable++)
                continue;
            if (batch[d] != -1 && batch[d] != shape[d])
                return -1;
            batch[d] = shape[d];
        }
        for (d = 0; d < layout->core_ndim[k]; d++, core++) {
            const npy_intp n = shape[layout->n_batch + d];
            if (*core == IOP_FREE && *length == -1)
                *length = n;
            if (n != (*core == IOP_FREE ? *length : *core))
                return -1;
        }
    }
    if (*length == -1)
        *length = 1;
    for (d = 0; d < layout->n_batch; d++)
        if (batch[d] == -1)
            batch[d] = 1;
    return 0;
}

/* True if one stride (in doubles) leads from each batch element to the next and core axes are contiguous. */
static bool iop_has_stride(PyArrayObject *array, int64_t n_batch, const npy_intp *batch, int64_t *stride)
{
    const npy_intp *shape = PyArray_DIMS(array), *strides = PyArray_STRIDES(array);
    npy_intp expected = sizeof(double), step = 0, elements = 1;
    int64_t d;
    for (d = PyArray_NDIM(array) - 1; d >= n_batch; d--) {
        if (shape[d] != 1 && strides[d] != expected)
            return false;
        expected *= shape[d];
    }
    *stride = 0;
    if (expected == 0)
        return true;
    for (d = n_batch - 1; d >= 0; d--)
        elements *= shape[d];
    if (elements <= 1)
        return true;
    for (d = n_batch - 1; d >= 0; d--) {
        if (batch[d] == 1)
            continue;
        if (shape[d] != batch[d] || (step != 0 && strides[d] != step))
            return false;
        if (step == 0)
            *stride = strides[d] / (npy_intp)sizeof(double);
        step = strides[d] * shape[d];
    }
    return true;
}

/* New reference to an input's values in a form that one stride walks through: itself or a broadcast copy. */
static PyArrayObject *iop_with_stride(PyArrayObject *array, const iop_layout *layout, const npy_intp *batch,
                                      int64_t *stride)
{
    npy_intp shape[NPY_MAXDIMS];
    PyArrayObject *copy;
    int d, ndim = PyArray_NDIM(array);
    if (iop_has_stride(array, layout->n_batch, batch, stride)) {
        Py_INCREF(array);
        return array;
    }
    for (d = 0; d < ndim; d++)
        shape[d] = d < layout->n_batch ? batch[d] : PyArray_DIMS(array)[d];
    copy = (PyArrayObject *)PyArray_SimpleNew(ndim, shape, NPY_DOUBLE);
    if (copy != NULL && PyArray_CopyInto(copy, array) != 0)
        Py_CLEAR(copy);
    if (copy != NULL)
        iop_has_stride(copy, layout->n_batch, batch, stride);
    return copy;
}

/* New reference to an input as a plain array: itself, or what the op makes of one that may be masked. */
static PyArrayObject *iop_unmasked(PyObject *op, PyArrayObject *array)
{
    if (!PyArray_CheckExact((PyObject *)array))
        return (PyArrayObject *)PyObject_CallMethod(op, "unmasked", "O", array);
    Py_INCREF(array);
    return array;
}

/* Storage of an output: what is there if it fits, new memory otherwise. */
static int iop_prepare_output(PyArrayObject **output, int ndim, const npy_intp *shape)
{
    if (*output != NULL && PyArray_NDIM(*output) == ndim && PyArray_TYPE(*output) == NPY_DOUBLE
        && PyArray_ISCARRAY(*output) && PyArray_CompareLists(PyArray_DIMS(*output), (npy_intp *)shape, ndim))
        return 0;
    Py_XDECREF(*output);
    *output = (PyArrayObject *)PyArray_SimpleNew(ndim, (npy_intp *)shape, NPY_DOUBLE);
    return *output == NULL ? -1 : 0;
}

static int iop_prepare_outputs(const iop_layout *layout, const npy_intp *batch, npy_intp length,
                               PyArrayObject ***outputs)
{
    npy_intp shape[NPY_MAXDIMS];
    const int64_t *core = layout->core_shape;
    int k, d;
    for (k = 0; k < layout->n_inputs; k++)
        core += layout->core_ndim[k];
    for (d = 0; d < layout->n_batch; d++)
        shape[d] = batch[d];
    for (k = 0; k < layout->n_outputs; k++) {
        int core_ndim = (int)layout->core_ndim[layout->n_inputs + k];
        for (d = 0; d < core_ndim; d++, core++)
            shape[layout->n_batch + d] = *core == IOP_FREE ? length : *core;
        if (iop_prepare_output(outputs[k], (int)layout->n_batch + core_ndim, shape) != 0)
            return -1;
    }
    return 0;
}

static PyObject *iop_tuple_of(PyArrayObject **arrays, int64_t n)
{
    PyObject *tuple = PyTuple_New(n);
    for (int k = 0; tuple != NULL && k < n; k++) {
        Py_INCREF(arrays[k]);
        PyTuple_SET_ITEM(tuple, k, (PyObject *)arrays[k]);
    }
    return tuple;
}

static PyObject *iop_tuple_of_outputs(PyArrayObject ***outputs, int64_t n)
{
    PyArrayObject *arrays[n + 1];
    for (int k = 0; k < n; k++)
        arrays[k] = *outputs[k];
    return iop_tuple_of(arrays, n);
}

static int64_t iop_run_on_threads(PyObject *op, const iop_layout *layout, npy_intp n, PyArrayObject **inputs,
                                  const int64_t *strides, PyArrayObject ***outputs)
{
    int64_t failed = -1;
    PyObject *steps = PyTuple_New(layout->n_inputs);
    for (int k = 0; steps != NULL && k < layout->n_inputs; k++)
        PyTuple_SET_ITEM(steps, k, PyLong_FromLongLong(strides[k]));
    PyObject *result = steps == NULL ? NULL : PyObject_CallMethod(
        op, "run_on_threads", "LNNN", (long long)n, iop_tuple_of(inputs, layout->n_inputs), steps,
        iop_tuple_of_outputs(outputs, layout->n_outputs));
    if (result != NULL) {
        failed = PyLong_AsLongLong(result);
        Py_DECREF(result);
    }
    return failed;
}

/* Calls a method of the op that takes arrays, for what is rare: 0, or -1 with an exception set. */
static int iop_tell(PyObject *op, const char *method, const iop_layout *layout, PyArrayObject **inputs,
                    PyArrayObject ***outputs)
{
    PyObject *result = PyObject_CallMethod(op, method, "NN", iop_tuple_of(inputs, layout->n_inputs),
                                           iop_tuple_of_outputs(outputs, outputs ? layout->n_outputs : 0));
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* Sizes for this call: free axes have that length. */
static void iop_resolve(const int64_t *sizes, int64_t n, npy_intp length, int64_t *resolved)
{
    for (int64_t k = 0; k < n; k++)
        resolved[k] = sizes[k] < 0 ? -sizes[k] * length : sizes[k];
}

static int64_t iop_run_batch(const iop_target *target, npy_intp n, npy_intp length, PyArrayObject **inputs,
                             const int64_t *strides, PyArrayObject ***outputs)
{
    const iop_layout *layout = &target->layout;
    const int n_outputs = target->operation->n_outputs; /* a kernel may have more than its op */
    const double *sources[layout->n_inputs + 1];
    double *targets[n_outputs + 1];
    int64_t input_sizes[layout->n_inputs + 1], output_sizes[n_outputs + 1];
    iop_operation operation = *target->operation;
    if (n >= 2 && n >= target->large_batch / (length > 1 ? length : 1))
        return iop_run_on_threads(target->op, layout, n, inputs, strides, outputs);
    for (int k = 0; k < layout->n_inputs; k++)
        sources[k] = (const double *)PyArray_DATA(inputs[k]);
    for (int k = 0; k < n_outputs; k++)
        targets[k] = k < layout->n_outputs ? (double *)PyArray_DATA(*outputs[k]) : NULL;
    iop_resolve(operation.input_sizes, layout->n_inputs, length, input_sizes);
    iop_resolve(operation.output_sizes, n_outputs, length, output_sizes);
    operation.input_sizes = input_sizes;
    operation.output_sizes = output_sizes;
    if (target->solves)
        return iop_run_marked(&operation, n, sources, strides, targets);
    return iop_run(&operation, n, sources, strides, targets, NULL, NULL);
}

static int iop_apply(const iop_target *target, PyArrayObject **inputs, PyArrayObject ***outputs)
{
    const iop_layout *layout = &target->layout;
    npy_intp batch[NPY_MAXDIMS], length, n;
    PyArrayObject *sources[layout->n_inputs + 1];
    int64_t strides[layout->n_inputs + 1], failed = 0;
    int ready = 0;
    if (iop_batch_shape(layout, inputs, batch, &length) != 0) {
        if (iop_tell(target->op, "raise_shape_error", layout, inputs, NULL) == 0)
            PyErr_SetString(PyExc_ValueError, "the inputs have the wrong shape");
        return -1;
    }
    if (iop_prepare_outputs(layout, batch, length, outputs) != 0)
        return -1;
    n = PyArray_MultiplyList(batch, (int)layout->n_batch);
    if (n == 0)
        return 0;
    while (ready < layout->n_inputs) {
        PyArrayObject *plain = iop_unmasked(target->op, inputs[ready]);
        sources[ready] = plain == NULL ? NULL : iop_with_stride(plain, layout, batch, &strides[ready]);
        Py_XDECREF(plain);
        if (sources[ready] == NULL)
            break;
        ready++;
    }
    if (ready == layout->n_inputs)
        failed = iop_run_batch(target, n, length, sources, strides, outputs);
    while (ready-- > 0)
        Py_DECREF(sources[ready]);
    if (failed > 0)
        return iop_tell(target->op, "report_failures", layout, inputs, outputs);
    if (failed < 0 && !PyErr_Occurred())
        PyErr_NoMemory();
    return PyErr_Occurred() ? -1 : 0;
}

#endif
"""


@lru_cache(maxsize=1)
def cache_version() -> tuple[int, ...]:
    """Checksums of this code and of the C interface that it is compiled against, for Theano's module cache."""
    sources = (Path(__file__), *(INCLUDE / header for header in HEADERS))
    return tuple(zlib.crc32(source.read_bytes()) for source in sources)


def struct_declaration(name: str) -> str:
    """Member of a compiled node that holds what was found for it."""
    return f"iop_target target_{name};"


def struct_initialisation(name: str, params: str, fail: str) -> str:
    """Code that runs when a function is made."""
    return f"if (iop_find_target({params}, &target_{name}) != 0) {{ {fail} }}"


def struct_cleanup(name: str) -> str:
    """Code that runs when a function is forgotten."""
    return f"Py_CLEAR(target_{name}.description);"


def application(name: str, fail: str, inputs: Sequence[str], outputs: Sequence[str]) -> str:
    """Code that runs a node.

    Parameters
    ----------
    name, fail : str, of the node in the generated code
    inputs, outputs : sequences of str, variables of type ``PyArrayObject *``
    """
    return f"""
    {{
        PyArrayObject *inputs[] = {{ {", ".join(inputs)} }};
        PyArrayObject **outputs[] = {{ {", ".join(f"&{output}" for output in outputs)} }};
        if (iop_apply(&target_{name}, inputs, outputs) != 0) {{ {fail} }}
    }}
    """


def layout(
    broadcastable: Sequence[Sequence[bool]], input_shapes: Sequence[Shape], output_shapes: Sequence[Shape]
) -> bytes:
    """Shapes of a node in the form that the code above reads.

    Parameters
    ----------
    broadcastable : for each input, whether each batch axis is
    input_shapes, output_shapes : core shapes
    """
    shapes = (*input_shapes, *output_shapes)
    counts = (len(broadcastable[0]), len(input_shapes), len(output_shapes))
    flags = (int(flag) for axes in broadcastable for flag in axes)
    numbers = [*counts, *flags, *map(len, shapes), *(n for shape in shapes for n in shape)]
    return np.array(numbers, dtype=np.int64).tobytes()
