"""A catalogue of definite integrals with parameters: exact values, what makes them hard, and what must be flagged.

The integrals themselves are in files by origin: ``integral_families`` (published test sets), ``integral_functions``
(special functions), ``integral_lines`` (infinite intervals), ``integral_limits`` (moving limits, kinks and
singularities) and ``integral_failing``.
"""

from __future__ import annotations

from functools import lru_cache

from catalogue import integral_failing, integral_families, integral_functions, integral_limits, integral_lines
from catalogue.integral_case import IntegralCase


@lru_cache(maxsize=1)
def integral_catalogue() -> tuple[IntegralCase, ...]:
    """All integrals that have a value and can be computed.

    Examples
    --------
    >>> from catalogue.integral_problems import integral_catalogue
    >>> len(integral_catalogue()) >= 100
    True
    >>> dawson = next(case for case in integral_catalogue() if case.name == "Dawson's integral")
    >>> print(dawson.integrand[0], "from", dawson.lower, "to", dawson.upper)
    exp(t**2 - x**2) from 0 to x
    >>> reference = dawson.reference((0.7,), order=1)
    >>> print(float(reference.value[0]), float(reference.jacobian[0, 0]))
    0.5105040575592318 0.28529431941707556
    """
    groups = (
        integral_families.quadpack,
        integral_families.genz,
        integral_families.kahaner,
        integral_functions.gamma_and_beta,
        integral_functions.bessel,
        integral_functions.error_functions,
        integral_functions.elliptic_and_hypergeometric,
        integral_lines.half_line,
        integral_lines.whole_line,
        integral_lines.oscillatory_tails,
        integral_limits.moving_limits,
        integral_limits.moving_kinks,
        integral_limits.moving_singularities,
    )
    return tuple(case for group in groups for case in group())


@lru_cache(maxsize=1)
def failing_integrals() -> tuple[IntegralCase, ...]:
    """Integrals that must be flagged, as they have no value, or are likely to be; ``reason`` says why.

    Where ``exact`` is None there is nothing to find. Where it is not, a right answer is as good as a flag.

    Examples
    --------
    >>> from catalogue.integral_problems import failing_integrals
    >>> case = next(case for case in failing_integrals() if case.name == "principal value")
    >>> case.exact is None, case.reason
    (True, 'only a principal value exists')
    """
    groups = (integral_failing.divergent, integral_failing.undefined, integral_failing.hidden)
    return tuple(case for group in groups for case in group())


def integral_named(name: str) -> IntegralCase:
    """The case of this name, from either list.

    Parameters
    ----------
    name : str

    Returns
    -------
    IntegralCase

    Raises
    ------
    KeyError : no case has this name
    """
    for case in (*integral_catalogue(), *failing_integrals()):
        if case.name == name:
            return case
    raise KeyError(f"No integral is called {name!r}. See integral_catalogue() and failing_integrals().")
