"""What sample and logp_function say to a request that cannot be met."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sampling_backends import BACKENDS, needs_tensorflow

import implicitops as iop
from implicitops.sampling import BackendError, InitialEnergyError, logp_function, sample
from implicitops.sampling.choice_of_backend import VARIABLE

pm = pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")
pytestmark = pytest.mark.usefixtures("uncompiled")
QUIET = {"draws": 10, "tune": 10, "chains": 1, "progressbar": False, "random_seed": 1}
LONG_SEED = 2**70  # more than the 64 bits of a file's integers


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


def normal():
    with pm.Model() as model:
        pm.Normal("m", 0, 1)
    return model


@pytest.mark.parametrize("step", ["nuts", "hmc"])
def test_discrete_variables_with_a_gradient_based_step_are_named(backend, step):
    with pm.Model() as model:
        pm.Normal("m", 0, 1)
        pm.Poisson("count", 3)
        pm.Bernoulli("flag", 0.5)
    with pytest.raises(iop.ArgumentError, match=r"count, flag are discrete.*metropolis"):
        sample(step=step, backend=backend, model=model, **QUIET)


@needs_tensorflow
def test_discrete_variables_on_tensorflow_with_metropolis_are_an_error_too():
    with pm.Model() as model:
        pm.Poisson("count", 3)
    with pytest.raises(iop.ArgumentError, match=r"count are discrete.*backend='theano'"):
        sample(step="metropolis", backend="tensorflow", model=model, **QUIET)


@pytest.mark.parametrize(
    "seed", [1.5, "x", -1, True, [], [1, -1], [1, 0.5], [[1], [2, 3]], np.float64(3), np.zeros((2, 2), int)], ids=repr
)
def test_a_seed_that_is_no_seed_is_named_before_sampling(backend, seed):
    with pytest.raises(iop.ArgumentError, match="random_seed must be a whole number"):
        sample(backend=backend, model=normal(), **{**QUIET, "random_seed": seed})


@pytest.mark.parametrize("seed", [np.int64(4), np.array([4, 5]), (np.uint32(4), 5), None, LONG_SEED], ids=repr)
def test_a_seed_of_numpy_gives_draws_that_can_be_saved(backend, seed, tmp_path):
    found = sample(backend=backend, model=normal(), **{**QUIET, "random_seed": seed})
    found.to_netcdf(str(tmp_path / "draws.nc"))
    expected = "none" if seed is None else str(seed) if seed is LONG_SEED else np.asarray(seed).tolist()
    assert np.array_equal(found.posterior.attrs["random_seed"], expected)


def test_a_model_without_free_variables_has_nothing_to_sample(backend):
    with pm.Model() as model:
        pm.Normal("y", 0, 1, observed=0.3)
    with pytest.raises(iop.ArgumentError, match=r"no free variable.*sample_prior_predictive"):
        sample(backend=backend, model=model, **QUIET)


def test_start_without_finite_density_names_the_variable(backend):
    with pm.Model() as model:
        m = pm.Normal("m", 0, 1)
        pm.Normal("fine", m, 1, observed=0.0)
        pm.Exponential("waiting", 1.0, observed=np.array([1.0, -1.0]))
    with pytest.raises(InitialEnergyError, match=r"Not finite: the term of waiting \(-inf\)\. At m="):
        sample(backend=backend, model=model, **QUIET)


def test_misspelt_backend_is_an_error_that_names_the_choices(monkeypatch):
    monkeypatch.setenv(VARIABLE, "tensorflo")
    with pytest.raises(iop.ArgumentError, match=f"{VARIABLE} must be 'theano' or 'tensorflow'; got 'tensorflo'"):
        sample(model=normal(), **QUIET)
    with pytest.raises(iop.ArgumentError, match="backend must be 'theano' or 'tensorflow'; got 'Theano'"):
        logp_function(normal(), backend="Theano")


def test_tensorflow_that_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_probability", None)
    with pytest.raises(BackendError, match=r"tensorflow_probability cannot be found.*implicitops\[tensorflow\]"):
        sample(model=normal(), backend="tensorflow", **QUIET)


@needs_tensorflow
def test_an_op_without_translation_points_to_theano():
    import theano
    import theano.tensor as tt

    from implicitops.sampling.translation import TranslationError

    @theano.compile.ops.as_op(itypes=[tt.dscalar], otypes=[tt.dscalar])
    def unknown(x):
        return np.asarray(-x * x)

    with pm.Model() as model:
        pm.Potential("p", unknown(pm.Normal("m", 0, 1)))
    with pytest.raises(TranslationError, match=r"(?s)unknown.*backend='theano'"):
        sample(model=model, backend="tensorflow", step="metropolis", **QUIET)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 0}, "draws must be a whole number, at least 1; got 0"),
        ({"chains": 1.5}, "chains must be a whole number"),
        ({"step": "nust"}, "step must be one of 'nuts', 'hmc', 'metropolis'; got 'nust'"),
        ({"target_accept": 1.0}, "target_accept must lie between 0 and 1"),
        ({"path_length": 0.0}, "path_length must be positive"),
        ({"cores": 0}, "cores must be a whole number, at least 1, or None; got 0"),
        ({"chain_method": "vectorised"}, r"chain_method must be one of .*got 'vectorised'\. Did you mean 'vectorized'"),
        ({"initvals": {"n": 0.0}}, "'n' is no free variable"),
    ],
)
def test_options_out_of_range_are_errors(options, message):
    with pytest.raises(iop.ArgumentError, match=message):
        sample(model=normal(), **{**QUIET, **options})


def test_unknown_options_and_a_missing_model_are_errors():
    with pytest.raises(TypeError, match="target_acept"):
        sample(model=normal(), target_acept=0.9, **QUIET)
    with pytest.raises(iop.ArgumentError, match="expected a PyMC3 model: got None"):
        sample(**QUIET)


def test_implicitops_and_its_sampling_import_no_framework():
    code = "import sys, implicitops, implicitops.sampling; print({'theano', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
