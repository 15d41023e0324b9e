"""Derivatives of existing code, contracted from what its user gave: a Jacobian J, a VJP, or differences.

    forward   y' = J p'
    reverse   pbar = J^T ybar

and, with H the second derivative of y, the derivatives of these two. The answer y is an input of each
operation, because a user's VJP may need it; it is a function of p, so no cotangent of its own flows to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from implicitops.calculus.operation import Operation, Program, Shape, Step
from implicitops.calculus.rules import Rules, rules_of
from implicitops.errors import DerivativeError
from implicitops.problems.external import External

#: Inputs that follow (p, y), and the output, of each contraction. P is one array per input, Y one like the answer.
CONTRACTIONS = {
    "vjp": ("Y", "P"),  # w to J^T w
    "jvp": ("P", "Y"),  # t to J t
    "vjp_vjp": ("YP", "P"),  # w, u to (w H) u
    "vjp_jvp": ("YPY", "P"),  # w, t, v to (w H) t + J^T v
    "jvp_jvp": ("PPP", "Y"),  # t, s, r to (H t) s + J r
}


def require_order(problem: External, order: int) -> None:
    """Raise DerivativeError unless an External problem was given what a derivative of this order needs.

    Parameters
    ----------
    problem : External
    order : int
    """
    first = [name for name in ("jacobian", "vjp", "differences") if getattr(problem, name) is not None]
    if order >= 1 and not first:
        raise DerivativeError(
            f"{problem!r} has no derivative: none was given. Pass jacobian= or vjp=, or ask for finite differences "
            "with differences='central' or 'richardson'."
        )
    if order >= 2 and problem.hessian is None and (problem.differences is None or first == ["differences"]):
        raise DerivativeError(
            f"{problem!r} has no second derivative: it has {', '.join(first)} and no hessian. Pass hessian=, or "
            "jacobian= (or vjp=) together with differences='central' or 'richardson', which differences that."
        )
    if order >= 3:
        raise DerivativeError(f"{problem!r} has no third derivative: existing code is differentiated twice at most.")


def error_shape(problem: External, derivatives: int) -> Shape:
    """Shape of the error estimate: that of the derivative that comes from finite differences, (0,) without one."""
    value, p = problem.output_shape, len(problem.parameter_symbols)
    if derivatives == 1 and problem.jacobian is None and problem.vjp is None:
        return (*value, p)
    return (*value, p, p) if derivatives == 2 and problem.hessian is None else (0,)


@dataclass(frozen=True)
class Contraction(Operation):
    """A derivative of existing code at (p, y), applied to directions.

    Parameters
    ----------
    problem : External
    kind : str, one of :data:`CONTRACTIONS`
    """

    problem: External
    kind: str

    @property
    def name(self) -> str:
        return f"external_{self.problem.key}_{self.kind}"

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return (*self._shapes("P"), *self._shapes("Y"), *self._shapes(CONTRACTIONS[self.kind][0]))

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return self._shapes(CONTRACTIONS[self.kind][1])

    def _shapes(self, letters: str) -> tuple[Shape, ...]:
        groups = {"P": self.problem.parameter_shapes, "Y": (self.problem.output_shape,)}
        return tuple(shape for letter in letters for shape in groups[letter])

    @property
    def order(self) -> int:
        """Order of the derivative of y that it contains."""
        return 1 if self.kind in ("vjp", "jvp") else 2

    def vjp(self) -> Program:
        """Reverse rule: (p, y, directions, outputs, cotangents) to cotangents of the inputs."""
        require_order(self.problem, self.order + 1)
        n = len(self.problem.parameter_shapes)
        point, start = tuple(range(n + 1)), n + 1
        first = len(self.input_shapes) + 2 * len(self.output_shapes)
        if self.kind == "vjp":
            w, u = start, tuple(range(start + 1 + n, start + 1 + 2 * n))
            steps = (
                Step(Contraction(self.problem, "vjp_vjp"), (*point, w, *u)),
                Step(Contraction(self.problem, "jvp"), (*point, *u)),
            )
            return Program(first, steps, (*range(first, first + n), None, first + n))
        t, w = tuple(range(start, start + n)), start + n + 1
        steps = (
            Step(Contraction(self.problem, "vjp_vjp"), (*point, w, *t)),
            Step(Contraction(self.problem, "vjp"), (*point, w)),
        )
        return Program(first, steps, (*range(first, first + n), None, *range(first + n, first + 2 * n)))

    def jvp(self) -> Program:
        """Forward rule: (p, y, directions, outputs, tangents of the inputs) to tangents of the outputs."""
        require_order(self.problem, self.order + 1)
        n = len(self.problem.parameter_shapes)
        point, n_inputs, n_outputs = tuple(range(n + 1)), len(self.input_shapes), len(self.output_shapes)
        directions = tuple(range(n + 1, n_inputs))
        tangents = tuple(range(n_inputs + n_outputs, 2 * n_inputs + n_outputs))
        first = 2 * n_inputs + n_outputs
        operation = Contraction(self.problem, f"{self.kind}_jvp")
        step = Step(operation, (*point, *directions, *tangents[:n], *tangents[n + 1 :]))
        return Program(first, (step,), tuple(range(first, first + n_outputs)))


class ExternalRules(Rules[External]):
    """Rules of existing code, whose derivatives are what its user gave."""

    def vjp(self, problem: External) -> Program:
        """Reverse rule: (p, y, ybar) to pbar."""
        require_order(problem, 1)
        n = len(problem.parameter_shapes)
        step = Step(Contraction(problem, "vjp"), tuple(range(n + 2)))
        return Program(n + 2, (step,), tuple(range(n + 2, 2 * n + 2)))

    def jvp(self, problem: External) -> Program:
        """Forward rule: (p, y, p') to y'."""
        require_order(problem, 1)
        n = len(problem.parameter_shapes)
        step = Step(Contraction(problem, "jvp"), tuple(range(2 * n + 1)))
        return Program(2 * n + 1, (step,), (2 * n + 1,))

    def error_shapes(self, problem: External, order: int) -> tuple[Shape, Shape, Shape]:
        """Of the highest derivative, and of Jacobian and Hessian: they are exact unless they are differences."""
        first, second = (error_shape(problem, k) if k <= order else (0,) for k in (1, 2))
        return error_shape(problem, order), first, second


@rules_of.register(External)
def _external_rules(problem: External) -> ExternalRules:
    return ExternalRules()
