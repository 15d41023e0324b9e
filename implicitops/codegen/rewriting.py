"""Rewritings that keep digits where the literal formula loses them: expm1, log1p, versine, softplus.

Each one holds for all real arguments and costs no more than what it replaces. Nothing else is simplified.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sympy as sp

from implicitops.codegen.emitter import Value

if TYPE_CHECKING:
    from implicitops.codegen.printer import Printer


def stable_sum(printer: Printer, node: Any) -> list[tuple[bool, Value]]:
    """The terms of a sum as (is subtracted, magnitude), with exp(u) - 1 and 1 - cos(u) taken together."""
    from implicitops.codegen.printer import signed_term

    terms = list(node.args)
    parts = []
    for unit in (sp.S.One, sp.S.NegativeOne):
        if unit not in terms:
            continue
        for term in terms:
            combined = _combined_with_unit(printer, term, unit)
            if combined is not None:
                terms.remove(term)
                terms.remove(unit)
                parts.append(combined)
                break
    return parts + [signed_term(printer, term) for term in terms]


def _combined_with_unit(printer: Printer, term: Any, unit: Any) -> tuple[bool, Value] | None:
    """The sum unit + term without cancellation, if the term is -unit * exp(u) or -unit * cos(u)."""
    negated = unit is sp.S.One
    function = printer.resolved(_negated(printer, term) if negated else term)
    if isinstance(function, sp.exp):
        return negated, printer.call("expm1", printer.emit(function.args[0]))
    if isinstance(function, sp.cos):
        sine = printer.call("sin", 0.5 * printer.emit(function.args[0]))
        return not negated, 2.0 * (sine * sine)
    if isinstance(function, sp.Pow) and printer.resolved(function.exp) == 2:
        root = printer.emit(function.base)
        return False, (1.0 - root) * (1.0 + root) if negated else (root - 1.0) * (root + 1.0)
    return None


def _negated(printer: Printer, term: Any) -> Any:
    term = printer.resolved(term)
    if isinstance(term, sp.Mul) and len(term.args) == 2 and term.args[0] is sp.S.NegativeOne:
        return term.args[1]
    return None


def emit_log(printer: Printer, node: Any) -> Value:
    """log(x), as log1p where the argument is a sum with 1."""
    if len(node.args) == 2:
        return emit_log(printer, sp.log(node.args[0], evaluate=False)) / printer.emit(sp.log(node.args[1]))
    argument = printer.resolved(node.args[0])
    if not (isinstance(argument, sp.Add) and sp.S.One in argument.args):
        return printer.call("log", printer.emit(node.args[0]))
    rest = [term for term in argument.args if term is not sp.S.One]
    if len(rest) > 1:
        return printer.call("log1p", printer.emit(sp.Add(*rest, evaluate=False)))
    exponential = printer.resolved(rest[0])
    if isinstance(exponential, sp.exp):
        return _softplus(printer, printer.emit(exponential.args[0]))
    return printer.call("log1p", printer.emit(rest[0]))


def _softplus(printer: Printer, u: Value) -> Value:
    """log(1 + exp(u)), finite for every finite u."""
    correction = printer.call("log1p", printer.call("exp", -abs(u)))
    return (u > 0.0).where(u + correction, correction)
