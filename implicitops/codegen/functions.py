"""SymPy functions to IR: one table from class to handler. Arithmetic and logic are in ``printer.py``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable

import sympy as sp
from sympy.codegen import cfunctions

from .emitter import Value
from .polygamma import polygamma
from .rewriting import emit_log

if TYPE_CHECKING:
    from .printer import Printer

Handler = Callable[["Printer", Any], Value]

_NAN = float("nan")
_INFINITY = float("inf")


def _arguments(printer: Printer, node: Any) -> list[Value]:
    return [printer.emit(argument) for argument in node.args]


def _plain(name: str) -> Handler:
    """A function that is called by this C99 name on the node's arguments."""
    return lambda printer, node: printer.call(name, *_arguments(printer, node))


def _scipy(function: str, n_arguments: int = 1) -> Handler:
    """A function of scipy.special, all doubles."""
    symbol = f"scipy:{function}:{'d' * n_arguments}"

    def handler(printer: Printer, node: Any) -> Value:
        if len(node.args) != n_arguments:
            raise printer.unsupported(node)
        return printer.emitter.call(symbol, *_arguments(printer, node))

    return handler


def _scipy_output(function: str, n_outputs: int, chosen: int) -> Handler:
    """One of the numbers that a function of scipy.special writes through pointers."""
    symbol = f"scipy:{function}:d{'p' * n_outputs}"
    return lambda printer, node: printer.emitter.call(f"{symbol}#{chosen}", *_arguments(printer, node))


def _not_below_zero(handler: Handler) -> Handler:
    """NaN for a negative first argument, where the function of SymPy is complex but the one called is not."""
    return lambda printer, node: (printer.emit(node.args[0]) < 0.0).where(_NAN, handler(printer, node))


def _computed(formula: Callable[..., Value]) -> Handler:
    """A function of the printer and the argument values."""
    return lambda printer, node: formula(printer, *_arguments(printer, node))


def _reciprocal(name: str) -> Handler:
    return _computed(lambda printer, x: 1.0 / printer.call(name, x))


def _of_reciprocal(name: str) -> Handler:
    return _computed(lambda printer, x: printer.call(name, 1.0 / x))


# -- steps and parts -----------------------------------------------------------------------------------------


def _sign(printer: Printer, x: Value) -> Value:
    return (x > 0.0).where(1.0, (x < 0.0).where(-1.0, x))


def _heaviside(printer: Printer, x: Value, at_zero: Value) -> Value:
    at_zero_or_nan = x.equals(0.0).where(at_zero, _NAN)
    return (x > 0.0).where(1.0, (x < 0.0).where(0.0, at_zero_or_nan))


def _dirac_delta(printer: Printer, node: Any) -> Value:
    x = printer.emit(node.args[0])
    nonzero = abs(x) > 0.0
    return nonzero.where(0.0, _NAN)


def _frac(printer: Printer, x: Value) -> Value:
    return x - printer.emitter.floor(x)


def _ceiling(printer: Printer, x: Value) -> Value:
    return printer.emitter.intrinsic("ceil", x)


def _extremum(largest: bool) -> Handler:
    def handler(printer: Printer, node: Any) -> Value:
        result, *rest = _arguments(printer, node)
        for value in rest:
            chosen = (result > value if largest else result < value).where(result, value)
            result = result.is_nan().where(result, chosen)
        return result

    return handler


def _conjunct(printer: Printer, node: Any) -> Value:
    return printer.emit(node.args[0])


def _zero(printer: Printer, node: Any) -> Value:
    return printer.emitter.real(0.0)


def _argument_angle(printer: Printer, x: Value) -> Value:
    return (x < 0.0).where(math.pi, (x > 0.0).where(0.0, _NAN))


# -- trigonometric and hyperbolic ----------------------------------------------------------------------------


def _sinc(printer: Printer, x: Value) -> Value:
    quotient = printer.call("sin", x) / x
    finite = abs(x).equals(_INFINITY).where(0.0, quotient)
    return x.equals(0.0).where(1.0, finite)


def _cot(printer: Printer, x: Value) -> Value:
    return 1.0 / printer.call("tan", x)


