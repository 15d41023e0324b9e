"""Derivatives that a solver propagates along with the answer: those of an ODE, whose trajectory must not be run twice.

Row k of the answer y depends on the parameters p and on its own output time t_k alone. With x = (p, t_k), q numbers,
its first and second derivatives J and H have q columns, and

    forward   y' = J x'                               for x' = collect(p', t')
    reverse   (pbar, tbar) = distribute(J^T ybar)

row by row. The derivative of J is H in the same way; the third is not available. Problems without output times have
one row and q = p.
"""

from __future__ import annotations

from dataclasses import dataclass

from implicitops.calculus.collect import collect, distribute, is_timed
from implicitops.calculus.einsum import Einsum, Term, einsum
from implicitops.calculus.operation import Draft, Operation, Program, Shape
from implicitops.calculus.rules import Kind, Rules, rules_of
from implicitops.errors import DerivativeError
from implicitops.problems.base import Problem
from implicitops.problems.integral import Integral
from implicitops.problems.ode import ODE


def n_columns(problem: Problem) -> int:
    """Columns of the extended Jacobian: the parameters, flattened, and the output time if there are any."""
    return len(problem.parameter_symbols) + is_timed(problem)


def derivative_shapes(problem: Problem, order: int) -> tuple[Shape, ...]:
    """Trailing shapes of the value and its extended derivatives up to an order."""
    q = n_columns(problem)
    return tuple((*problem.output_shape, *(q,) * k) for k in range(order + 1))


def contraction(problem: Problem, inputs: tuple[str, ...], terms: tuple[Term, ...], output: str) -> Einsum:
    """Contraction in one row: index i is the component of the answer; a and b are columns.

    Parameters
    ----------
    problem : Problem with propagated derivatives
    inputs, terms, output : see :class:`~implicitops.calculus.einsum.Einsum`
    """
    row = problem.output_shape[is_timed(problem) :]
    if not row:  # a scalar answer has no components
        inputs, output = tuple(indices.replace("i", "") for indices in inputs), output.replace("i", "")
    q = n_columns(problem)
    return einsum(inputs, output, terms, {"i": row[0] if row else 1, "a": q, "b": q})


@dataclass(frozen=True)
class Sensitivities(Operation):
    """The answer of a problem with its extended derivatives, from one integration.

    Its inputs are those of :class:`~implicitops.calculus.solve.Solve`; the outputs are the value, the extended Jacobian
    and, for order 2, the extended Hessian.

    Parameters
    ----------
    problem : Problem with propagated derivatives
    order : 1 or 2
    """

    problem: Problem
    order: int

    @property
    def name(self) -> str:
        return f"{type(self.problem).__name__.lower()}_{self.problem.key}_sensitivities{self.order}"

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return self.problem.argument_shapes

    @property
    def input_names(self) -> tuple[str, ...]:
        return self.problem.argument_names

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return derivative_shapes(self.problem, self.order)

    def vjp(self) -> Program:
        """Reverse rule of value and Jacobian: (arguments, y, J, ybar, Jbar) to cotangents of the arguments."""
        n = self._require_first_order()
        draft = Draft(n + 4)
        jacobian, y_cotangent, jacobian_cotangent = n + 1, n + 2, n + 3
        hessian = draft.apply(Sensitivities(self.problem, 2), *range(n))[2]
        pull = contraction(self.problem, ("ib", "i", "iab", "ia"), ((0, 1), (2, 3)), "b")
        (rows,) = draft.apply(pull, jacobian, y_cotangent, hessian, jacobian_cotangent)
        return draft.program(draft.apply(distribute(self.problem), rows))

    def jvp(self) -> Program:
        """Forward rule of value and Jacobian: (arguments, y, J, tangents of the arguments) to y' and J'."""
        n = self._require_first_order()
        draft = Draft(2 * n + 2)
        jacobian = n + 1
        hessian = draft.apply(Sensitivities(self.problem, 2), *range(n))[2]
        (rows,) = draft.apply(collect(self.problem), *range(n + 2, 2 * n + 2))
        y_tangent = draft.apply(contraction(self.problem, ("ia", "a"), ((0, 1),), "i"), jacobian, rows)
        jacobian_tangent = draft.apply(contraction(self.problem, ("iab", "b"), ((0, 1),), "ia"), hessian, rows)
        return draft.program((*y_tangent, *jacobian_tangent))

    def _require_first_order(self) -> int:
        """Number of inputs, if the derivatives can be differentiated."""
        if self.order >= 2:
            raise DerivativeError(
                f"{self.problem!r} has no third derivative: its solver propagates derivatives up to order 2. Take at "
                "most two derivatives, or difference the second."
            )
        return len(self.input_shapes)


