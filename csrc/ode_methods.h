/* The methods of an ODE by name: the explicit pairs of runge_kutta_tableaus.h, Rodas5P, and auto, which takes either. */
#ifndef IMPLICITOPS_ODE_METHODS_H
#define IMPLICITOPS_ODE_METHODS_H

#include "rodas5p.h"
#include "runge_kutta_tableaus.h"

enum { IOP_N_METHODS = IOP_N_PAIRS + 2 };

typedef struct {
    const char *name;
    iop_ode_method method;
    const iop_pair *pair; /* NULL: chosen by the tolerance */
    int64_t order;        /* of the solution; 0 where it depends on the choice */
} iop_named_method;

/* Method k < IOP_N_METHODS. */
static iop_named_method iop_method(int64_t k) {
    iop_named_method method = {"auto", IOP_ODE_AUTO, NULL, 0};
    if (k > IOP_N_PAIRS) {
        method.name = "rodas5p";
        method.method = IOP_ODE_RODAS5P;
        method.order = IOP_RODAS_ORDER;
    } else if (k > 0) {
        method.name = iop_explicit_pairs[k - 1].name;
        method.method = IOP_ODE_EXPLICIT;
        method.pair = &iop_explicit_pairs[k - 1];
        method.order = method.pair->order;
    }
    return method;
}

/* Sets the method of an ODE whose rtol is set. Returns 1 if there is none of that name. */
static int iop_set_method(iop_ode *ode, const char *name) {
    for (int64_t k = 0; k < IOP_N_METHODS; k++) {
        const iop_named_method found = iop_method(k);
        if (strcmp(found.name, name) != 0) continue;
        ode->method = found.method;
        ode->pair = found.pair != NULL ? found.pair : iop_automatic_pair(ode->rtol);
        return 0;
    }
    return 1;
}

#endif
