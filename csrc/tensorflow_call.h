/* What the TensorFlow op and the XLA call share: operations found by name, run, and explained by Python.
 *
 * Everything rare is Python's work (implicitops/backends/tensorflow/bridge.py): it compiles an operation that this
 * process does not know, splits large batches over threads, and records failures.  A solve itself holds no GIL.
 */
#ifndef IMPLICITOPS_TENSORFLOW_CALL_H
#define IMPLICITOPS_TENSORFLOW_CALL_H

#define PY_SSIZE_T_CLEAN
#include "call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IOP_ERROR_SIZE 4096

/* Flags of an operation, as in bridge.py. */
enum { IOP_SOLVES = 1, IOP_NEEDS_PYTHON = 2 };

/* What is found for a node. */
typedef struct {
    iop_call call;
    char *name;
    int64_t flags;
    int64_t *numbers; /* memory of the shapes */
} iop_target;

/* A batch, and where its numbers are. */
typedef struct {
    int64_t n;
    int64_t length;            /* of the free axes; 1 if there are none */
    const double *const *inputs;
    const int64_t *strides;    /* doubles from one batch element to the next; 0 where one serves all */
    double *const *outputs;    /* NULL where not wanted */
} iop_batch;

/* The pending exception as text; none is pending afterwards.  True if it asks the process to stop. */
static int iop_take_exception(char *error)
{
    PyObject *type, *value, *traceback, *text;
    int stops = PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) || PyErr_ExceptionMatches(PyExc_SystemExit);
    const char *words;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    text = value != NULL ? PyObject_Str(value) : NULL;
    words = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
    snprintf(error, IOP_ERROR_SIZE, "%s: %s", type != NULL ? ((PyTypeObject *)type)->tp_name : "error",
             words != NULL ? words : "an exception without text");
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    PyErr_Clear();
    return stops;
}

/* Result of a function of bridge.py; steals the tuple of arguments. */
static PyObject *iop_ask(const char *function, PyObject *arguments)
{
    PyObject *module = PyImport_ImportModule("implicitops.backends.tensorflow.bridge");
    PyObject *callable = module ? PyObject_GetAttrString(module, function) : NULL;
    PyObject *result = callable && arguments ? PyObject_CallObject(callable, arguments) : NULL;
    Py_XDECREF(callable);
    Py_XDECREF(module);
    Py_XDECREF(arguments);
    return result;
}

/* Fills a target from ``describe``: 0, or -1 with an exception set. */
static int iop_describe(const char *name, const char *pickle, size_t pickle_size, int64_t n_wanted,
                        iop_target *target)
{
    PyObject *found = iop_ask("describe", Py_BuildValue("(sy#L)", name, pickle, (Py_ssize_t)pickle_size,
                                                       (long long)n_wanted));
    const char *registered, *numbers;
    Py_ssize_t size;
    iop_call *call = &target->call;
    if (found == NULL || !PyArg_ParseTuple(found, "sy#", &registered, &numbers, &size)) {
        Py_XDECREF(found);
        return -1;
    }
    call->operation = iop_find_registered(registered);
    target->name = strdup(registered);
    target->numbers = (int64_t *)malloc(size > 0 ? (size_t)size : 1);
    if (call->operation != NULL && (target->name == NULL || target->numbers == NULL))
        PyErr_NoMemory();
    if (PyErr_Occurred()) {
        Py_DECREF(found);
        return -1;
    }
    memcpy(target->numbers, numbers, (size_t)size);
    call->n_inputs = target->numbers[0];
    call->n_outputs = target->numbers[1];
    target->flags = target->numbers[2];
    call->solves = target->flags & IOP_SOLVES;
    call->large_batch = target->numbers[3];
    call->core_ndim = target->numbers + 4;
    call->core_shape = call->core_ndim + call->n_inputs + call->n_outputs;
    Py_DECREF(found);
    return 0;
}

/* Finds an operation by name, which Python makes from its pickle where this process does not know it: 0, or -1 with a
 * text.  Takes the GIL. */
