/* What the ops of Theano and TensorFlow share: an operation found by its name, the shapes of a call, and its run. */
#ifndef IMPLICITOPS_CALL_H
#define IMPLICITOPS_CALL_H

#include <Python.h>

#include <stdint.h>

#include "implicitops.h"
#include "marked_nan.h"

#define IOP_FREE (-1)
#define IOP_MAX_DIMS 254

/* An operation of the calculus, with what a node of a graph needs to know of it. */
typedef struct {
    const iop_operation *operation;
    int64_t n_inputs, n_outputs; /* of the node: a kernel may have more outputs */
    int64_t solves;              /* a failure is marked with its status */
    int64_t large_batch;         /* from here on batches go through implicitops.kernels.run, which uses threads */
    const int64_t *core_ndim;    /* of the inputs, then of the outputs */
    const int64_t *core_shape;   /* of the inputs, then of the outputs; IOP_FREE where each call chooses */
} iop_call;

/* What the inputs of a call have in common. */
typedef struct {
    int n_batch;
    int64_t n;      /* of batch elements */
    int64_t length; /* of the free axes; 1 if there are none */
    int64_t batch[IOP_MAX_DIMS];
} iop_shape;

/* A function of the compiled module that registers operations, or NULL with an exception set. */
static inline void *iop_import(const char *name, const char *signature)
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

/* The operation that this process has registered under a name, or NULL with an exception set. */
static inline const iop_operation *iop_find_registered(const char *name)
{
    typedef const iop_operation *(*find_type)(const char *);
    find_type find = (find_type)iop_import("iop_find", "iop_operation const *(char const *)");
    const iop_operation *operation = find != NULL ? find(name) : NULL;
    if (find != NULL && operation == NULL)
        PyErr_Format(PyExc_RuntimeError, "operation %s is not registered", name);
    return operation;
}

/* Common batch shape and length of the free axes: 0, or -1 where an input does not fit.
 *
 * Batch axes broadcast as in NumPy.  If `repeats` is given, it says of each batch axis of each input, of which all have the
 * same number, whether it is repeated, whatever its length; no other is.  */
static inline int iop_common_shape(const iop_call *call, const int *ndim, const int64_t *const *dims,
                                   const int64_t *repeats, iop_shape *shape)
{
    const int64_t *core = call->core_shape;
    shape->n_batch = 0;
    shape->length = -1;
    for (int64_t k = 0; k < call->n_inputs; core += call->core_ndim[k++]) {
        const int lead = ndim[k] - (int)call->core_ndim[k];
        if (lead < 0)
            return -1;
        if (lead > shape->n_batch)
            shape->n_batch = lead;
        for (int64_t d = 0; d < call->core_ndim[k]; d++) {
            const int64_t size = dims[k][lead + d];
            if (core[d] == IOP_FREE && shape->length == -1)
                shape->length = size;
            if (size != (core[d] == IOP_FREE ? shape->length : core[d]))
                return -1;
        }
    }
    if (shape->length == -1)
        shape->length = 1;
    for (int d = 0; d < shape->n_batch; d++)
        shape->batch[d] = -1;
    for (int64_t k = 0; k < call->n_inputs; k++) {
        const int lead = ndim[k] - (int)call->core_ndim[k];
        int64_t *batch = shape->batch + (shape->n_batch - lead);
        for (int d = 0; d < lead; d++) {
            if (repeats != NULL ? *repeats++ : dims[k][d] == 1)
                continue;
            if (batch[d] != -1 && batch[d] != dims[k][d])
                return -1;
            batch[d] = dims[k][d];
        }
    }
    shape->n = 1;
    for (int d = 0; d < shape->n_batch; d++)
        shape->n *= shape->batch[d] = shape->batch[d] == -1 ? 1 : shape->batch[d];
    return 0;
}

/* Writes the shape of output k of a call, and returns the number of its axes. */
static inline int iop_output_shape(const iop_call *call, int64_t k, const iop_shape *shape, int64_t *dims)
{
    const int64_t *core = call->core_shape;
    const int core_ndim = (int)call->core_ndim[call->n_inputs + k];
    for (int64_t j = 0; j < call->n_inputs + k; j++)
        core += call->core_ndim[j];
    memcpy(dims, shape->batch, (size_t)shape->n_batch * sizeof(int64_t));
    for (int d = 0; d < core_ndim; d++)
        dims[shape->n_batch + d] = core[d] == IOP_FREE ? shape->length : core[d];
    return shape->n_batch + core_ndim;
}

/* Doubles of an input or output, -k of which stand for k times the length of the free axes. */
static inline int64_t iop_resolved(int64_t size, int64_t length)
{
    return size < 0 ? -size * length : size;
}

/* Whether a batch goes through implicitops.kernels.run. */
static inline int iop_is_large(const iop_call *call, int64_t n, int64_t length)
{
    return n >= 2 && n >= call->large_batch / (length > 1 ? length : 1);
}

/* Runs the kernel on a batch: how many elements failed, or -1. */
static inline int64_t iop_run_call(const iop_call *call, int64_t n, int64_t length, const double *const *inputs,
                                   const int64_t *strides, double *const *outputs)
{
    const int n_inputs = call->operation->n_inputs, n_outputs = call->operation->n_outputs;
    int64_t input_sizes[n_inputs + 1], output_sizes[n_outputs + 1];
    double *targets[n_outputs + 1];
    iop_operation operation = *call->operation;
    for (int k = 0; k < n_inputs; k++)
        input_sizes[k] = iop_resolved(operation.input_sizes[k], length);
    for (int k = 0; k < n_outputs; k++) {
        output_sizes[k] = iop_resolved(operation.output_sizes[k], length);
        targets[k] = k < call->n_outputs ? outputs[k] : NULL;
    }
    operation.input_sizes = input_sizes;
    operation.output_sizes = output_sizes;
    if (call->solves)
        return iop_run_marked(&operation, n, inputs, strides, targets);
    return operation.run(&operation, n, inputs, strides, targets, NULL, NULL);
}

#endif
