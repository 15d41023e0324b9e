/* The C code of the Theano op, whose node has nothing but the numbers of its inputs and outputs: see theano_c_code.py.
 *
 * What else a node needs (its operation, found by content name, and its shapes) it asks the op for when a function is
 * made.  No address is ever in the source.  Theano compiles this as C++.
 */
#ifndef IMPLICITOPS_THEANO_CALL_H
#define IMPLICITOPS_THEANO_CALL_H

#include "call.h"

#include <numpy/arrayobject.h>

/* What is found when a function is made. */
typedef struct {
    PyObject *op;          /* the SymbolicOperation; borrowed */
    PyObject *description; /* what it said, and the memory of the layout; owned */
    iop_call call;
    const int64_t *repeats; /* of each batch axis of each input, whether it is broadcastable */
} iop_target;

/* Registers a node's operation in this process and finds it: 0, or -1 with an exception set. */
static int iop_find_target(PyObject *params, iop_target *target)
{
    const char *name;
    PyObject *shapes;
    const int64_t *numbers;
    int solves;
    long long large_batch;
    iop_call *call = &target->call;
    target->op = PyTuple_GET_ITEM(params, 0);
    target->description = PyObject_CallMethod(target->op, "describe", "(O)", PyTuple_GET_ITEM(params, 1));
    if (target->description == NULL
        || !PyArg_ParseTuple(target->description, "spLS", &name, &solves, &large_batch, &shapes))
        return -1;
    call->operation = iop_find_registered(name);
    if (call->operation == NULL)
        return -1;
    numbers = (const int64_t *)PyBytes_AS_STRING(shapes);
    target->repeats = numbers + 3;
    call->n_inputs = numbers[1];
    call->n_outputs = numbers[2];
    call->solves = solves;
    call->large_batch = large_batch;
    call->core_ndim = target->repeats + numbers[0] * call->n_inputs;
    call->core_shape = call->core_ndim + call->n_inputs + call->n_outputs;
    return 0;
}

/* Common batch shape of the inputs: 0, or -1 where lengths differ. Then the op raises an error that names the argument. */
static int iop_shape_of(const iop_target *target, PyArrayObject **inputs, iop_shape *shape)
{
    const int64_t n_inputs = target->call.n_inputs;
    int ndim[n_inputs + 1];
    const int64_t *dims[n_inputs + 1];
    for (int64_t k = 0; k < n_inputs; k++) {
        ndim[k] = PyArray_NDIM(inputs[k]);
        dims[k] = (const int64_t *)PyArray_DIMS(inputs[k]);
    }
    return iop_common_shape(&target->call, ndim, dims, target->repeats, shape);
}

/* 1 if one stride (in doubles) leads from each batch element to the next and core axes are contiguous. */
static int iop_has_stride(PyArrayObject *array, const iop_shape *common, int64_t *stride)
{
    const int64_t *batch = common->batch;
    const int n_batch = common->n_batch;
    const npy_intp *shape = PyArray_DIMS(array), *strides = PyArray_STRIDES(array);
    npy_intp expected = sizeof(double), step = 0, elements = 1;
    int64_t d;
    for (d = PyArray_NDIM(array) - 1; d >= n_batch; d--) {
        if (shape[d] != 1 && strides[d] != expected)
            return 0;
        expected *= shape[d];
    }
    *stride = 0;
    if (expected == 0)
        return 1;
    for (d = n_batch - 1; d >= 0; d--)
        elements *= shape[d];
    if (elements <= 1)
        return 1;
    for (d = n_batch - 1; d >= 0; d--) {
        if (batch[d] == 1)
            continue;
        if (shape[d] != batch[d] || (step != 0 && strides[d] != step))
            return 0;
        if (step == 0)
            *stride = strides[d] / (npy_intp)sizeof(double);
        step = strides[d] * shape[d];
    }
    return 1;
}

