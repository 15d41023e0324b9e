"""A model for each distribution of PyMC3, whose parameters are free as well."""

import warnings

import numpy as np
import pymc3 as pm
import theano.tensor as tt
from pymc3.distributions import multivariate, timeseries, transforms

NORMAL = np.random.default_rng(20).normal(size=(4, 3))
MATRIX = np.array([[2.0, 0.3, -0.4], [0.3, 1.5, 0.2], [-0.4, 0.2, 1.1]])
CASES = {}


def real(name, **kwargs):
    """Free parameter on the real line."""
    return pm.Flat(name, testval=kwargs.pop("testval", 0.3 * np.ones(kwargs.get("shape", ()))), **kwargs)


def positive(name, start=1.3, **kwargs):
    """Free positive parameter."""
    return pm.HalfFlat(name, testval=start * np.ones(kwargs.get("shape", ())), **kwargs)


def unit(name, start=0.4, **kwargs):
    """Free parameter between 0 and 1."""
    return pm.Uniform(name, 0, 1, testval=start * np.ones(kwargs.get("shape", ())), **kwargs)


def case(function):
    """Register a model by its function's name."""
    CASES[function.__name__] = function
    return function


def simple(name, build):
    """Register a model by name."""
    CASES[name] = build


OF_REALS = {
    "Normal": lambda: pm.Normal("x", real("mu"), positive("sigma"), shape=3),
    "NormalTau": lambda: pm.Normal("x", real("mu"), tau=positive("tau")),
    "TruncatedNormal": lambda: pm.TruncatedNormal("x", real("mu"), positive("sigma"), lower=-1, upper=2, testval=0.5),
    "TruncatedNormalOneSided": lambda: pm.TruncatedNormal("x", real("mu"), positive("sigma"), lower=-1, testval=0.5),
    "HalfNormal": lambda: pm.HalfNormal("x", positive("sigma")),
    "SkewNormal": lambda: pm.SkewNormal("x", real("mu"), positive("sigma"), alpha=real("alpha")),
    "Laplace": lambda: pm.Laplace("x", real("mu"), positive("b"), testval=0.1),
    "AsymmetricLaplace": lambda: pm.AsymmetricLaplace("x", positive("b"), positive("kappa"), real("mu"), testval=1.0),
    "Logistic": lambda: pm.Logistic("x", real("mu"), positive("s")),
    "LogitNormal": lambda: pm.LogitNormal("x", real("mu"), positive("sigma")),
    "StudentT": lambda: pm.StudentT("x", nu=positive("nu"), mu=real("mu"), sigma=positive("sigma")),
    "Cauchy": lambda: pm.Cauchy("x", real("alpha"), positive("beta")),
    "Gumbel": lambda: pm.Gumbel("x", real("mu"), positive("beta")),
    "Moyal": lambda: pm.Moyal("x", real("mu"), positive("sigma")),
    "ExGaussian": lambda: pm.ExGaussian("x", real("mu"), positive("sigma"), positive("nu"), observed=[0.4, 2.0, -1.0]),
    "VonMises": lambda: pm.VonMises("x", real("mu"), positive("kappa"), shape=2),
    "Flat": lambda: pm.Flat("x"),
    "Interpolated": lambda: pm.Interpolated("x", np.linspace(-3, 3, 40), np.exp(-(np.linspace(-3, 3, 40) ** 2))),
}
OF_POSITIVES = {
    "HalfFlat": lambda: pm.HalfFlat("x"),
    "Exponential": lambda: pm.Exponential("x", positive("lam"), shape=2),
    "Gamma": lambda: pm.Gamma("x", positive("alpha"), positive("beta")),
    "GammaMoments": lambda: pm.Gamma("x", mu=positive("mu"), sigma=positive("sigma")),
    "InverseGamma": lambda: pm.InverseGamma("x", positive("alpha", 2.5), positive("beta")),
    "ChiSquared": lambda: pm.ChiSquared("x", positive("nu", 2.5)),
    "Lognormal": lambda: pm.Lognormal("x", real("mu"), positive("sigma")),
    "Wald": lambda: pm.Wald("x", mu=positive("mu"), lam=positive("lam"), alpha=0.1),
    "Weibull": lambda: pm.Weibull("x", positive("alpha"), positive("beta")),
    "HalfCauchy": lambda: pm.HalfCauchy("x", positive("beta")),
    "HalfStudentT": lambda: pm.HalfStudentT("x", nu=positive("nu"), sigma=positive("sigma")),
    "Pareto": lambda: pm.Pareto("x", alpha=positive("alpha"), m=positive("m", 0.7), testval=3.0),
    "Rice": lambda: pm.Rice("x", nu=positive("nu"), sigma=positive("sigma")),
}
OF_UNITS = {
    "Beta": lambda: pm.Beta("x", positive("alpha"), positive("beta"), shape=2),
    "BetaMoments": lambda: pm.Beta("x", mu=unit("mu"), sigma=0.2),
    "Kumaraswamy": lambda: pm.Kumaraswamy("x", positive("a"), positive("b")),
    "Uniform": lambda: pm.Uniform("x", lower=real("low"), upper=2 + positive("high"), testval=1.0),
    "Triangular": lambda: pm.Triangular("x", lower=-1, upper=3, c=unit("c"), testval=0.9),
    "Triangular2": lambda: pm.Triangular("x", lower=real("low", testval=-1.0), upper=3, c=1, testval=0.3),
}
COUNTS = np.array([0, 3, 1, 2])
OF_INTEGERS = {
    "Bernoulli": lambda: pm.Bernoulli("x", unit("p"), observed=[0, 1, 1]),
    "BernoulliLogit": lambda: pm.Bernoulli("x", logit_p=real("l"), observed=[0, 1, 1]),
    "Binomial": lambda: pm.Binomial("x", n=5, p=unit("p"), observed=COUNTS),
    "BetaBinomial": lambda: pm.BetaBinomial("x", positive("a"), positive("b"), n=5, observed=COUNTS),
    "Poisson": lambda: pm.Poisson("x", positive("mu"), observed=COUNTS),
    "FreePoisson": lambda: pm.Poisson("x", positive("mu"), shape=2),
    "NegativeBinomial": lambda: pm.NegativeBinomial("x", positive("mu"), positive("alpha"), observed=COUNTS),
    "NegativeBinomialP": lambda: pm.NegativeBinomial("x", p=unit("p"), n=positive("n"), observed=COUNTS),
    "Geometric": lambda: pm.Geometric("x", unit("p"), observed=COUNTS + 1),
    "HyperGeometric": lambda: pm.HyperGeometric("x", N=20, k=8, n=5, observed=COUNTS),
    "DiscreteUniform": lambda: pm.DiscreteUniform("x", 0, 6, observed=COUNTS),
    "DiscreteWeibull": lambda: pm.DiscreteWeibull("x", unit("q"), positive("beta"), observed=COUNTS),
    "Constant": lambda: pm.Constant("x", 2, observed=[2, 2]),
    "ZeroInflatedPoisson": lambda: pm.ZeroInflatedPoisson("x", unit("psi"), positive("theta"), observed=COUNTS),
    "ZeroInflatedBinomial": lambda: pm.ZeroInflatedBinomial("x", unit("psi"), 5, unit("p"), observed=COUNTS),
    "ZeroInflatedNegativeBinomial": lambda: pm.ZeroInflatedNegativeBinomial(
        "x", unit("psi"), positive("mu"), positive("alpha"), observed=COUNTS
    ),
    "Categorical": lambda: pm.Categorical("x", pm.Dirichlet("p", np.ones(4)), observed=COUNTS),
    "CategoricalRows": lambda: pm.Categorical(
        "x", pm.Dirichlet("p", np.ones((3, 4)), shape=(3, 4)), observed=[0, 3, 1]
    ),
    "OrderedLogistic": lambda: pm.OrderedLogistic(
        "x",
        eta=real("eta"),
        cutpoints=pm.Normal("c", 0, 2, shape=3, transform=transforms.ordered, testval=[-1.0, 0.2, 1.0]),
        observed=COUNTS,
    ),
    "OrderedProbit": lambda: pm.OrderedProbit(
        "x",
        eta=real("eta"),
        cutpoints=pm.Normal("c", 0, 2, shape=3, transform=transforms.ordered, testval=[-1.0, 0.2, 1.0]),
        observed=COUNTS,
    ),
}
OF_VECTORS = {
    "Dirichlet": lambda: pm.Dirichlet("x", positive("a", shape=4), shape=4),
    "DirichletRows": lambda: pm.Dirichlet("x", np.array([1.0, 2.0, 0.5]), shape=(2, 3)),
    "Multinomial": lambda: pm.Multinomial("x", 6, pm.Dirichlet("p", np.ones(4)), observed=COUNTS),
    "MultinomialRows": lambda: pm.Multinomial(
        "x", np.array([6, 4]), pm.Dirichlet("p", np.ones(3)), shape=(2, 3), observed=[[1, 2, 3], [4, 0, 0]]
    ),
    "DirichletMultinomial": lambda: pm.DirichletMultinomial("x", 6, positive("a", shape=4), shape=4, observed=COUNTS),
    "MvNormal": lambda: pm.MvNormal("x", real("mu", shape=3), cov=MATRIX * positive("scale"), shape=(2, 3)),
    "MvNormalVector": lambda: pm.MvNormal("x", real("mu", shape=3), tau=MATRIX * positive("scale"), shape=3),
    "MvNormalCholesky": lambda: pm.MvNormal(
        "x", np.zeros(3), chol=tt.slinalg.cholesky(MATRIX * positive("scale")), observed=NORMAL
    ),
    "MvStudentT": lambda: pm.MvStudentT("x", positive("nu"), mu=real("mu", shape=3), Sigma=MATRIX, shape=3),
    "MatrixNormal": lambda: pm.MatrixNormal(
        "x", mu=np.zeros((3, 2)), rowcov=MATRIX * positive("s"), colcov=MATRIX[:2, :2], shape=(3, 2)
    ),
    "MatrixNormalCholesky": lambda: pm.MatrixNormal(
        "x", mu=real("m", shape=(3, 2)), rowchol=np.linalg.cholesky(MATRIX), colcov=MATRIX[:2, :2], shape=(3, 2)
    ),
    "Wishart": lambda: pm.Wishart("x", nu=5.0, V=MATRIX, shape=(3, 3), testval=MATRIX),
    "LKJCorr": lambda: pm.LKJCorr("x", eta=positive("eta"), n=3, testval=np.array([0.1, -0.2, 0.3])),
    "KroneckerNormal": lambda: pm.KroneckerNormal(
        "x",
        mu=np.zeros(6),
        covs=[MATRIX, MATRIX[:2, :2] * positive("s")],
        sigma=positive("noise", 0.4),
        observed=np.arange(6.0),
    ),
    "KroneckerNormalCholesky": lambda: pm.KroneckerNormal(
        "x",
        mu=real("mu", shape=6),
        chols=[np.linalg.cholesky(MATRIX), np.linalg.cholesky(MATRIX[:2, :2])],
        observed=np.arange(6.0),
    ),
}
OF_SERIES = {
    "AR1": lambda: timeseries.AR1("x", k=unit("k"), tau_e=positive("tau"), shape=4, testval=np.arange(4.0)),
    "AR": lambda: pm.AR("x", rho=real("rho", shape=2), sigma=positive("sigma"), shape=5, testval=np.arange(5.0)),
    "ARConstant": lambda: pm.AR("x", rho=real("rho", shape=3), constant=True, init=pm.Normal.dist(0, 2), shape=5),
    "GaussianRandomWalk": lambda: pm.GaussianRandomWalk(
        "x", mu=real("mu"), sigma=positive("sigma"), init=pm.Normal.dist(0, 3), shape=4
    ),
    "MvGaussianRandomWalk": lambda: pm.MvGaussianRandomWalk("x", mu=real("mu", shape=3), cov=MATRIX, shape=(4, 3)),
    "MvStudentTRandomWalk": lambda: pm.MvStudentTRandomWalk(
        "x", positive("nu"), mu=np.zeros(3), cov=MATRIX, shape=(4, 3)
    ),
    "GARCH11": lambda: pm.GARCH11(
        "x",
        omega=positive("omega"),
        alpha_1=unit("alpha", 0.3),
        beta_1=unit("beta", 0.2),
        initial_vol=positive("vol"),
        observed=np.array([0.3, -0.5, 1.2, 0.1, -0.7]),
    ),
    "EulerMaruyama": lambda: timeseries.EulerMaruyama(
        "x", 0.1, lambda x, a: (-a * x, 0.5 + 0.1 * x**2), (positive("a"),), shape=5, testval=0.3 * np.ones(5)
    ),
}
OTHERS = {
    "Bound": lambda: pm.Bound(pm.Normal, lower=-1.0, upper=2.0)("x", real("mu"), positive("sigma"), testval=0.4),
    "BoundBelow": lambda: pm.Bound(pm.Normal, lower=0.0)("x", real("mu"), positive("sigma"), testval=0.4, shape=2),
    "BoundAbove": lambda: pm.Bound(pm.Gamma, upper=5.0)("x", positive("a"), positive("b"), testval=0.4),
    "BoundPoisson": lambda: pm.Bound(pm.Poisson, lower=1)("x", positive("mu"), testval=3),
    "Mixture": lambda: pm.Mixture(
        "x",
        pm.Dirichlet("w", np.ones(2)),
        [pm.Normal.dist(real("m"), 1.0), pm.StudentT.dist(4.0, 1.0, 2.0)],
        observed=np.array([0.2, 1.5, -2.0]),
    ),
    "NormalMixture": lambda: pm.NormalMixture(
        "x", pm.Dirichlet("w", np.ones(3)), mu=real("m", shape=3), sigma=positive("s", shape=3), observed=[0.2, 1.5]
    ),
    "FreeMixture": lambda: pm.NormalMixture("x", [0.3, 0.7], mu=[-1.0, 2.0], sigma=positive("s"), shape=2),
    "MixtureSameFamily": lambda: pm.MixtureSameFamily(
        "x",
        w=pm.Dirichlet("w", np.ones(2)),
        comp_dists=pm.Normal.dist(real("m", shape=(4, 2)), 1.5, shape=(4, 2)),
        mixture_axis=-1,
        shape=4,
        observed=NORMAL[:, 0],
    ),
    "PoissonMixture": lambda: pm.Mixture(
        "x", [0.4, 0.6], pm.Poisson.dist(mu=positive("mu", shape=2)), observed=COUNTS[:, None] * np.ones((1, 1), int)
    ),
    "DensityDist": lambda: pm.DensityDist(
        "x", lambda value: -(tt.abs_(value - real_of("m")) ** 1.5), shape=3, testval=np.arange(3.0)
    ),
    "Potential": lambda: pm.Potential("x", -(real("a") ** 4)),
    "Censored": lambda: pm.Potential(
        "x", pm.Normal.dist(real("mu"), positive("sigma")).logcdf(1.0) + tt.log(tt.erfc(real("z")))
    ),
    "WishartBartlett": lambda: multivariate.WishartBartlett("x", MATRIX, 5),
}