@dataclass(frozen=True)
class Adjoint(Operation):
    """Cotangents of a problem's arguments from the arguments and the cotangent of the answer, by the adjoint method.

    Linear in the cotangent, ybar^T J. Its own derivatives use J and H from the forward method.

    Parameters
    ----------
    problem : ODE
    """

    problem: ODE

    @property
    def name(self) -> str:
        return f"{type(self.problem).__name__.lower()}_{self.problem.key}_adjoint"

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return (*self.problem.argument_shapes, self.problem.output_shape)

    @property
    def input_names(self) -> tuple[str, ...]:
        return (*self.problem.argument_names, "cotangent of the answer")

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return self.problem.argument_shapes

    def vjp(self) -> Program:
        """Reverse rule: (arguments, ybar, outputs, cotangents x of the outputs) to (ybar^T H x, J x)."""
        n = len(self.output_shapes)
        draft, y_cotangent = Draft(3 * n + 1), n
        (rows,) = draft.apply(collect(self.problem), *range(2 * n + 1, 3 * n + 1))
        jacobian = draft.apply(Sensitivities(self.problem, 1), *range(n))[1]
        (along,) = draft.apply(contraction(self.problem, ("ia", "a"), ((0, 1),), "i"), jacobian, rows)
        moved = self._moved_jacobian(draft, rows)
        (pulled,) = draft.apply(contraction(self.problem, ("ib", "i"), ((0, 1),), "b"), moved, y_cotangent)
        return draft.program((*draft.apply(distribute(self.problem), pulled), along))

    def jvp(self) -> Program:
        """Forward rule: (arguments, ybar, outputs, tangents x', ybar') to ybar'^T J + ybar^T H x'."""
        n = len(self.output_shapes)
        draft, y_cotangent, first = Draft(3 * n + 2), n, 2 * n + 1
        (rows,) = draft.apply(collect(self.problem), *range(first, first + n))
        jacobian = draft.apply(Sensitivities(self.problem, 1), *range(n))[1]
        moved = self._moved_jacobian(draft, rows)
        pull = contraction(self.problem, ("ib", "i", "ib", "i"), ((0, 1), (2, 3)), "b")
        (pulled,) = draft.apply(pull, jacobian, first + n, moved, y_cotangent)
        return draft.program(draft.apply(distribute(self.problem), pulled))

    def _moved_jacobian(self, draft: Draft, rows: int) -> int:
        """H x', the change of J along a direction in each row."""
        hessian = draft.apply(Sensitivities(self.problem, 2), *range(len(self.output_shapes)))[2]
        return draft.apply(contraction(self.problem, ("iab", "a"), ((0, 1),), "ib"), hessian, rows)[0]


class PropagatedRules(Rules[Kind]):
    """Rules of problems whose solver propagates derivatives along with the answer."""

    is_propagated = True
    estimates_derivatives = True

    def vjp(self, problem: Kind) -> Program:
        """Reverse rule: (arguments, y, ybar) to cotangents of the arguments."""
        n = len(problem.argument_shapes)
        draft, y_cotangent = Draft(n + 2), n + 1
        jacobian = draft.apply(Sensitivities(problem, 1), *range(n))[1]
        (rows,) = draft.apply(contraction(problem, ("ib", "i"), ((0, 1),), "b"), jacobian, y_cotangent)
        return draft.program(draft.apply(distribute(problem), rows))

    def jvp(self, problem: Kind) -> Program:
        """Forward rule: (arguments, y, tangents of the arguments) to y'."""
        n = len(problem.argument_shapes)
        draft = Draft(2 * n + 1)
        jacobian = draft.apply(Sensitivities(problem, 1), *range(n))[1]
        (rows,) = draft.apply(collect(problem), *range(n + 1, 2 * n + 1))
        return draft.program(draft.apply(contraction(problem, ("ia", "a"), ((0, 1),), "i"), jacobian, rows))

    def derivative_shapes(self, problem: Kind, order: int) -> tuple[Shape, Shape, Shape]:
        """Trailing shapes of value, extended Jacobian and extended Hessian, (0,) for those beyond an order."""
        value, first, second = [*derivative_shapes(problem, order), (0,), (0,)][:3]
        return value, first, second


class OdeRules(PropagatedRules[ODE]):
    """Rules of initial value problems, whose reverse rule may be the adjoint method."""

    estimates_on_demand = True

    def vjp(self, problem: ODE) -> Program:
        """Reverse rule: (arguments, y, ybar) to cotangents of the arguments."""
        if problem.sensitivity_method != "adjoint":
            return super().vjp(problem)
        n = len(problem.argument_shapes)
        draft, y_cotangent = Draft(n + 2), n + 1
        return draft.program(draft.apply(Adjoint(problem), *range(n), y_cotangent))


@rules_of.register(Integral)
def _integral_rules(problem: Integral) -> PropagatedRules[Integral]:
    return PropagatedRules()


@rules_of.register(ODE)
def _ode_rules(problem: ODE) -> OdeRules:
    return OdeRules()