def _acot(printer: Printer, x: Value) -> Value:
    return x.equals(0.0).where(math.pi / 2, printer.call("atan", 1.0 / x))


# -- gamma and friends ---------------------------------------------------------------------------------------


def _polygamma(printer: Printer, node: Any) -> Value:
    order = printer.resolved(node.args[0])
    if order.is_Integer and order == 0:
        return printer.emitter.call("scipy:psi:d", printer.emit(node.args[1]))
    if not (order.is_Integer and order > 0):
        raise printer.unsupported(node, "The order of polygamma must be a whole number, such as polygamma(1, x).")
    return polygamma(int(order), printer.emit(node.args[1]))


def _beta(printer: Printer, node: Any) -> Value:
    values = _arguments(printer, node)
    return printer.emitter.call("scipy:beta:dd", values[0], values[-1])


def _incomplete_gamma(function: str) -> Handler:
    def formula(printer: Printer, a: Value, x: Value) -> Value:
        regularised = printer.emitter.call(f"scipy:{function}:dd", a, x)
        return regularised * printer.call("tgamma", a)

    return _computed(formula)


def _factorial(printer: Printer, x: Value) -> Value:
    return printer.call("tgamma", x + 1.0)


def _rising_factorial(printer: Printer, x: Value, k: Value) -> Value:
    return printer.emitter.call("scipy:poch:dd", x, k)


def _harmonic(printer: Printer, node: Any) -> Value:
    if len(node.args) != 1:
        raise printer.unsupported(node)
    digamma = printer.emitter.call("scipy:psi:d", printer.emit(node.args[0]) + 1.0)
    return digamma + float(sp.EulerGamma)


def _zeta(printer: Printer, node: Any) -> Value:
    if len(node.args) != 1:
        raise printer.unsupported(node)
    return 1.0 + printer.emitter.call("scipy:zetac:d", printer.emit(node.args[0]))


def _erf2(printer: Printer, x: Value, y: Value) -> Value:
    return printer.call("erf", y) - printer.call("erf", x)


# -- Bessel functions and integrals --------------------------------------------------------------------------


def _bessel(general: str, special: dict[int, str]) -> Handler:
    """A Bessel function; the orders 0 and 1 have faster forms of their own."""

    def handler(printer: Printer, node: Any) -> Value:
        order, argument = printer.resolved(node.args[0]), printer.emit(node.args[1])
        if order.is_Integer and int(order) in special:
            return printer.emitter.call(f"scipy:{special[int(order)]}:d", argument)
        return printer.emitter.call(f"scipy:{general}:dd", printer.emit(node.args[0]), argument)

    return handler


def _expint(printer: Printer, node: Any) -> Value:
    order = printer.resolved(node.args[0])
    if not (order.is_Integer and order >= 0):
        raise printer.unsupported(node, "The order of expint must be a whole number, such as expint(1, x).")
    return printer.emitter.call("scipy:expn:dd", *_arguments(printer, node))


def _li(printer: Printer, x: Value) -> Value:
    return printer.emitter.call("scipy:expi:d", printer.call("log", x))


def _elliptic_e(printer: Printer, node: Any) -> Value:
    values = _arguments(printer, node)
    symbol = "scipy:ellipe:d" if len(values) == 1 else "scipy:ellipeinc:dd"
    return printer.emitter.call(symbol, *values)