def real_of(name):
    """Free parameter that a density refers to."""
    model = pm.modelcontext(None)
    return model[name] if name in model.named_vars else real(name)


@case
def LKJCholeskyCov():
    chol, _, _ = pm.LKJCholeskyCov("x", n=3, eta=positive("eta"), sd_dist=pm.HalfCauchy.dist(2.5), compute_corr=True)
    pm.MvNormal("y", np.zeros(3), chol=chol, observed=np.array([[0.1, 0.2, -1.0], [1.0, 0.3, 0.2]]))


@case
def LKJCholeskyCovPacked():
    pm.LKJCholeskyCov("x", n=4, eta=1.5, sd_dist=pm.Exponential.dist(1.0), compute_corr=False)


def _transformed(name, transform, shape=(), testval=0.4, dist=pm.Normal):
    def build():
        pm.Normal(
            "y", pm.Normal("x", 0.2, 1.5, shape=shape, transform=transform, testval=testval).sum(), 1, observed=1.0
        )

    CASES[f"transform_{name}"] = build


_transformed("log", transforms.log)
_transformed("log_exp_m1", transforms.log_exp_m1, shape=2, testval=np.array([0.3, 2.0]))
_transformed("logodds", transforms.logodds)
_transformed("interval", transforms.interval(-1.0, 3.0))
_transformed("lowerbound", transforms.lowerbound(-1.0))
_transformed("upperbound", transforms.upperbound(2.0))
_transformed("ordered", transforms.ordered, shape=3, testval=np.array([-1.0, 0.1, 0.3]))
_transformed("sum_to_1", transforms.sum_to_1, shape=3, testval=np.array([0.2, 0.3, 0.5]))
_transformed("stick_breaking", transforms.stick_breaking, shape=3, testval=np.array([0.2, 0.3, 0.5]))
_transformed("circular", transforms.circular)
_transformed(
    "chain", transforms.Chain([transforms.logodds, transforms.ordered]), shape=3, testval=np.array([0.2, 0.3, 0.5])
)

for _group in (OF_REALS, OF_POSITIVES, OF_UNITS, OF_INTEGERS, OF_VECTORS, OF_SERIES, OTHERS):
    CASES.update(_group)


def model_of(name):
    """Model of a case."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyMC3 advises against LKJCorr, Wishart and some test values
        with pm.Model() as model:
            CASES[name]()
    return model


def points_of(model, n_points, scale=0.3):
    """The test point, and points around it where the density is finite more often than not."""
    rng = np.random.default_rng(7)
    start = {v.name: np.asarray(model.test_point[v.name]) for v in model.vars}
    points = [start]
    for _ in range(n_points - 1):
        points.append(
            {
                name: value if value.dtype.kind in "iub" else value + scale * rng.normal(size=value.shape)
                for name, value in start.items()
            }
        )
    return [[np.asarray(p[v.name], dtype=v.dtype) for v in model.vars] for p in points]
