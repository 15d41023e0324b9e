"""Chains of TensorFlow in step or on threads: the same posterior, and draws that depend on the seed alone."""

from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.stats
from sampling_backends import needs_tensorflow

import implicitops as iop
from implicitops.sampling import sample

pm = pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")
theano = pytest.importorskip("theano")
import arviz as az  # noqa: E402

pytestmark = [needs_tensorflow, pytest.mark.usefixtures("uncompiled")]

METHODS = ["parallel", "vectorized"]
OPTIONS = {"backend": "tensorflow", "progressbar": False, "random_seed": 3}
COUNTS = np.array([3, 5, 4])


def poisson_model():
    """The posterior of the rate is Gamma(2 + 12, 1 + 3)."""
    with pm.Model() as model:
        rate = pm.Gamma("rate", 2.0, 1.0)
        pm.Poisson("count", rate, observed=COUNTS)
    return model


EXACT = scipy.stats.gamma(2 + COUNTS.sum(), scale=1 / (1 + len(COUNTS)))


def test_few_chains_are_apart_where_there_are_threads():
    from implicitops.sampling.chain_groups import group_sizes

    assert group_sizes(4, 2, None) == [1, 1, 1, 1]
    assert group_sizes(9, 2, None) == [9]
    assert group_sizes(4, 1, None) == [4]
    assert group_sizes(4, 1, "parallel") == [1, 1, 1, 1]
    assert group_sizes(4, 4, "vectorized") == [4]


@pytest.mark.parametrize("chain_method", METHODS)
@pytest.mark.parametrize(("step", "draws"), [("nuts", 2000), ("hmc", 2000), ("metropolis", 6000)])
def test_posterior_is_exact_however_the_chains_run(chain_method, step, draws):
    found = sample(draws, 600, step=step, model=poisson_model(), chain_method=chain_method, cores=2, **OPTIONS)
    rate = found.posterior["rate"].values
    assert rate.shape == (4, draws)
    assert abs(rate.mean() - EXACT.mean()) < 4.5 * az.mcse(rate, method="mean")
    squares = (rate - EXACT.mean()) ** 2
    assert abs(squares.mean() - EXACT.var()) < 4.5 * az.mcse(squares, method="mean")
    assert len(np.unique(rate[:, -1])) == 4


def test_draws_of_parallel_chains_do_not_depend_on_the_number_of_threads(monkeypatch):
    from implicitops.sampling import chain_groups

    found = [sample(150, 150, model=poisson_model(), chain_method="parallel", cores=n, **OPTIONS) for n in (1, 3)]
    monkeypatch.setattr(chain_groups, "SECONDS_PER_CALL", 1e-9)  # one step in each call
    found.append(sample(150, 150, model=poisson_model(), chain_method="parallel", cores=2, **OPTIONS))
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].posterior["rate"].values, other.posterior["rate"].values)


def test_parallel_chains_have_step_sizes_of_their_own_and_one_mass_matrix():
    apart, together = (sample(100, 300, model=poisson_model(), chain_method=m, **OPTIONS) for m in METHODS)
    assert len(set(apart.posterior.attrs["step_size"])) > 1
    assert len(set(together.posterior.attrs["step_size"])) == 1
    for found, chain_method in zip((apart, together), METHODS):
        assert found.posterior.attrs["chain_method"] == chain_method
        used = found.sample_stats["step_size"].values
        assert (used == used[:, :1]).all()
        assert len(found.posterior.attrs["step_size"]) == 4
        assert len(found.posterior.attrs["inverse_mass_matrix_diagonal"]) == 1


def test_interrupted_parallel_chains_return_as_many_draws_each(interrupt_after):
    interrupt_after(4 * 10_000)
    found = sample(20_000, 500, model=poisson_model(), chain_method="parallel", cores=2, **OPTIONS)
    assert found.posterior.attrs["was_interrupted"]
    assert found.posterior["rate"].shape[0] == 4
    assert 0 < found.posterior.sizes["draw"] < 20_000
    assert np.isfinite(found.posterior["rate"].values).all()


def test_error_in_one_chain_ends_all():
    from implicitops.sampling.chain_groups import ChainGroup, advance_all
    from implicitops.sampling.hamiltonian import Adaptation, HamiltonianState

    class Failing:
        calls = 0

        def advance(self, state, n, seed, first, shared):
            self.calls += 1
            if seed[1] == 2:
                raise ValueError("no luck")
            return np.zeros((n, 1, 1)), {}, state

    from concurrent.futures import ThreadPoolExecutor

    groups = [ChainGroup(HamiltonianState(np.zeros((1, 1)), Adaptation(1.0)), (1, k)) for k in range(4)]
    with ThreadPoolExecutor(2) as pool, pytest.raises(ValueError, match="no luck"):
        advance_all(
            groups, Failing(), 1000, [[] for _ in groups], capacity=10, shared=[], pool=pool, note=lambda *_: None
        )


@pytest.mark.parametrize("is_scanned", [False, True])
def test_existing_code_is_called_by_one_thread_at_a_time_unless_asked_for(is_scanned):
    running, most = [0], [0]

    def count(a):
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(1e-4)  # other threads may go on
        running[0] -= 1
        return a

    same = iop.External(count, inputs={"a": ()}, outputs=(), jacobian=lambda a: [np.ones(())])
    with pm.Model() as model:
        m = pm.Normal("m", 0, 1)
        y = theano.scan(lambda before: same(before), outputs_info=m, n_steps=2)[0][-1] if is_scanned else same(m)
        pm.Potential("p", -(y**2))
    found = sample(3, 3, model=model, cores=2, **OPTIONS)
    assert found.posterior.attrs["chain_method"] == "vectorized"
    assert most == [1]
    found = sample(3, 3, model=model, cores=2, chain_method="parallel", **OPTIONS)
    assert found.posterior.attrs["chain_method"] == "parallel"


def test_threads_for_batches_are_what_the_chains_leave(monkeypatch):
    from implicitops.sampling.chain_groups import ChainGroup

    seen, advance = set(), ChainGroup.advance

    def noted(self, *args):
        seen.add(iop.get_num_threads())
        return advance(self, *args)

    monkeypatch.setattr(ChainGroup, "advance", noted)
    try:
        iop.set_num_threads(6)
        sample(5, 5, 2, model=poisson_model(), chain_method="parallel", cores=2, **OPTIONS)
        assert seen == {3}
        assert iop.get_num_threads() == 6
    finally:
        iop.set_num_threads(None)
