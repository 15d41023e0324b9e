"""Powers and logarithms of sums with exponentials to IR, see ``elementary_logistic.scaled_sum``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sympy as sp

from .elementary_logistic import scaled_sum
from .emitter import Value
from .powers import integer_power

if TYPE_CHECKING:
    from .printer import Printer


def emit_exponential_quotient(printer: Printer, node: Any) -> Value:
    """exp(w) (c_0 exp(u_0) + ...)**q as exp(w + q m) s**q."""
    w, q, *terms = node.args
    weights, exponents = ([printer.emit(part) for part in parts] for parts in (terms[::2], terms[1::2]))
    power = printer.resolved(q)
    k = _steps(printer, w, terms, power)
    if k is not None:
        return _of_two(printer, weights, exponents[1], k, -int(power))
    largest, total, _ = scaled_sum(weights, exponents)
    factor = printer.call("exp", printer.emit(w) + printer.emit(q) * largest)
    if power.is_Integer and power < 0:
        return factor / integer_power(total, -int(power))
    return factor * printer.call("pow", total, printer.emit(q))


def _steps(printer: Printer, w: Any, terms: list[Any], power: Any) -> int | None:
    """The whole k from 0 to n for exp(k u)/(c_0 + c_1 exp(u))**n; None for anything else."""
    if len(terms) != 4 or printer.resolved(terms[1]) != 0 or not (power.is_Integer and power < 0):
        return None
    u, w = printer.resolved(terms[3]), printer.resolved(w)
    if w == 0:
        return 0
    if w.is_Mul and len(w.args) == 2 and w.args[0].is_Integer:
        k, rest = int(w.args[0]), printer.resolved(w.args[1])
    else:
        k, rest = 1, w
    return k if rest == u and 0 <= k <= -power else None


def _of_two(printer: Printer, weights: list[Value], u: Value, k: int, n: int) -> Value:
    """With one exponential: e = exp(-|u|), e**k / (c_0 + c_1 e)**n for u < 0, e**(n - k) / (c_0 e + c_1)**n else."""
    falling = printer.call("exp", -abs(u))
    above = u > 0.0
    total = weights[0] * above.where(falling, 1.0) + weights[1] * above.where(1.0, falling)
    one = printer.emitter.real(1.0)
    below_power = integer_power(falling, k) if k else one
    above_power = integer_power(falling, n - k) if n > k else one
    return above.where(above_power, below_power) / integer_power(total, n)


def emit_log_sum_of_exponentials(printer: Printer, node: Any) -> Value:
    """log(c_0 exp(u_0) + ...) as m + log(s), by log1p where c_0 = 1 and u_0 = 0 are the largest."""
    terms = node.args
    weights, exponents = ([printer.emit(part) for part in parts] for parts in (terms[::2], terms[1::2]))
    largest, total, parts = scaled_sum(weights, exponents)
    value = largest + printer.call("log", total)
    if (printer.resolved(terms[0]), printer.resolved(terms[1])) != (sp.S.One, sp.S.Zero):
        return value
    rest = parts[1]
    for part in parts[2:]:
        rest = rest + part
    return largest.equals(0.0).where(printer.call("log1p", rest), value)


def emit_exp_erfc(printer: Printer, v: Value, u: Value) -> Value:
    """exp(v) erfc(u), by erfcx for large u."""
    far = u > 5.0
    exponent = v - far.where(u * u, 0.0)
    scaled = printer.emitter.call("scipy:erfcx:d", far.where(u, 5.0))
    return printer.call("exp", exponent) * far.where(scaled, printer.emitter.call("c:erfc:d", u))


def emit_exp_ndtr(printer: Printer, v: Value, z: Value) -> Value:
    """exp(v) Phi(z), by erfcx for large -z."""
    far = z < -7.0
    u = z * -0.7071067811865476
    exponent = v - far.where(0.5 * (z * z), 0.0)
    scaled = printer.emitter.call("scipy:erfcx:d", far.where(u, 5.0))
    return printer.call("exp", exponent) * (0.5 * far.where(scaled, printer.emitter.call("c:erfc:d", u)))
