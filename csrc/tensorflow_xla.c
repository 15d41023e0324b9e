/* The function that XLA:CPU calls for every operation: a custom call in its original convention, (out, inputs).
 *
 * That convention says nothing of sizes or of which operation is meant, so the first input is a *ticket*, a constant
 * array of int64 that says both.  It holds the operation's name and its pickle, never an address, so that a saved
 * graph works in another process.
 *
 *   ticket    n_wanted (-1: the outputs are known, and follow the inputs), n, length, n_inputs, n_outputs, bytes of the
 *             name, bytes of the pickle, a hash of the name, stride of each input, doubles per batch element of each
 *             output,
 *             the name and then the pickle, each padded to whole int64
 */
#include "tensorflow_call.h"

#include <math.h>

enum { IOP_BUCKETS = 256 };

typedef struct iop_known {
    char *name;
    int64_t n_wanted;
    iop_target target;
    struct iop_known *next;
} iop_known;

/* Entries are only ever added, each in one atomic step, so that readers need no lock. */
static iop_known *known[IOP_BUCKETS];

static const iop_target *find(const char *name, uint64_t hash, const char *pickle, size_t pickle_size, int64_t n_wanted,
                              char *error)
{
    iop_known **bucket = &known[hash % IOP_BUCKETS], *entry;
    for (entry = __atomic_load_n(bucket, __ATOMIC_ACQUIRE); entry != NULL; entry = entry->next)
        if (entry->n_wanted == n_wanted && strcmp(entry->name, name) == 0)
            return &entry->target;
    entry = (iop_known *)calloc(1, sizeof(iop_known));
    if (entry == NULL || (entry->name = strdup(name)) == NULL) {
        free(entry);
        snprintf(error, IOP_ERROR_SIZE, "no memory");
        return NULL;
    }
    entry->n_wanted = n_wanted;
    if (iop_find_target(name, pickle, pickle_size, n_wanted, &entry->target, error) != 0) {
        iop_forget_target(&entry->target);
        free(entry->name);
        free(entry);
        return NULL;
    }
    entry->next = __atomic_load_n(bucket, __ATOMIC_ACQUIRE);
    while (!__atomic_compare_exchange_n(bucket, &entry->next, entry, 0, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE))
        ;
    return &entry->target;
}

/* XLA's convention has no way to report an error: it becomes a warning, and NaN.  A process that was asked to stop is
 * asked again, as soon as it is back in Python. */
static void give_up(const char *name, const char *error, int stop)
{
    PyGILState_STATE state = PyGILState_Ensure();
    if (stop)
        PyErr_SetInterrupt();
    PyObject *result = iop_ask("warn", Py_BuildValue("(ss)", name, error));
    if (result == NULL)
        PyErr_WriteUnraisable(NULL);
    Py_XDECREF(result);
    PyGILState_Release(state);
}

__attribute__((visibility("default"))) void implicitops_xla(void *out, const void **in)
{
    const int64_t *ticket = (const int64_t *)in[0];
    const int64_t n_wanted = ticket[0], n = ticket[1], n_inputs = ticket[3], n_outputs = ticket[4];
    const int64_t *strides = ticket + 8, *output_sizes = strides + n_inputs;
    const char *name = (const char *)(output_sizes + n_outputs), *pickle = name + (ticket[5] + 7) / 8 * 8;
    double *outputs[n_outputs + 1];
    char error[IOP_ERROR_SIZE];
    const iop_target *target;
    int outcome = -1;
    iop_batch batch = {n, ticket[2], (const double *const *)(in + 1), strides, outputs};
    for (int64_t k = 0; k < n_outputs; k++) {
        outputs[k] = n_outputs == 1 ? (double *)out : ((double **)out)[k];
        if (n_wanted < 0 && n * output_sizes[k] > 0)
            memcpy(outputs[k], in[1 + n_inputs + k], (size_t)(n * output_sizes[k]) * sizeof(double));
        if (k >= n_wanted)
            outputs[k] = NULL;
    }
    if (n == 0 || n_wanted < 0)
        return;
    target = find(name, (uint64_t)ticket[7], pickle, (size_t)ticket[6], n_wanted, error);
    if (target != NULL && (outcome = iop_run_target(target, &batch, error)) == 0)
        return;
    for (int64_t k = 0; k < n_wanted; k++)
        for (int64_t i = 0; i < n * output_sizes[k]; i++)
            outputs[k][i] = NAN;
    give_up(name, error, outcome > 0);
}