/* New reference to an input's values in a form that one stride walks through: itself or a broadcast copy. */
static PyArrayObject *iop_with_stride(PyArrayObject *array, const iop_shape *common, int64_t *stride)
{
    npy_intp shape[NPY_MAXDIMS];
    PyArrayObject *copy;
    int d, ndim = PyArray_NDIM(array);
    if (iop_has_stride(array, common, stride)) {
        Py_INCREF(array);
        return array;
    }
    for (d = 0; d < ndim; d++)
        shape[d] = d < common->n_batch ? common->batch[d] : PyArray_DIMS(array)[d];
    copy = (PyArrayObject *)PyArray_SimpleNew(ndim, shape, NPY_DOUBLE);
    if (copy != NULL && PyArray_CopyInto(copy, array) != 0)
        Py_CLEAR(copy);
    if (copy != NULL)
        iop_has_stride(copy, common, stride);
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

static int iop_prepare_outputs(const iop_call *call, const iop_shape *common, PyArrayObject ***outputs)
{
    int64_t shape[2 * IOP_MAX_DIMS];
    for (int64_t k = 0; k < call->n_outputs; k++) {
        const int ndim = iop_output_shape(call, k, common, shape);
        if (iop_prepare_output(outputs[k], ndim, (const npy_intp *)shape) != 0)
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

static int64_t iop_run_on_threads(PyObject *op, const iop_call *call, int64_t n, PyArrayObject **inputs,
                                  const int64_t *strides, PyArrayObject ***outputs)
{
    int64_t failed = -1;
    PyObject *steps = PyTuple_New(call->n_inputs);
    for (int k = 0; steps != NULL && k < call->n_inputs; k++)
        PyTuple_SET_ITEM(steps, k, PyLong_FromLongLong(strides[k]));
    PyObject *result = steps == NULL ? NULL : PyObject_CallMethod(
        op, "run_on_threads", "LNNN", (long long)n, iop_tuple_of(inputs, call->n_inputs), steps,
        iop_tuple_of_outputs(outputs, call->n_outputs));
    if (result != NULL) {
        failed = PyLong_AsLongLong(result);
        Py_DECREF(result);
    }
    return failed;
}

/* Calls a method of the op that takes arrays, for what is rare: 0, or -1 with an exception set. */
static int iop_tell(PyObject *op, const char *method, const iop_call *call, PyArrayObject **inputs,
                    PyArrayObject ***outputs)
{
    PyObject *result = PyObject_CallMethod(op, method, "NN", iop_tuple_of(inputs, call->n_inputs),
                                           iop_tuple_of_outputs(outputs, outputs ? call->n_outputs : 0));
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int64_t iop_run_batch(const iop_target *target, const iop_shape *common, PyArrayObject **inputs,
                             const int64_t *strides, PyArrayObject ***outputs)
{
    const iop_call *call = &target->call;
    const double *sources[call->n_inputs + 1];
    double *targets[call->n_outputs + 1];
    if (iop_is_large(call, common->n, common->length))
        return iop_run_on_threads(target->op, call, common->n, inputs, strides, outputs);
    for (int64_t k = 0; k < call->n_inputs; k++)
        sources[k] = (const double *)PyArray_DATA(inputs[k]);
    for (int64_t k = 0; k < call->n_outputs; k++)
        targets[k] = (double *)PyArray_DATA(*outputs[k]);
    return iop_run_call(call, common->n, common->length, sources, strides, targets);
}

static int iop_apply(const iop_target *target, PyArrayObject **inputs, PyArrayObject ***outputs)
{
    const iop_call *call = &target->call;
    iop_shape common;
    PyArrayObject *sources[call->n_inputs + 1];
    int64_t strides[call->n_inputs + 1], failed = 0, ready = 0;
    if (iop_shape_of(target, inputs, &common) != 0) {
        if (iop_tell(target->op, "raise_shape_error", call, inputs, NULL) == 0)
            PyErr_SetString(PyExc_ValueError, "the inputs have the wrong shape");
        return -1;
    }
    if (iop_prepare_outputs(call, &common, outputs) != 0)
        return -1;
    if (common.n == 0)
        return 0;
    while (ready < call->n_inputs) {
        PyArrayObject *plain = iop_unmasked(target->op, inputs[ready]);
        sources[ready] = plain == NULL ? NULL : iop_with_stride(plain, &common, &strides[ready]);
        Py_XDECREF(plain);
        if (sources[ready] == NULL)
            break;
        ready++;
    }
    if (ready == call->n_inputs)
        failed = iop_run_batch(target, &common, sources, strides, outputs);
    while (ready-- > 0)
        Py_DECREF(sources[ready]);
    if (failed > 0)
        return iop_tell(target->op, "report_failures", call, inputs, outputs);
    if (failed < 0 && !PyErr_Occurred())
        PyErr_NoMemory();
    return PyErr_Occurred() ? -1 : 0;
}

#endif
