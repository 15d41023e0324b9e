"""Promises of the ODE solver on problems from the literature: as accurate as asked, by the right method."""

import numpy as np
import pytest
import sympy as sp
from catalogue.ode_problems import case_named, ode_catalogue

import implicitops as iop
from implicitops.problems.ode import METHODS

CATALOGUE = ode_catalogue()
IMPLICIT = ("rodas5p", "auto")
EXPLICIT = tuple(method for method in METHODS if method not in IMPLICIT)
RTOL = (1e-3, 1e-5, 1e-7, 1e-9, 1e-11)

#: Errors of values and sensitivities in units of the tolerances at the end of the integration.
LIMITS = (3, 30)
AMPLIFIED = {
    "Arenstorf": (2e3, 1e4),  # a close pass of the moon
    "Pleiades": (200, 5e4),  # quasi-collisions
    "Van der Pol 1000": (3, 1e7),  # off the slow curve by e, a solution is late by 1000 e and jumps at another time
    "Prothero-Robinson": (200, 500),  # order reduction
}


def methods_of(case):
    explicit = () if "stiff" in case.tags else EXPLICIT
    return (*explicit[: 1 if case.name == "Pleiades" else 2], *IMPLICIT)


def ladder_of(case):
    if case.name == "Pleiades":
        return RTOL[1:4:2]  # 308 sensitivities
    return RTOL[:-1] if "multiscale" in case.tags or case.name == "Van der Pol 1000" else RTOL


def tolerances(case, rtol):
    # The smallest states of multiscale problems are far below 1.
    return {"rtol": rtol, "atol": rtol * (1e-6 if "multiscale" in case.tags else 1)}


def units_of(case):
    return np.array([1 / abs(p) if p else 1.0 for p in case.flat_point])


def errors(case, solution, rtol, atol):
    """Largest errors, relative to rtol times the largest value of a component plus atol in units of its parameter."""
    reference, sensitivity_atol = case.reference(), atol * units_of(case)
    pairs = ((solution.value, reference.values, atol), (solution.jacobian, reference.sensitivities, sensitivity_atol))
    return [(np.abs(found - right) / (rtol * np.abs(right).max(axis=0) + a)).max() for found, right, a in pairs]


class TestCatalogue:
    @pytest.mark.parametrize(
        ("case", "method"), [(case, method) for case in CATALOGUE for method in methods_of(case)], ids=str
    )
    def test_errors_of_values_and_sensitivities_are_proportional_to_the_tolerance(self, case, method):
        limits, found = AMPLIFIED.get(case.name, LIMITS), []
        for rtol in ladder_of(case):
            options = tolerances(case, rtol)
            solution = case.problem(method=method, **options).solve(*case.point, times=case.times, derivatives=1)
            found.append(np.array(errors(case, solution, **options)))
            assert (found[-1] < limits).all(), f"{found[-1]} at rtol={rtol}"
        # One rung may be better than the next by luck, but not than the next but one.
        for coarse, fine in zip(found, found[2:]):
            assert ((fine * 1e-4 <= coarse) | (fine < 0.1)).all()

    @pytest.mark.parametrize("name", ["Lotka-Volterra", "Van der Pol 1", "Brusselator 10"])
    def test_the_value_alone_is_as_accurate(self, name):
        case = case_named(name)
        for rtol in RTOL[1::2]:
            value = case.problem(rtol=rtol, atol=rtol)(*case.point, times=case.times)
            right = case.reference().values
            assert (np.abs(value - right) / np.abs(right).max(axis=0)).max() < 30 * rtol


