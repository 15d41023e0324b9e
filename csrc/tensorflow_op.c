/* One TensorFlow op for every operation of the calculus, by TensorFlow's C interface for kernels.
 *
 * The prototypes are our own: no header of TensorFlow is needed, and one library serves all its versions.  The
 * interface is documented in tensorflow/c/ops.h, kernels.h and tf_tensor.h.
 *
 *   inputs    the operation's inputs, float64; leading (batch) axes broadcast as in NumPy
 *   known     if there are any, the outputs, already computed: they are passed on.  The gradient rule uses this to give
 *             a derivative of its own to something that was computed together with something else
 *   outputs   the operation's outputs; those from n_wanted on are left empty
 *
 * A failed solve is NaN, never an error; see tensorflow_call.h.
 */
#include "tensorflow_call.h"

/* -- TensorFlow's C interface, as far as it is used ---------------------------------------------------------------- */

typedef struct TF_Status TF_Status;
typedef struct TF_Tensor TF_Tensor;
typedef struct TF_OpDefinitionBuilder TF_OpDefinitionBuilder;
typedef struct TF_ShapeInferenceContext TF_ShapeInferenceContext;
typedef struct TF_KernelBuilder TF_KernelBuilder;
typedef struct TF_OpKernelConstruction TF_OpKernelConstruction;
typedef struct TF_OpKernelContext TF_OpKernelContext;

enum { TF_DOUBLE = 2 };
enum { TF_OK = 0, TF_CANCELLED = 1, TF_UNKNOWN = 2, TF_INVALID_ARGUMENT = 3 };

extern TF_Status *TF_NewStatus(void);
extern void TF_DeleteStatus(TF_Status *);
extern void TF_SetStatus(TF_Status *, int code, const char *message);
extern int TF_GetCode(const TF_Status *);
extern const char *TF_Message(const TF_Status *);

extern TF_OpDefinitionBuilder *TF_NewOpDefinitionBuilder(const char *name);
extern void TF_OpDefinitionBuilderAddAttr(TF_OpDefinitionBuilder *, const char *specification);
extern void TF_OpDefinitionBuilderAddInput(TF_OpDefinitionBuilder *, const char *specification);
extern void TF_OpDefinitionBuilderAddOutput(TF_OpDefinitionBuilder *, const char *specification);
extern void TF_OpDefinitionBuilderSetShapeInferenceFunction(
    TF_OpDefinitionBuilder *, void (*)(TF_ShapeInferenceContext *, TF_Status *));
extern void TF_RegisterOpDefinition(TF_OpDefinitionBuilder *, TF_Status *);
extern void TF_ShapeInferenceContextSetUnknownShape(TF_ShapeInferenceContext *, TF_Status *);

extern TF_KernelBuilder *TF_NewKernelBuilder(const char *op, const char *device,
                                             void *(*create)(TF_OpKernelConstruction *),
                                             void (*compute)(void *, TF_OpKernelContext *), void (*destroy)(void *));
extern void TF_RegisterKernelBuilder(const char *kernel, TF_KernelBuilder *, TF_Status *);
extern void TF_OpKernelConstruction_GetAttrSize(TF_OpKernelConstruction *, const char *name, int32_t *list_size,
                                                int32_t *total_size, TF_Status *);
extern void TF_OpKernelConstruction_GetAttrString(TF_OpKernelConstruction *, const char *name, char *value,
                                                  size_t size, TF_Status *);
extern void TF_OpKernelConstruction_GetAttrInt64(TF_OpKernelConstruction *, const char *name, int64_t *, TF_Status *);
extern void TF_OpKernelConstruction_Failure(TF_OpKernelConstruction *, TF_Status *);

extern void TF_GetInput(TF_OpKernelContext *, int i, TF_Tensor **, TF_Status *);
extern void TF_SetOutput(TF_OpKernelContext *, int i, const TF_Tensor *, TF_Status *);
extern TF_Tensor *TF_AllocateOutput(TF_OpKernelContext *, int i, int dtype, const int64_t *dims, int num_dims,
                                    size_t size, TF_Status *);
