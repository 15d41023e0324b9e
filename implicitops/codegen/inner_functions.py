"""Functions that stand for parts of expressions and of derivatives, where no statement needs a name for them.

How each is computed, and its derivatives, are rows of the table in ``functions/``.
"""

from __future__ import annotations

from implicitops.functions import PositiveFunction, RealFunction

# -- logistic functions, see elementary_logistic.py ----------------------------------------------------------


class logistic_density(PositiveFunction):
    """The derivative exp(x)/(1 + exp(x))**2 of the logistic function."""


class reciprocal_expm1(RealFunction):
    """1/(exp(x) - 1), the mean occupation of Bose and Einstein."""


class log_expm1(RealFunction):
    """log(exp(x) - 1) for x > 0, the inverse of softplus."""


class log1mexp(RealFunction):
    """log(1 - exp(x)) for x < 0."""


class log_tanh(RealFunction):
    """log(tanh(x)) for x > 0."""


class log_cosh(RealFunction):
    """log(cosh(x))."""


class log_sinh(RealFunction):
    """log(sinh(x)) for x > 0."""


class exponential_quotient(RealFunction):
    """exp(w) * (c_0 exp(u_0) + c_1 exp(u_1) + ...)**q; the arguments are w, q, c_0, u_0, c_1, u_1, ..."""


class log_sum_of_exponentials(RealFunction):
    """log(c_0 exp(u_0) + c_1 exp(u_1) + ...); the arguments are c_0, u_0, c_1, u_1, ..."""


# -- powers, see powers.py -----------------------------------------------------------------------------------


class power_times_log(RealFunction):
    """base**exponent * log(base)**n, 0 at base = 0 for a positive exponent: power_times_log(n, base, exponent)."""

    nargs = 3


# -- the normal distribution, see elementary_normal.py -------------------------------------------------------


class normal_density(PositiveFunction):
    """Density exp(-z**2/2)/sqrt(2*pi) of the standard normal distribution."""


class normal_hazard(PositiveFunction):
    """Density of the standard normal distribution divided by its distribution function."""


class normal_excess(PositiveFunction):
    """sqrt(2) r_n(-z/sqrt(2)) with r_n = i^n erfc / i^(n-1) erfc; of order n = 1 it is z + normal_hazard(z)."""


class density_of_ndtri(PositiveFunction):
    """Density of the standard normal distribution at a quantile of it."""


class density_of_erfcinv(PositiveFunction):
    """exp(-y**2) where erfc(y) = x."""


class mirrored_erfc(PositiveFunction):
    """erfc(-x), which SymPy would rewrite to 2 - erfc(x)."""


class log_erfc(RealFunction):
    """log(erfc(x))."""


class exp_erfc(PositiveFunction):
    """exp(v)*erfc(u)."""


class exp_ndtr(PositiveFunction):
    """exp(v)*ndtr(z)."""


# -- functions without the 0/0 of their formulas, see elementary_removable.py --------------------------------


class sinc_derivative(RealFunction):
    """Derivative of sin(x)/x; the arguments are its order and x."""


class sinhc_derivative(RealFunction):
    """Derivative of sinh(x)/x; the arguments are its order and x."""


class elliptic_b_derivative(RealFunction):
    """Derivative of the integral of cos(t)**2/sqrt(1 - m sin(t)**2) to pi/2; the arguments are its order and m."""


class elliptic_d_derivative(RealFunction):
    """Derivative of the integral of sin(t)**2/sqrt(1 - m sin(t)**2) to pi/2; the arguments are its order and m."""


# -- quotients that are 0/0 at a point, see elementary_quotients.py ------------------------------------------


class tanhc_derivative(RealFunction):
    """Derivative of tanh(x)/x; the arguments are its order and x."""


class log1pc_derivative(RealFunction):
    """Derivative of log(1 + x)/x; the arguments are its order and x."""


class bernoulli_derivative(RealFunction):
    """Derivative of x/(exp(x) - 1); the arguments are its order and x."""


class langevin_derivative(RealFunction):
    """Derivative of coth(x) - 1/x; the arguments are its order and x."""


class exp_difference(PositiveFunction):
    """Integral of t**p (1 - t)**q exp(t a + (1 - t) b) over t from 0 to 1; the arguments are p, q, a, b.

    exp_difference(0, 0, a, b) is (exp(a) - exp(b))/(a - b).
    """


class elliptic_moment(RealFunction):
    """Integral of sin(t)**(2 p) (1 - m sin(t)**2)**(-q/2) over t from 0 to z; the arguments are p, q, z, m.

    See ``elementary_elliptic.py``.
    """