FUNCTION_HANDLERS: dict[type, Handler] = {
    sp.exp: _plain("exp"),
    sp.log: emit_log,
    cfunctions.expm1: _plain("expm1"),
    cfunctions.log1p: _plain("log1p"),
    cfunctions.exp2: _plain("exp2"),
    cfunctions.log2: _plain("log2"),
    cfunctions.log10: _plain("log10"),
    cfunctions.Cbrt: _plain("cbrt"),
    cfunctions.Sqrt: _computed(lambda printer, x: printer.emitter.sqrt(x)),
    cfunctions.hypot: _plain("hypot"),
    cfunctions.fma: _computed(lambda printer, a, b, c: printer.emitter.fma(a, b, c)),
    sp.Abs: _computed(lambda printer, x: abs(x)),
    sp.sign: _computed(_sign),
    sp.Heaviside: _computed(_heaviside),
    sp.DiracDelta: _dirac_delta,
    sp.floor: _computed(lambda printer, x: printer.emitter.floor(x)),
    sp.ceiling: _computed(_ceiling),
    sp.frac: _computed(_frac),
    sp.Mod: _plain("mod"),
    sp.Max: _extremum(largest=True),
    sp.Min: _extremum(largest=False),
    sp.re: _conjunct,
    sp.conjugate: _conjunct,
    sp.im: _zero,
    sp.arg: _computed(_argument_angle),
    sp.sin: _plain("sin"),
    sp.cos: _plain("cos"),
    sp.tan: _plain("tan"),
    sp.cot: _computed(_cot),
    sp.sec: _reciprocal("cos"),
    sp.csc: _reciprocal("sin"),
    sp.sinc: _computed(_sinc),
    sp.asin: _plain("asin"),
    sp.acos: _plain("acos"),
    sp.atan: _plain("atan"),
    sp.acot: _computed(_acot),
    sp.asec: _of_reciprocal("acos"),
    sp.acsc: _of_reciprocal("asin"),
    sp.atan2: _plain("atan2"),
    sp.sinh: _plain("sinh"),
    sp.cosh: _plain("cosh"),
    sp.tanh: _plain("tanh"),
    sp.coth: _reciprocal("tanh"),
    sp.sech: _reciprocal("cosh"),
    sp.csch: _reciprocal("sinh"),
    sp.asinh: _plain("asinh"),
    sp.acosh: _plain("acosh"),
    sp.atanh: _plain("atanh"),
    sp.acoth: _of_reciprocal("atanh"),
    sp.asech: _of_reciprocal("acosh"),
    sp.acsch: _of_reciprocal("asinh"),
    sp.erf: _plain("erf"),
    sp.erfc: _plain("erfc"),
    sp.erfi: _scipy("erfi"),
    sp.erfinv: _scipy("erfinv"),
    sp.erfcinv: _scipy("erfcinv"),
    sp.erf2: _computed(_erf2),
    sp.gamma: _plain("tgamma"),
    sp.loggamma: _not_below_zero(_plain("lgamma")),
    sp.digamma: _scipy("psi"),
    sp.polygamma: _polygamma,
    sp.beta: _beta,
    sp.lowergamma: _incomplete_gamma("gammainc"),
    sp.uppergamma: _incomplete_gamma("gammaincc"),
    sp.factorial: _computed(_factorial),
    sp.binomial: _scipy("binom", 2),
    sp.RisingFactorial: _computed(_rising_factorial),
    sp.harmonic: _harmonic,
    sp.zeta: _zeta,
    sp.besselj: _bessel("jv", {0: "j0", 1: "j1"}),
    sp.bessely: _bessel("yv", {0: "y0", 1: "y1"}),
    sp.besseli: _bessel("iv", {0: "i0", 1: "i1"}),
    sp.besselk: _bessel("kv", {0: "k0", 1: "k1"}),
    sp.airyai: _scipy_output("airy", 4, 0),
    sp.airyaiprime: _scipy_output("airy", 4, 1),
    sp.airybi: _scipy_output("airy", 4, 2),
    sp.airybiprime: _scipy_output("airy", 4, 3),
    sp.expint: _expint,
    sp.Ei: _scipy("expi"),
    sp.li: _computed(_li),
    sp.Si: _scipy_output("sici", 2, 0),
    sp.Ci: _not_below_zero(_scipy_output("sici", 2, 1)),
    sp.Shi: _scipy_output("shichi", 2, 0),
    sp.Chi: _not_below_zero(_scipy_output("shichi", 2, 1)),
    sp.fresnels: _scipy_output("fresnel", 2, 0),
    sp.fresnelc: _scipy_output("fresnel", 2, 1),
    sp.elliptic_k: _scipy("ellipk"),
    sp.elliptic_f: _scipy("ellipkinc", 2),
    sp.elliptic_e: _elliptic_e,
}