extern void TF_OpKernelContext_Failure(TF_OpKernelContext *, TF_Status *);
extern int TF_NumDims(const TF_Tensor *);
extern int64_t TF_Dim(const TF_Tensor *, int axis);
extern void *TF_TensorData(const TF_Tensor *);
extern void TF_DeleteTensor(TF_Tensor *);

/* -- a node of a graph --------------------------------------------------------------------------------------------- */

typedef struct {
    iop_target target;
    int64_t n_known;
    int64_t n_wanted;
} iop_node;

/* Value of a string attribute in new memory, or NULL. */
static char *string_attribute(TF_OpKernelConstruction *context, const char *name, int32_t *size, TF_Status *status)
{
    int32_t list_size;
    char *value;
    TF_OpKernelConstruction_GetAttrSize(context, name, &list_size, size, status);
    if (TF_GetCode(status) != TF_OK)
        return NULL;
    value = (char *)calloc((size_t)*size + 1, 1);
    if (value != NULL && *size > 0)
        TF_OpKernelConstruction_GetAttrString(context, name, value, (size_t)*size, status);
    return value;
}

static void destroy(void *kernel)
{
    iop_node *node = (iop_node *)kernel;
    if (node != NULL)
        iop_forget_target(&node->target);
    free(node);
}

static void *create(TF_OpKernelConstruction *context)
{
    TF_Status *status = TF_NewStatus();
    int32_t name_size, pickle_size;
    char error[IOP_ERROR_SIZE];
    iop_node *node = (iop_node *)calloc(1, sizeof(iop_node));
    char *name = string_attribute(context, "operation", &name_size, status);
    char *pickle = name != NULL ? string_attribute(context, "pickled", &pickle_size, status) : NULL;
    TF_OpKernelConstruction_GetAttrInt64(context, "n_known", &node->n_known, status);
    TF_OpKernelConstruction_GetAttrInt64(context, "n_wanted", &node->n_wanted, status);
    if (TF_GetCode(status) == TF_OK && name != NULL && pickle != NULL
        && iop_find_target(name, pickle, (size_t)pickle_size, node->n_wanted, &node->target, error) != 0)
        TF_SetStatus(status, TF_INVALID_ARGUMENT, error);
    free(name);
    free(pickle);
    if (TF_GetCode(status) != TF_OK) {
        TF_OpKernelConstruction_Failure(context, status);
        destroy(node);
        node = NULL;
    }
    TF_DeleteStatus(status);
    return node;
}

/* -- shapes -------------------------------------------------------------------------------------------------------- */

/* An input repeated along its broadcast axes, in new memory; NULL if there is none. */
static double *repeated(const double *source, int lead, const int64_t *dims, int64_t size, const iop_shape *shape)
{
    double *copy = (double *)malloc((size_t)(shape->n * size) * sizeof(double) + 1);
    for (int64_t i = 0; copy != NULL && i < shape->n; i++) {
        int64_t rest = i, index = 0, step = 1;
        for (int d = shape->n_batch - 1; d >= shape->n_batch - lead; d--) {
            int64_t dim = dims[d - (shape->n_batch - lead)], position = rest % shape->batch[d];
            index += dim == 1 ? 0 : position * step;
            step *= dim;
            rest /= shape->batch[d];
        }
        memcpy(copy + i * size, source + index * size, (size_t)size * sizeof(double));
    }
    return copy;
}

/* The shapes of the inputs; dims[k] points into `memory`. */
static void read_shapes(int64_t n_inputs, TF_Tensor *const *inputs, int *ndim, const int64_t **dims, int64_t *memory)
{
    for (int64_t k = 0; k < n_inputs; k++) {
        dims[k] = memory;
        for (int d = 0; d < ndim[k]; d++)
            *memory++ = TF_Dim(inputs[k], d);
    }
}

