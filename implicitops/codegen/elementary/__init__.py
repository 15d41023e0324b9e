"""The registry of functions that are written in IR, so that a loop which calls them vectorises.

Each formula takes and returns emitter values: no branch, no table, at most 2 ulp over the whole range. The
formulas are in the ``elementary_*`` modules; this one turns a formula into the text of an IR function, once
per process.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

from implicitops.codegen.elementary import exponential, hyperbolic, inverse, logistic, power, trigonometric
from implicitops.codegen.emitter import REAL, Emitter, Value, function_symbol
from implicitops.codegen.special import c_symbol

Formula = Callable[..., Value]

ELEMENTARY: dict[str, Formula] = {
    "exp": exponential.exponential,
    "expm1": exponential.exponential_minus_one,
    "log": exponential.logarithm,
    "log1p": exponential.logarithm_of_one_plus,
    "exp2": power.power_of_two,
    "log2": power.binary_logarithm,
    "log10": power.decimal_logarithm,
    "pow": power.power,
    "pow_pair": power.power_of_pair,
    "cbrt": power.cube_root,
    "hypot": power.hypotenuse,
    "sin": trigonometric.sine,
    "cos": trigonometric.cosine,
    "tan": trigonometric.tangent,
    "mod": trigonometric.modulo,
    "asin": inverse.arcsine,
    "acos": inverse.arccosine,
    "atan": inverse.arctangent,
    "atan2": inverse.angle,
    "sinh": hyperbolic.hyperbolic_sine,
    "cosh": hyperbolic.hyperbolic_cosine,
    "tanh": hyperbolic.hyperbolic_tangent,
    "asinh": hyperbolic.inverse_hyperbolic_sine,
    "acosh": hyperbolic.inverse_hyperbolic_cosine,
    "atanh": hyperbolic.inverse_hyperbolic_tangent,
    "expit": logistic.logistic,
    "log1mexp": logistic.logarithm_of_one_minus_exponential,
    "log_cosh": logistic.logarithm_of_cosh,
    "log_expit": logistic.logarithm_of_logistic,
    "log_expm1": logistic.logarithm_of_exponential_minus_one,
    "log_sinh": logistic.logarithm_of_sinh,
    "log_tanh": logistic.logarithm_of_tanh,
    "logaddexp": logistic.logarithm_of_sum,
    "logistic_density": logistic.logistic_density,
    "reciprocal_expm1": logistic.reciprocal_of_exponential_minus_one,
    "softplus": logistic.softplus,
}

#: Functions whose formula holds in a limited range: true where the arguments lie beyond it and are finite.
GUARDS: dict[str, Formula] = {
    "sin": trigonometric.beyond_reduction,
    "cos": trigonometric.beyond_reduction,
    "tan": trigonometric.beyond_reduction,
    "mod": trigonometric.beyond_exact_quotient,
}

#: What a guarded function calls beyond its range.
_BEYOND: dict[str, Formula] = {
    "sin": lambda x: x.emitter.call(c_symbol("sin"), x),
    "cos": lambda x: x.emitter.call(c_symbol("cos"), x),
    "tan": lambda x: x.emitter.call(c_symbol("tan"), x),
    "mod": trigonometric.modulo_of_library,
}

Definition = tuple[str, "dict[str, int]", "dict[str, int]"]

#: Attributes of a function that only computes.
PURE = "nounwind readnone willreturn"

_CAREFUL = "_careful"


def careful_form(name: str) -> str:
    """The name of the form of a guarded function that holds everywhere, by a branch."""
    return name + _CAREFUL


@functools.cache
def definition(name: str, fused: bool) -> Definition:
    """IR text of a function, with the functions and the intrinsics that it calls.

    Parameters
    ----------
    name : str, a key of ``ELEMENTARY`` or the careful form of one
    fused : bool, use fused multiply-add
    """
    if name.endswith(_CAREFUL):
        return _careful_definition(name[: -len(_CAREFUL)], fused)
    formula = ELEMENTARY[name]
    emitter = Emitter(fused)
    arguments = _parameters(emitter, formula)
    result = formula(*arguments)
    lines = [_head(name, arguments, "alwaysinline"), *emitter.lines, f"  ret double {result.name}", "}"]
    return "\n".join(lines), emitter.calls, emitter.intrinsics


def _careful_definition(name: str, fused: bool) -> Definition:
    emitter = Emitter(fused)
    arguments = _parameters(emitter, ELEMENTARY[name])
    beyond = GUARDS[name](*arguments)
    lines = [_head(careful_form(name), arguments, "noinline"), *emitter.lines]
    lines.append(f"  br i1 {beyond.name}, label %beyond, label %within")
    for label, value_of in (("beyond", _BEYOND[name]), ("within", functools.partial(emitter.call, name))):
        emitter.lines.clear()
        value = value_of(*arguments)
        lines += [f"{label}:", *emitter.lines, f"  ret double {value.name}"]
    return "\n".join([*lines, "}"]), emitter.calls, emitter.intrinsics


def _parameters(emitter: Emitter, formula: Formula) -> list[Value]:
    names = inspect.signature(formula).parameters
    return [Value(emitter, f"%{name}", REAL) for name in names]


def _head(name: str, arguments: list[Value], attribute: str) -> str:
    listed = ", ".join(f"double {argument.name}" for argument in arguments)
    return f'define internal double @"{function_symbol(name)}"({listed}) {attribute} {PURE} {{'
