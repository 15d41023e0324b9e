# How a kernel asks the judge of derivative_judge.h, which Python makes when it is needed for the first time.

cdef extern from "derivative_judge.h" nogil:
    ctypedef struct iop_judge:
        const iop_operation *operation
        void *owner
        double ends[2]
        int32_t n_ends
    int iop_is_doubtful(double doubt)
    int32_t iop_judge_at(const iop_judge *judge, int64_t i, const double *const *inputs, const int64_t *strides,
                         int64_t *is_lost)
    double iop_marked(int32_t status)


cdef class Judge:
    """Decides on derivatives that are in doubt.

    Parameters
    ----------
    ends : sequence of float, numbers that the operation takes after the parameters
    make : callable that returns the kernel of the operation (parameters, ends, x) that solves the problem from x on
    """

    cdef iop_judge data
    cdef object make
    cdef object keep

    def __init__(self, ends, make):
        cdef int32_t k
        self.make = make
        self.keep = None
        self.data.operation = NULL
        self.data.owner = <void *> self
        self.data.n_ends = <int32_t> len(ends)
        for k in range(self.data.n_ends):
            self.data.ends[k] = ends[k]


cdef int summon(void *owner) noexcept with gil:
    """Makes the operation that decides; whoever else makes it meanwhile finds the same. An error is only printed."""
    cdef Judge judge = <Judge> owner
    judge.keep = judge.make()
    judge.data.operation = <const iop_operation *> <uintptr_t> judge.keep.address
    return 1


cdef inline int32_t judged(iop_judge *judge, int64_t i, const double *const *inputs, const int64_t *strides,
                           int64_t *is_lost) noexcept nogil:
    """Status of the derivatives at element i, see iop_judge_at()."""
    if judge.operation == NULL and summon(judge.owner) == 0:
        return 0
    return iop_judge_at(judge, i, inputs, strides, is_lost)