/* Where each input begins and its step from one batch element to the next.  copies[k] is memory to free: 0, or -1. */
static int lay_out(const iop_call *call, TF_Tensor *const *inputs, const int *ndim, const int64_t *const *dims,
                   const iop_shape *shape, const double **sources, int64_t *strides, double **copies)
{
    for (int64_t k = 0; k < call->n_inputs; k++) {
        int lead = ndim[k] - (int)call->core_ndim[k];
        int64_t elements = 1, size = iop_resolved(call->operation->input_sizes[k], shape->length);
        for (int d = 0; d < lead; d++)
            elements *= dims[k][d];
        sources[k] = (const double *)TF_TensorData(inputs[k]);
        strides[k] = elements == 1 ? 0 : size;
        if (elements == 1 || elements == shape->n)
            continue;
        sources[k] = copies[k] = repeated(sources[k], lead, dims[k], size, shape);
        if (copies[k] == NULL)
            return -1;
    }
    return 0;
}

/* -- running ------------------------------------------------------------------------------------------------------- */

static void say_shapes(const iop_target *target, TF_Tensor *const *inputs, TF_Status *status)
{
    char error[IOP_ERROR_SIZE] = "the inputs have the wrong shapes";
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *shapes = PyTuple_New(target->call.n_inputs), *text;
    for (int64_t k = 0; shapes != NULL && k < target->call.n_inputs; k++) {
        int ndim = TF_NumDims(inputs[k]);
        PyObject *shape = PyTuple_New(ndim);
        for (int d = 0; shape != NULL && d < ndim; d++)
            PyTuple_SET_ITEM(shape, d, PyLong_FromLongLong(TF_Dim(inputs[k], d)));
        PyTuple_SET_ITEM(shapes, k, shape);
    }
    text = iop_ask("shape_message", Py_BuildValue("(sN)", target->name, shapes));
    if (text != NULL && PyUnicode_Check(text))
        snprintf(error, sizeof(error), "%s", PyUnicode_AsUTF8(text));
    else
        iop_take_exception(error);
    Py_XDECREF(text);
    PyGILState_Release(state);
    TF_SetStatus(status, TF_INVALID_ARGUMENT, error);
}

/* Memory of the outputs; those from n_wanted on are empty. */
static void allocate(const iop_node *node, TF_OpKernelContext *context, const iop_shape *shape, TF_Tensor **outputs,
                     double **targets, TF_Status *status)
{
    const iop_call *call = &node->target.call;
    const int64_t none = 0;
    int64_t dims[2 * IOP_MAX_DIMS];
    for (int64_t k = 0; k < call->n_outputs && TF_GetCode(status) == TF_OK; k++) {
        const int ndim = iop_output_shape(call, k, shape, dims);
        int64_t size = 1;
        for (int d = 0; d < ndim; d++)
            size *= dims[d];
        targets[k] = NULL;
        if (k < node->n_wanted) {
            outputs[k] = TF_AllocateOutput(context, (int)k, TF_DOUBLE, dims, ndim, (size_t)size * sizeof(double), status);
            if (outputs[k] != NULL)
                targets[k] = (double *)TF_TensorData(outputs[k]);
        } else {
            outputs[k] = TF_AllocateOutput(context, (int)k, TF_DOUBLE, &none, 1, 0, status);
        }
    }
}

static void solve(const iop_node *node, TF_OpKernelContext *context, TF_Tensor *const *inputs, TF_Status *status)
{
    const iop_target *target = &node->target;
    const double *sources[target->call.n_inputs + 1];
    int64_t strides[target->call.n_inputs + 1];
    double *copies[target->call.n_inputs + 1], *targets[target->call.n_outputs + 1];
    TF_Tensor *outputs[target->call.n_outputs + 1];
    char error[IOP_ERROR_SIZE];
    iop_shape shape;
    int outcome = 0, ndim[target->call.n_inputs + 1], n_axes = 0;
    const int64_t *dims[target->call.n_inputs + 1];
    for (int64_t k = 0; k < target->call.n_inputs; k++)
        n_axes += ndim[k] = TF_NumDims(inputs[k]);
    int64_t axes[n_axes + 1];
    read_shapes(target->call.n_inputs, inputs, ndim, dims, axes);
    if (iop_common_shape(&target->call, ndim, dims, NULL, &shape) != 0) {
        say_shapes(target, inputs, status);
        return;
    }
    memset(outputs, 0, sizeof(outputs));
    memset(copies, 0, sizeof(copies));
    allocate(node, context, &shape, outputs, targets, status);
    if (TF_GetCode(status) == TF_OK && shape.n > 0) {
        iop_batch batch = {shape.n, shape.length, sources, strides, targets};
        snprintf(error, sizeof(error), "no memory to repeat the inputs");
        outcome = lay_out(&target->call, inputs, ndim, dims, &shape, sources, strides, copies);
        if (outcome == 0)
            outcome = iop_run_target(target, &batch, error);
        if (outcome != 0)
            TF_SetStatus(status, outcome > 0 ? TF_CANCELLED : TF_UNKNOWN, error);
    }
    for (int64_t k = 0; k < target->call.n_inputs; k++)
        free(copies[k]);
    for (int64_t k = 0; k < target->call.n_outputs; k++)
        if (outputs[k] != NULL)
            TF_DeleteTensor(outputs[k]);
}

