"""Failures inside a sampler are counted in all its processes, and summed up in one warning."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import sympy as sp
from sampling_backends import needs_tensorflow

import implicitops as iop
from implicitops.backends import failure_journal
from implicitops.backends.failures import failures, record
from implicitops.sampling import failure_report, sample

pm = pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")
import arviz as az  # noqa: E402
import theano.tensor as tt  # noqa: E402

QUIET = {"progressbar": False, "return_inferencedata": False, "compute_convergence_checks": False}
pytestmark = pytest.mark.usefixtures("uncompiled")

x, p = sp.symbols("x p")
# x = p, but above 1.5 no sign change is found: the posterior of a normal around 1.95 is cut off there.
up_to_three_halves = iop.Root(x - p, x, [p], bracket=(-20, sp.Rational(3, 2)))


def truncated_model():
    with pm.Model() as model:
        q = pm.Normal("q", 0, 3)
        pm.Normal("y", up_to_three_halves(q), 0.5, observed=1.95)
    return model


def moments():
    """Mean and standard deviation of what is left of the posterior, and the mean of all of it, by quadrature."""

    def density(q):
        return scipy.stats.norm.pdf(q, 0, 3) * scipy.stats.norm.pdf(1.95, q, 0.5)

    def mean(power, end):
        total = scipy.integrate.quad(density, -5, end)[0]
        return scipy.integrate.quad(lambda q: q**power * density(q), -5, end)[0] / total

    return mean(1, 1.5), np.sqrt(mean(2, 1.5) - mean(1, 1.5) ** 2), mean(1, 8)


def sampled(**options):
    """Draws, and the SolveWarnings that were given."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = sample(model=truncated_model(), random_seed=3, progressbar=False, **options)
    return found, [w for w in caught if w.category is iop.SolveWarning]


def check(found, caught):
    assert len(caught) == 1
    message = str(caught[0].message)
    failed = failures()[up_to_three_halves]
    assert f"{failed.count} solves failed while the sampler ran" in message
    assert failed.count == found.posterior.attrs["failed_solves"]
    assert failed.by_stage["tuning"] > 10
    assert failed.by_stage["draws"] > 10
    assert sum(failed.by_stage.values()) == failed.count
    assert f"({failed.by_stage['tuning']} in tuning, {failed.by_stage['draws']} in the draws)" in message
    assert "at p=" in message
    assert "no sign change" in message
    assert "the posterior is cut off" in message
    assert __file__ in caught[0].filename


@pytest.mark.parametrize("cores", [1, 2])
def test_one_warning_counts_the_failures_of_all_processes(cores):
    found, caught = sampled(backend="theano", step="metropolis", draws=300, tune=300, chains=2, cores=cores)
    check(found, caught)
    assert (found.posterior["q"].values <= 1.5).all()


@needs_tensorflow
def test_one_warning_counts_the_failures_in_compiled_chains_and_the_rest_of_the_posterior_is_right():
    found, caught = sampled(backend="tensorflow", draws=2000, tune=500, chains=4)
    check(found, caught)
    draws = found.posterior["q"].values
    mean, sd, whole = moments()
    assert abs(draws.mean() - mean) < 5 * az.mcse(draws, method="mean")
    assert abs(draws.std() - sd) < 5 * az.mcse(draws, method="sd")
    assert whole - draws.mean() > 0.5  # this is what the warning is about


def test_first_parameters_are_those_that_failed():
    with failure_report(warn=False) as report:
        up_to_three_halves(tt.as_tensor_variable([1.0, 2.0, 1.2, 3.0])).eval()
    (found,) = report.failures.values()
    assert [failure.parameters["p"] for failure in found.first] == [2.0, 3.0]
    assert (report.count, report.count_in("draws")) == (2, 0)


def test_plain_pm_sample_is_summed_up_too():
    model = truncated_model()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with model, failure_report() as report:
            pm.sample(200, tune=200, chains=2, cores=2, step=pm.Metropolis(), random_seed=[1, 2], **QUIET)
    messages = [str(w.message) for w in caught if w.category is iop.SolveWarning]
    assert messages == [str(report)]
    assert report.count == failures()[up_to_three_halves].count > 20


def test_nothing_is_said_where_nothing_failed_and_nothing_is_left_behind():
    before = dict(os.environ)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with failure_report() as report:
            assert failure_journal.is_open()
            assert up_to_three_halves(tt.as_tensor_variable(0.25)).eval() == 0.25
    assert str(report) == "no solve failed"
    assert dict(os.environ) == before


def test_a_report_counts_only_what_failed_in_it_and_nests():
    value = tt.as_tensor_variable(2.0)
    with failure_report(warn=False) as outer:
        up_to_three_halves(value).eval()
        with failure_report(warn=False) as inner:
            up_to_three_halves(value + 1).eval()
        up_to_three_halves(value + 2).eval()
    assert (inner.count, outer.count) == (1, 3)
    assert failures()[up_to_three_halves].count == 3


def test_existing_code_without_a_pickle_is_reported_by_its_text():
    problem = iop.External(lambda x: -x, inputs={"x": ()}, outputs=())
    with failure_report(warn=False) as report:
        child = os.fork()
        if not child:
            try:
                record(problem, 2, lambda: [([np.array(np.nan)], iop.Status.INVALID_INPUT)])
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    assert report.failures[repr(problem)].count == 2
    assert "External" in str(report)
    assert problem not in failures()
