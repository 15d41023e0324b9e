"""What a failed solve says: the status in the words of its kind, the place, and the solve that failed itself."""

import re
import warnings

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.backends import failures
from implicitops.backends.numpy import evaluate
from implicitops.calculus.sensitivities import Adjoint, Sensitivities
from implicitops.problems.reasons import REASONS, reason

x, y, t, k, p = sp.symbols("x y t k p")
S = iop.Status


def decay(rate=-k * x, **options):
    return iop.ODE({x: rate}, [k], initial={x: 1}, t=t, **options)


def pole():
    return iop.ODE({x: -1, y: sp.atan(k / x)}, [k], initial={x: 1, y: 0})


#: Problem, arguments, options of solve, status, words of the reason, words of the place.
FAILURES = [
    (iop.Root(sp.sqrt(x) - p, x, [p], guess=-1), (0.4,), {}, S.UNDEFINED, "the residual is not a real", ""),
    (iop.Root(sp.atan(x) - p, x, [p], guess=3, max_steps=1), (0.4,), {}, S.MAX_STEPS, "better bracket or guess", ""),
    (iop.Root([sp.sqrt(x) - p], [x], [p], guess=[-1]), (0.4,), {}, S.UNDEFINED, "the residual is not a real", ""),
    (iop.Root((x - p) ** 2, x, [p], guess=1), (0.4,), {"derivatives": 1}, S.SINGULAR, "derivative of the residual", ""),
    (iop.FixedPoint(sp.sqrt(x) - p, x, [p], guess=-1), (0.4,), {}, S.UNDEFINED, r"the update g\(x\)", ""),
    (iop.FixedPoint(sp.cos(p * x), x, [p], guess=9, max_steps=1), (0.9,), {}, S.MAX_STEPS, "a better guess", ""),
    (iop.Minimum(sp.sqrt(x) - p, x, [p], guess=-1), (0.4,), {}, S.UNDEFINED, "the objective, or a derivative", ""),
    (iop.Minimum((x - p) ** 4, x, [p], guess=9, max_steps=1), (0.4,), {}, S.MAX_STEPS, "a better guess", ""),
    (
        decay(sp.sqrt(3 - t) - k * x),
        (0.5,),
        {"times": [4.0]},
        S.UNDEFINED,
        "the right-hand side, an initial value",
        r"in the rhs of x, -k\*x \+ sqrt\(3 - t\), after t = 3 with x = 1\.74",
    ),
    (
        decay(sp.Piecewise((k, t < 2))),
        (0.5,),
        {"times": [4.0]},
        S.UNDEFINED,
        "the pieces of a Piecewise",
        r"in the rhs of x, .* after t = 2 with x = 2",
    ),
    (
        iop.ODE({x: -1, y: sp.log(x)}, [k], initial={x: 1, y: 0}),
        (0.5,),
        {"times": [4.0]},
        S.UNDEFINED,
        "",
        r"in the rhs of y, log\(x\), after t = 1",
    ),
    (decay(sp.sin(k * t), max_steps=3), (1e3,), {"times": [1.0]}, S.MAX_STEPS, "last output time", "after t = 0.00"),
    (decay(max_steps=20, method="tsit5"), (1e9,), {"times": [1.0]}, S.MAX_STEPS, "last output time", "after t = "),
    (decay(k * x**2), (1.0,), {"times": [2.0]}, S.BLOW_UP, "grows beyond", r"happened to x after t = 1 with x = "),
    (
        decay(sp.sqrt(x - 1)),
        (1.0,),
        {"times": [2.0]},
        S.NOT_LIPSCHITZ,
        "is infinite",
        r"in the rhs of x, sqrt\(x - 1\)",
    ),
    (decay(t0=k), (2.0,), {"times": [1.0]}, S.BEFORE_START, "before t0", "Here t0 is 2; an output time is 1"),
    (
        decay(events=[(k - 3, {x: 2})]),
        (2.0,),
        {"times": [1.0]},
        S.BEFORE_START,
        "before t0",
        "Here t0 is 0; the event at k - 3 is at -1",
    ),
    (decay(), (np.nan,), {"times": [1.0]}, S.INVALID_INPUT, "a parameter or an output time is NaN", ""),
    (
        pole(),
        (0.5,),
        {"times": [4.0], "derivatives": 1},
        S.DISCONTINUITY,
        "jumps or is infinite although no condition",
        "after t = 1, where x changes its sign",
    ),
    (
        iop.Integral(sp.sqrt(p - x), (x, 0, 1), [p]),
        (0.4,),
        {},
        S.UNDEFINED,
        "the integrand, or a derivative",
        r"It happened at x = 0\.[4-9]",
    ),
    (
        iop.Integral(sp.sqrt(p - x), (x, 0, 1), [p], method="double_exponential"),
        (0.4,),
        {},
        S.UNDEFINED,
        "the integrand, or a derivative",
        r"at x = (0\.[4-9]|1)",
    ),
    (iop.Integral(1 / (x - p), (x, 0, 1), [p]), (0.4,), {}, S.DIVERGENT, "no finite value", r"at x = 0\.4 "),
    (iop.Integral(y / x, [(y, 0, 1), (x, 0, p)], [p]), (1.0,), {}, S.DIVERGENT, "no finite value", "at x = 0 "),
    (iop.Integral(sp.exp(-p * x), (x, 0, 1), [p]), (np.nan,), {}, S.INVALID_INPUT, "a parameter is NaN", ""),
]
IDS = [f"{type(case[0]).__name__}-{case[3].name}-{k}" for k, case in enumerate(FAILURES)]


