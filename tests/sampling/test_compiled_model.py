"""What is compiled of a model is kept with it, and used only as long as it is right."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from sampling_backends import needs_tensorflow

from implicitops.sampling import sample
from implicitops.sampling.free_variables import free_variables_of

pm = pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")
import arviz as az  # noqa: E402

pytestmark = [needs_tensorflow, pytest.mark.usefixtures("uncompiled")]

OPTIONS = {"backend": "tensorflow", "progressbar": False, "random_seed": 3, "chains": 2}


def model_of_data(y):
    with pm.Model() as model:
        m = pm.Normal("m", 0, 10)
        pm.Deterministic("twice", 2 * m)
        pm.Normal("y", m, 1, observed=pm.Data("data", np.asarray(y)))
    return model


def compiled(model):
    from implicitops.sampling.compiled_model import compiled_model

    return compiled_model(model, free_variables_of(model))


def tracings(model):
    """How often each sampler was traced."""
    return [chains._compiled.n_tracings for chains in compiled(model)._samplers.values()]


def test_second_call_compiles_nothing():
    model = model_of_data([1.0, 2.0])
    first = sample(20, 30, model=model, **OPTIONS)
    kept = compiled(model)
    again = sample(20, 30, model=model, **OPTIONS)
    longer = sample(70, 10, model=model, **{**OPTIONS, "random_seed": 4})
    assert compiled(model) is kept
    assert tracings(model) == [1]
    np.testing.assert_array_equal(first.posterior["m"].values, again.posterior["m"].values)
    np.testing.assert_allclose(longer.posterior["twice"].values, 2 * longer.posterior["m"].values, rtol=1e-14)


def test_options_that_are_compiled_in_are_told_apart():
    model = model_of_data([1.0, 2.0])
    for options in ({}, {"target_accept": 0.9}, {"max_treedepth": 4}, {"step": "metropolis"}, {}):
        sample(5, 5, model=model, **options, **OPTIONS)
    assert tracings(model) == [1, 1, 1, 1]


@pytest.mark.parametrize(("data", "n_tracings"), [([7.0, 9.0], 1), ([7.0, 8.0, 9.0], 2)])
def test_data_swapped_between_calls_are_seen(data, n_tracings):
    model = model_of_data([1.0, 2.0])
    sample(20, 30, model=model, **OPTIONS)
    with model:
        pm.set_data({"data": np.array(data)})
    found = sample(2000, 500, model=model, **OPTIONS).posterior["m"].values
    precision = len(data) + 1 / 100
    assert abs(found.mean() - np.sum(data) / precision) < 4.5 * az.mcse(found, method="mean")
    assert tracings(model) == [n_tracings]


def test_model_that_got_another_variable_is_compiled_anew():
    model = model_of_data([1.0, 2.0])
    sample(5, 5, model=model, **OPTIONS)
    kept = compiled(model)
    with model:
        pm.Normal("other", model["m"], 1, observed=5.0)
    found = sample(2000, 500, model=model, **OPTIONS).posterior["m"].values
    assert compiled(model) is not kept
    assert abs(found.mean() - 8 / 3.01) < 4.5 * az.mcse(found, method="mean")


def test_copies_and_pickles_of_a_model_go_without():
    model = model_of_data([1.0, 2.0])
    kept = compiled(model)
    for other in (copy.copy(model), pickle.loads(pickle.dumps(model))):
        assert [v.name for v in other.free_RVs] == ["m"]
    assert vars(pickle.loads(pickle.dumps(model)))["_implicitops_compiled"].compiled is None
    assert compiled(model) is kept


def test_model_that_nobody_holds_is_forgotten():
    model = model_of_data([1.0, 2.0])
    sample(5, 5, model=model, **OPTIONS)
    found = weakref.ref(compiled(model))
    del model
    gc.collect()
    assert found() is None