static void compute(void *kernel, TF_OpKernelContext *context)
{
    const iop_node *node = (const iop_node *)kernel;
    const int64_t n = node->target.call.n_inputs, n_outputs = node->target.call.n_outputs;
    TF_Tensor *inputs[n + 1], *known;
    TF_Status *status = TF_NewStatus();
    int64_t ready = 0;
    if (node->n_known > 0) {
        for (int64_t k = 0; k < n_outputs && TF_GetCode(status) == TF_OK; k++) {
            TF_GetInput(context, (int)(n + k), &known, status);
            if (TF_GetCode(status) != TF_OK)
                break;
            TF_SetOutput(context, (int)k, known, status);
            TF_DeleteTensor(known);
        }
    } else {
        while (ready < n) {
            TF_GetInput(context, (int)ready, &inputs[ready], status);
            if (TF_GetCode(status) != TF_OK)
                break;
            ready++;
        }
        if (ready == n)
            solve(node, context, inputs, status);
        while (ready > 0)
            TF_DeleteTensor(inputs[--ready]);
    }
    if (TF_GetCode(status) != TF_OK)
        TF_OpKernelContext_Failure(context, status);
    TF_DeleteStatus(status);
}

/* -- registration, when TensorFlow loads this library -------------------------------------------------------------- */

/* Shapes are set by Python, which knows the operation; what is here sees no attribute but types. */
static void infer_shapes(TF_ShapeInferenceContext *context, TF_Status *status)
{
    TF_ShapeInferenceContextSetUnknownShape(context, status);
}

__attribute__((constructor)) static void register_op(void)
{
    TF_Status *status = TF_NewStatus();
    TF_OpDefinitionBuilder *op = TF_NewOpDefinitionBuilder("ImplicitopsApply");
    TF_OpDefinitionBuilderAddInput(op, "inputs: n_inputs * double");
    TF_OpDefinitionBuilderAddInput(op, "known: n_known * double");
    TF_OpDefinitionBuilderAddOutput(op, "outputs: n_outputs * double");
    TF_OpDefinitionBuilderAddAttr(op, "operation: string");
    TF_OpDefinitionBuilderAddAttr(op, "pickled: string = ''");
    TF_OpDefinitionBuilderAddAttr(op, "n_inputs: int >= 1");
    TF_OpDefinitionBuilderAddAttr(op, "n_known: int >= 0");
    TF_OpDefinitionBuilderAddAttr(op, "n_outputs: int >= 1");
    TF_OpDefinitionBuilderAddAttr(op, "n_wanted: int >= 1 = 1");
    TF_OpDefinitionBuilderSetShapeInferenceFunction(op, infer_shapes);
    TF_RegisterOpDefinition(op, status);
    if (TF_GetCode(status) == TF_OK)
        TF_RegisterKernelBuilder("ImplicitopsApply",
                                 TF_NewKernelBuilder("ImplicitopsApply", "CPU", create, compute, destroy), status);
    if (TF_GetCode(status) != TF_OK)
        fprintf(stderr, "implicitops: TensorFlow refused the op: %s\n", TF_Message(status));
    TF_DeleteStatus(status);
}
