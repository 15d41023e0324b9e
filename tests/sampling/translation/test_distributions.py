"""Every distribution and transform of PyMC3: log-density and gradient are those of Theano, at several points."""

import inspect

import distribution_cases
import numpy as np
import pymc3 as pm
import pytest
import scipy.stats
import tensorflow as tf
import theano
import theano.tensor as tt
from pymc3.distributions import multivariate, timeseries, transforms
from theano.compile.mode import Mode

from implicitops.sampling.translation import translate

#: Built with Scan or with graphs so large that Theano alone needs seconds.
SLOW = {"GARCH11", "WishartBartlett"}
N_POINTS = 5


def parametrized(names):
    return [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in names]


def floating(model):
    return [v for v in model.vars if v.dtype.startswith("float")]


def value_and_gradient(model):
    """TensorFlow function of values of ``model.vars``, and the same by Theano, each returning a list."""
    translated = translate(model.vars, [model.logpt])
    wanted = [k for k, v in enumerate(model.vars) if v in floating(model)]

    def by_tensorflow(*tensors):
        sources = [tensors[k] for k in wanted]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            value = translated(*tensors)[0]
        return [value, *tape.gradient(value, sources, unconnected_gradients="zero")]

    gradients = theano.grad(model.logpt, floating(model), disconnected_inputs="ignore") if wanted else []
    by_theano = theano.function(
        model.vars, [model.logpt, *gradients], mode=Mode(linker="py", optimizer=None), on_unused_input="ignore"
    )
    return by_tensorflow, by_theano


def assert_equal_densities(found, expected, rtol, grad_rtol):
    if not np.isfinite(expected[0]):
        assert not np.isfinite(found[0])
        return
    np.testing.assert_allclose(found[0], expected[0], rtol=rtol, atol=rtol)
    for f, e in zip(found[1:], expected[1:]):
        # Terms of order one cancel where a derivative vanishes.
        np.testing.assert_allclose(tf.convert_to_tensor(f), e, rtol=grad_rtol, atol=1e-13)


@pytest.mark.parametrize("name", parametrized(distribution_cases.CASES))
def test_density_and_gradient_are_those_of_theano(name):
    model = distribution_cases.model_of(name)
    by_tensorflow, by_theano = value_and_gradient(model)
    n_finite = 0
    for point in distribution_cases.points_of(model, N_POINTS):
        expected = by_theano(*point)
        if name == "Multinomial" and not np.isfinite(expected[0]):
            continue  # see test_a_multinomial_is_not_rejected_because_of_rounding
        n_finite += np.isfinite(expected[0])
        assert_equal_densities(by_tensorflow(*map(tf.constant, point)), expected, 1e-10, 1e-8)
    assert n_finite >= (1 if name == "Wishart" else 2)  # a Wishart at random points is no covariance matrix


@pytest.mark.slow
@pytest.mark.parametrize("name", distribution_cases.CASES)
def test_density_and_gradient_are_mapped_over_chains_under_xla(name):
    model = distribution_cases.model_of(name)
    if not model.vars:
        pytest.skip("nothing to map")
    by_tensorflow, by_theano = value_and_gradient(model)
    points = distribution_cases.points_of(model, 3, scale=0.1)
    batch = [tf.constant(np.stack(values)) for values in zip(*points)]
    mapped = tf.function(
        lambda *b: tf.vectorized_map(lambda t: by_tensorflow(*t), b, fallback_to_while_loop=False),
        jit_compile=True,
        autograph=False,
    )
    for found, point in zip(zip(*mapped(*batch)), points):
        expected = by_theano(*point)
        if name != "Multinomial" or np.isfinite(expected[0]):
            assert_equal_densities(found, expected, 1e-10, 1e-8)


def test_the_sweep_leaves_no_distribution_out():
    modules = (pm.distributions, timeseries, multivariate)
    classes = {n for m in modules for n, c in vars(m).items() if inspect.isclass(c) and hasattr(c, "logp")}
    # Base classes and wrappers; BART and Simulator have no density that is a graph.
    classes -= {
        "Distribution",
        "Continuous",
        "Discrete",
        "NoDistribution",
        "BART",
        "Simulator",
        "TransformedDistribution",
    }
    classes -= {"ConstantDist", "LogNormal", "_LKJCholeskyCov", "_Bound", "_ContinuousBounded", "_DiscreteBounded"}
    classes -= {"_QuadFormBase"}
    assert {c for c in classes if not any(name.startswith(c) for name in distribution_cases.CASES)} == set()