@pytest.mark.parametrize(("problem", "values", "options", "status", "words", "where"), FAILURES, ids=IDS)
def test_an_error_speaks_of_its_kind_of_problem_and_says_where(problem, values, options, status, words, where):
    with pytest.raises(iop.SolveError, match=f"{words}.*{where}.*Status.{status.name}") as caught:
        problem.solve(*values, **options)
    assert caught.value.solution.status is status
    assert not {"failed_at", "failed_in"} & set(caught.value.solution.stats)


@pytest.mark.parametrize(("kind", "status"), [(kind, s) for kind, texts in REASONS.items() for s in texts])
def test_a_reason_of_one_kind_speaks_of_no_other(kind, status):
    foreign = {
        "Root": "ODE|integrand|objective|Hessian",
        "FixedPoint": "ODE|integrand|objective|residual|bracket",
        "Minimum": "ODE|integrand|residual|bracket",
        "ODE": "residual|objective|guess|bracket|integrand",
        "Integral": "residual|objective|guess|bracket|ODE|output time",
        "External": "residual|objective|guess|bracket|ODE|integrand",
    }[kind]
    text = REASONS[kind][status]
    assert not any(word in text for word in foreign.split("|"))
    assert not text.endswith(".")


def test_a_batch_names_the_element_its_parameters_and_the_place():
    with pytest.raises(iop.SolveError, match=r"2 of 3 batch elements, first at index \(1,\), k=2, .* after t = 0\.5"):
        decay(k * x**2)([0.5, 2.0, 3.0], times=[1.0])


def test_a_status_that_means_the_same_for_all_keeps_its_text():
    assert reason(decay(), S.BLOW_UP) == S.BLOW_UP.value


class TestInGraphs:
    def warned(self, operation, arguments):
        failures.reset_failures()
        outputs = evaluate(operation, arguments)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            failures.record_nans(operation, arguments, outputs)
        (warning,) = found
        return str(warning.message)

    def test_the_reason_is_that_of_the_solve_that_failed(self):
        # The value alone converges at these parameters.
        times, parameter = np.array([4.0]), np.array(0.5)
        for operation, more in ((Sensitivities(pole(), 1), ()), (Adjoint(pole()), (np.ones((1, 2)),))):
            text = self.warned(operation, [parameter, times, *more])
            assert re.search("failed at k=0.5.*where x changes its sign.*Status.DISCONTINUITY", text)
            assert "converged" not in text

    def test_every_element_has_its_own_reason(self):
        operation = Sensitivities(decay(k * x**2), 1)
        arguments = [np.array([0.5, 2.0, np.nan]), np.array([1.0])]
        self.warned(operation, arguments)
        (found,) = failures.failures().values()
        assert [failure.status for failure in found.first] == [S.BLOW_UP, S.INVALID_INPUT]
        assert "happened to x after t = 0.5" in str(found.first[0])
