/* Oscillating tails. */
#ifndef IOP_QUADRATURE_TAIL_H
#define IOP_QUADRATURE_TAIL_H

#include "quadrature_adaptive.h"

static int iop_begin_tail(iop_quadrature_work *w, int64_t stretch) {
    (void)stretch;
    return w->quadrature->oscillates ? IOP_SLOW_TAIL : IOP_DIVERGENT;
}

#endif