def test_the_sweep_leaves_no_transform_out():
    names = set(transforms.__all__) - {"Transform", "transform", "CholeskyCovPacked", "Chain"}
    assert {n for n in names if f"transform_{n}" not in distribution_cases.CASES} == set()
    # CholeskyCovPacked is LKJCholeskyCov's, and the chain has its own name here.
    assert {"LKJCholeskyCov", "transform_chain"} <= set(distribution_cases.CASES)


# -- where Theano or PyMC3 is wrong -----------------------------------------------------------------------------------


def test_gradient_at_repeated_eigenvalues_is_right_where_that_of_theano_is_not():
    # The second matrix is a multiple of the identity, so that eigenvalues repeat.
    scale, observed = tt.dscalar("scale"), np.arange(6.0)
    rows = np.array([[2.0, 0.3, 0.1], [0.3, 1.5, 0.2], [0.1, 0.2, 1.1]])
    distribution = pm.KroneckerNormal.dist(mu=np.zeros(6), covs=[rows, scale * np.eye(2)], sigma=0.4, shape=6)
    density = distribution.logp(observed)

    def exact(s):
        covariance = np.kron(rows, s * np.eye(2)) + 0.16 * np.eye(6)
        return scipy.stats.multivariate_normal(np.zeros(6), covariance).logpdf(observed)

    step = 1e-5  # error of the difference: 1e-10 of truncation and of rounding each
    difference = (exact(1.3 + step) - exact(1.3 - step)) / (2 * step)
    point = tf.constant(1.3, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(point)
        value = translate([scale], [density])(point)[0]
    np.testing.assert_allclose(value, exact(1.3), rtol=1e-12)
    np.testing.assert_allclose(tape.gradient(value, point), difference, rtol=1e-8)
    by_theano = theano.function([scale], theano.grad(density, scale), mode=Mode(linker="py", optimizer=None))(1.3)
    assert not abs(by_theano - difference) < 1e-3 * abs(difference)  # NaN here, finite and wrong where rounding helps


def test_a_multinomial_is_not_rejected_because_of_rounding():
    logits = tt.dvector("logits")
    p = tt.exp(logits) / tt.exp(logits).sum()
    counts = np.array([0, 3, 1, 2])
    density = pm.Multinomial.dist(6, p, shape=4).logp(counts).sum()
    translated = translate([logits], [density])
    rng = np.random.default_rng(1)
    by_theano = theano.function([logits], density, mode=Mode(linker="py", optimizer=None))
    rejected = 0
    for _ in range(20):
        point = rng.normal(size=4)
        exact = scipy.stats.multinomial(6, np.exp(point) / np.exp(point).sum()).logpmf(counts)
        # To single precision, in which Theano has the factorials of short integers.
        np.testing.assert_allclose(translated(tf.constant(point))[0], exact, rtol=1e-7)
        rejected += np.isneginf(by_theano(point))
    assert rejected > 0


def test_hypergeometric_is_right_where_its_parameters_are_floats():
    counts = np.array([0, 3, 1, 2])
    exact = scipy.stats.hypergeom(20, 8, 5).logpmf(counts).sum()

    def densities(*parameters):
        density = pm.HyperGeometric.dist(*parameters).logp(counts).sum()
        modes = [Mode(linker="py", optimizer=optimizer) for optimizer in (None, "fast_run")]
        return translate([], [density])()[0].numpy(), *(theano.function([], density, mode=m)() for m in modes)

    np.testing.assert_allclose(densities(20.0, 8.0, 5.0), exact, rtol=1e-13)
    # Of short integers Theano computes log Gamma in single precision, and in two ways.
    ours, unoptimised, optimised = densities(20, 8, 5)
    np.testing.assert_allclose(ours, unoptimised, rtol=1e-13)
    assert abs(unoptimised - exact) > 1e-7 * abs(exact)
    assert abs(optimised - unoptimised) > 1e-7 * abs(exact)