class TestSecondOrder:
    """Hessians against fourth-order differences of Jacobians."""

    CASES = (
        ("Lotka-Volterra", "dop853"),
        ("Lotka-Volterra", "rodas5p"),
        ("Van der Pol 1", "tsit5"),
        ("Van der Pol 1", "rodas5p"),
        ("Robertson", "rodas5p"),
        ("Robertson", "auto"),
        ("Oregonator", "rodas5p"),
        ("Prothero-Robinson", "rodas5p"),
        ("forced oscillator", "auto"),
    )

    @pytest.mark.parametrize(("name", "method"), CASES, ids=str)
    def test_hessians_agree_with_differences_of_jacobians(self, name, method):
        case = case_named(name)
        small = 1e-4 if "multiscale" in case.tags else 1
        problem = case.problem(method=method, rtol=1e-10, atol=1e-10 * small)
        times, units = case.times[:2], units_of(case)
        hessian = problem.solve(*case.point, times=times, derivatives=2).hessian
        for column, value in enumerate(case.flat_point):
            step = 1e-3 * (abs(value) or 1)
            point = [np.full(4, p) for p in case.flat_point]
            point[column] = value + step * np.array([-2, -1, 1, 2])
            jacobian = problem.solve(*point, times=times, derivatives=1).jacobian
            weights = np.array([1, -8, 8, -1]) / (12 * step)
            difference = np.tensordot(weights, jacobian, 1)
            # Jacobians are right to 30 rtol of y/p, which the differences divide by the step: 30 * 1.5 * 1e-10 / 1e-3.
            scale = np.abs(hessian[..., column]).max(axis=0) + 0.1 * small * units * units[column]
            assert (np.abs(hessian[..., column] - difference) / scale).max() < 5e-5

    @pytest.mark.parametrize("name", ["Lotka-Volterra", "Van der Pol 1", "Arenstorf"])
    def test_methods_that_share_nothing_agree_on_the_hessian(self, name):
        case = case_named(name)
        found = [
            case.problem(method=method, rtol=1e-11, atol=1e-12).solve(*case.point, times=case.times[:2], derivatives=2)
            for method in METHODS
            if method != "auto"
        ]
        for solution in found:
            np.testing.assert_array_equal(solution.hessian, np.swapaxes(solution.hessian, -1, -2))
        scale = np.abs(found[0].hessian).max(axis=(0, 1))
        for solution in found[1:]:
            assert (np.abs(solution.hessian - found[0].hessian) / scale).max() < 1e-6


class TestChoiceOfMethod:
    @pytest.mark.parametrize("method", ["tsit5", "dop853"])
    @pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-8])
    def test_only_a_stiff_problem_is_called_stiff(self, method, rtol):
        for case in ode_catalogue():
            problem = case.problem(method=method, rtol=rtol, atol=1e-2 * rtol, max_steps=1000)
            status = problem.solve(*case.point, throw=False).status
            assert status is not iop.Status.STIFF or "stiff" in case.tags
        for name in ("Van der Pol 1000", "Robertson", "pollution", "Prothero-Robinson"):
            case = case_named(name)
            problem = case.problem(method=method, rtol=rtol, atol=1e-2 * rtol, max_steps=1000)
            assert problem.solve(*case.point, throw=False).status is iop.Status.STIFF

    @pytest.mark.parametrize("case", [case for case in CATALOGUE if "stiff" in case.tags], ids=str)
    def test_auto_switches_to_rodas5p_on_stiff_problems_and_says_so(self, case):
        stats = case.problem(rtol=1e-6, atol=1e-10).solve(*case.point, times=case.times).stats
        assert stats["switches"] >= 1
        assert stats["stiff_steps"] > 10
        assert stats["factorisations"] >= stats["stiff_steps"]

    @pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-9])
    @pytest.mark.parametrize("case", [case for case in CATALOGUE if "nonstiff" in case.tags], ids=str)
    def test_auto_is_an_explicit_pair_on_problems_that_are_not_stiff(self, case, rtol):
        found = {}
        for method in ("auto", "tsit5" if rtol > 1e-4 else "dop853"):
            found[method] = case.problem(method=method, rtol=rtol, atol=rtol).solve(*case.point, times=case.times)
        automatic, explicit = found.values()
        assert automatic.stats["switches"] == automatic.stats["stiff_steps"] == 0
        np.testing.assert_array_equal(automatic.value, explicit.value)

    def test_auto_goes_back_where_a_problem_is_stiff_no_longer(self):
        y, k, t = sp.symbols("y k t")
        rate = sp.Piecewise((k, t < 1), (1, True))
        problem = iop.ODE({y: -rate * (y - sp.cos(20 * t))}, [k], initial={y: 0}, t=t)
        first, both = (problem.solve(1e5, times=[end]).stats for end in (1.0, 20.0))
        assert first["switches"] == 1
        assert both["switches"] == 2
        assert both["steps"] - both["stiff_steps"] > first["steps"] - first["stiff_steps"]

    def test_auto_solves_in_hundreds_of_steps_what_explicit_methods_cannot(self):
        case = case_named("Robertson")
        options = {"rtol": 1e-6, "atol": 1e-12}
        assert case.problem(**options).solve(*case.point, times=[4e5]).stats["steps"] < 1000
        explicit = case.problem(method="dop853", max_steps=20_000, **options)
        assert explicit.solve(*case.point, times=[4e5], throw=False).status is iop.Status.STIFF

    def test_rodas5p_takes_stiff_steps_only(self):
        case = case_named("Lotka-Volterra")
        stats = case.problem(method="rodas5p").solve(*case.point, times=case.times).stats
        assert stats["stiff_steps"] == stats["steps"] > 0
        assert stats["switches"] == 0
