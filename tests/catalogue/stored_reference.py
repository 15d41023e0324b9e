"""The stored solution of a problem of the catalogue as a reference for verify_grad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mpmath
import numpy as np

from catalogue.ode_case import OdeCase
from implicitops.errors import NoReferenceError
from implicitops.verify.decimals import as_decimal, as_mpf, digits
from implicitops.verify.ode_path import Path
from implicitops.verify.ode_tolerance import spread
from implicitops.verify.reference import ReferencePoint


class StoredReference:
    """The stored solution of a problem of the catalogue, for those that are stiff; without second derivatives.

    Parameters
    ----------
    case : OdeCase

    Examples
    --------
    >>> import implicitops as iop
    >>> from catalogue.ode_problems import case_named
    >>> from catalogue.stored_reference import StoredReference
    >>> case = case_named("Robertson")
    >>> at = dict(zip(case.problem().parameter_names, case.point), times=case.times)
    >>> iop.verify_grad(case.problem(), at, reference=StoredReference(case)).passed
    True
    """

    def __init__(self, case: OdeCase) -> None:
        self.case = case

    def at(self, variables: Sequence[float], near: Any = None, order: int = 1) -> ReferencePoint:
        """Reference at the case's own parameters and times, the only ones that there are.

        Raises
        ------
        NoReferenceError : anywhere else, or for order 2
        """
        case = self.case
        if list(variables) != [*case.flat_point, *case.times] or order > 1:
            what = "second derivatives" if order > 1 else "another point"
            raise NoReferenceError(f"the stored reference of {case.name} knows nothing of {what}")
        stored, path = case.reference(), Path(case.problem(), precise=True)
        rows, parameters = len(case.times), [as_decimal(v) for v in case.flat_point]
        with digits(60):
            rate = path.rate([])
            states = [[as_decimal(v) for v in row] for row in stored.values.tolist()]
            rates = [rate(as_decimal(t), y, parameters) for t, y in zip(case.times, states)]
            value = np.array([as_mpf(v) for row in states for v in row], dtype=object)
            by_time = np.array([as_mpf(v) for row in rates for v in row], dtype=object)
            columns = [[mpmath.mpf(v) for v in row] for row in stored.sensitivities.reshape(len(value), -1).tolist()]
            jacobian = np.concatenate([np.array(columns, dtype=object), by_time[:, None]], axis=1)
            value_bound = (stored.value_error + 1e-15) * abs(value)
            jacobian_bound = (stored.sensitivity_error + 1e-15) * abs(jacobian)
        return ReferencePoint(value, value_bound, spread(jacobian, rows), spread(jacobian_bound, rows))
