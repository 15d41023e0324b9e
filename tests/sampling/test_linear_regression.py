"""The example of linear regression: its data are those published, and both backends find the exact posterior."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from sampling_backends import needs_tensorflow

pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")

from implicitops.sampling import logp_function, sample

pytestmark = pytest.mark.usefixtures("uncompiled")


@pytest.fixture(scope="module")
def example():
    return import_module("linear_regression_two_backends")


def check(example, found):
    mean, _ = example.exact_posterior(example.data())
    row = example.row(found)
    assert (abs(row.mean - mean) < 4 * row.error).all()


def test_the_exact_means_are_those_published(example):
    mean, covariance = example.exact_posterior(example.data())
    # 5000 correlated draws of Metropolis are worth some hundred: a Monte Carlo error of about sd / 10.
    for published in example.PUBLISHED.values():
        assert (abs(mean - published) < 4 * np.sqrt(np.diag(covariance)) / 10).all()


def test_log_density_is_that_of_the_exact_posterior(example):
    mean, covariance = example.exact_posterior(example.data())
    function = logp_function(example.model(example.data()), "theano")
    assert function.variables == ("alpha", "beta")
    at = mean + np.array([0.1, -0.2, 0.3])
    np.testing.assert_allclose(function(mean)[1], 0, atol=1e-10)
    np.testing.assert_allclose(function(at)[1], -np.linalg.solve(covariance, at - mean), rtol=1e-10)


@needs_tensorflow
@pytest.mark.parametrize("step", ["metropolis", "nuts"])
def test_tensorflow_finds_the_exact_means(example, step):
    model = example.model(example.data())
    check(example, sample(5000, 1000, 4, step, "tensorflow", model, random_seed=123, progressbar=False))


@pytest.mark.slow
def test_theano_finds_the_exact_means_with_nuts(example):
    model = example.model(example.data())
    check(example, sample(300, 300, 2, "nuts", "theano", model, random_seed=123, progressbar=False, cores=1))


@pytest.mark.slow
def test_theano_finds_the_exact_means_with_metropolis(example):
    model = example.model(example.data())
    check(example, sample(5000, 1000, 4, "metropolis", "theano", model, random_seed=123, progressbar=False, cores=2))


@needs_tensorflow
@pytest.mark.slow
def test_table_and_figure_show_every_run(example, monkeypatch, tmp_path):
    monkeypatch.setattr(import_module("_command_line"), "OUTPUT", tmp_path)
    model = example.model(example.data())
    rows = {}
    for step in ("metropolis", "nuts"):
        rows[step, "tensorflow"] = example.row(
            sample(100, 100, 2, step, "tensorflow", model, random_seed=1, progressbar=False)
        )
    table = example.table(rows)
    assert "metropolis, tensorflow" in table
    assert "nuts, tensorflow" in table
    example.draw(rows)
    assert (tmp_path / "linear_regression_two_backends.png").stat().st_size > 10_000