static int iop_find_target(const char *name, const char *pickle, size_t pickle_size, int64_t n_wanted,
                           iop_target *target, char *error)
{
    PyGILState_STATE state = PyGILState_Ensure();
    int failed = iop_describe(name, pickle, pickle_size, n_wanted, target);
    if (failed)
        iop_take_exception(error);
    PyGILState_Release(state);
    return failed;
}

static void iop_forget_target(iop_target *target)
{
    free(target->name);
    free(target->numbers);
}

static PyObject *iop_view(const double *numbers, int64_t n, int flags)
{
    static double nothing;
    char *memory = numbers != NULL ? (char *)numbers : (char *)&nothing;
    return PyMemoryView_FromMemory(memory, (Py_ssize_t)(n * (int64_t)sizeof(double)), flags);
}

/* Arguments of the functions of bridge.py that see a batch. */
static PyObject *iop_arguments(const iop_target *target, const iop_batch *batch)
{
    const iop_operation *operation = target->call.operation;
    PyObject *inputs = PyTuple_New(target->call.n_inputs), *strides = PyTuple_New(target->call.n_inputs);
    PyObject *outputs = PyTuple_New(target->call.n_outputs);
    for (int64_t k = 0; inputs && strides && k < target->call.n_inputs; k++) {
        int64_t size = iop_resolved(operation->input_sizes[k], batch->length);
        int64_t count = batch->strides[k] == 0 ? size : batch->n * size;
        PyTuple_SET_ITEM(inputs, k, iop_view(batch->inputs[k], count, PyBUF_READ));
        PyTuple_SET_ITEM(strides, k, PyLong_FromLongLong(batch->strides[k]));
    }
    for (int64_t k = 0; outputs && k < target->call.n_outputs; k++) {
        int64_t size = iop_resolved(operation->output_sizes[k], batch->length);
        PyTuple_SET_ITEM(outputs, k, iop_view(batch->outputs[k], batch->n * size, PyBUF_WRITE));
    }
    return Py_BuildValue("(sLLNNN)", target->name, (long long)batch->n, (long long)batch->length, inputs, strides,
                         outputs);
}

/* Asks Python for something about a batch: an integer of 0 or more, or -1 with an exception set. */
static int64_t iop_ask_about(const char *function, const iop_target *target, const iop_batch *batch)
{
    int64_t answer = -1;
    PyObject *result = iop_ask(function, iop_arguments(target, batch));
    if (result != NULL)
        answer = PyLong_AsLongLong(result);
    Py_XDECREF(result);
    return answer;
}

static int64_t iop_run_kernel(const iop_call *call, const iop_batch *batch)
{
    return iop_run_call(call, batch->n, batch->length, batch->inputs, batch->strides, batch->outputs);
}

/* Runs a batch and records its failures: 0, or -1 with a text; 1 if the process was asked to stop. */
static int iop_run_target(const iop_target *target, const iop_batch *batch, char *error)
{
    const int on_threads = iop_is_large(&target->call, batch->n, batch->length);
    const int needs_python = (target->flags & IOP_NEEDS_PYTHON) != 0;
    PyGILState_STATE state = PyGILState_UNLOCKED;
    int has_gil = on_threads || needs_python, outcome = 0;
    int64_t failed;
    if (has_gil)
        state = PyGILState_Ensure();
    if (on_threads) {
        failed = iop_ask_about("run_on_threads", target, batch);
    } else if (needs_python) {
        /* The kernel takes the GIL itself; this thread's state stays, so that an exception is found here. */
        PyThreadState *saved = PyEval_SaveThread();
        failed = iop_run_kernel(&target->call, batch);
        PyEval_RestoreThread(saved);
    } else {
        failed = iop_run_kernel(&target->call, batch);
    }
    if (failed > 0) {
        if (!has_gil)
            state = PyGILState_Ensure();
        has_gil = 1;
        if (iop_ask_about("report_failures", target, batch) < 0)
            failed = -1;
    }
    if (failed < 0) {
        outcome = -1;
        snprintf(error, IOP_ERROR_SIZE, "no memory for the workspace of %lld batch elements", (long long)batch->n);
        if (has_gil && PyErr_Occurred() && iop_take_exception(error))
            outcome = 1;
    }
    if (has_gil)
        PyGILState_Release(state);
    return outcome;
}

#endif
