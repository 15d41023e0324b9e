"""What the solvers of benchmarks/ode.py are given: problems as functions for every peer, and how errors are judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp
from ode_catalogue import OdeCase

#: Values (T, n) and sensitivities (T, n, p).
Answer = tuple[np.ndarray, np.ndarray]

#: A sensitivity smaller than this, relative to state over parameter, is judged as if it were as large.
NEGLIGIBLE = 1e-3


@dataclass(frozen=True, eq=False)
class Task:
    """An initial value problem, its output times, and the answer that all are judged by.

    Parameters
    ----------
    case : OdeCase
    times : ndarray (T,)
    values : ndarray (T, n)
    sensitivities : ndarray (T, n, p)
    """

    case: OdeCase
    times: np.ndarray
    values: np.ndarray
    sensitivities: np.ndarray

    @classmethod
    def of(cls, case: OdeCase) -> Task:
        """The catalogue's case with its own output times and reference of 50-digit arithmetic."""
        reference = case.reference()
        return cls(case, np.array(case.times), reference.values, reference.sensitivities)

    @property
    def n(self) -> int:
        """Number of states."""
        return len(self.case.states)

    @property
    def p(self) -> int:
        """Number of parameters."""
        return len(self.case.flat_params)

    @cached_property
    def params(self) -> np.ndarray:
        """Parameter values (p,)."""
        return np.array(self.case.flat_point)

    @cached_property
    def size(self) -> np.ndarray:
        """Largest absolute value of each state at the output times (n,)."""
        return np.abs(self.values).max(axis=0)

    @cached_property
    def unit(self) -> np.ndarray:
        """What the size of a sensitivity is compared with: state over parameter (n, p)."""
        return self.size[:, None] / np.where(self.params == 0, 1, np.abs(self.params))

    def atol(self, tolerance: float) -> np.ndarray:
        """Absolute tolerance of each state: a hundredth of the tolerance, relative to the state's size."""
        return tolerance * 1e-2 * self.size

    def errors(self, answer: Answer) -> tuple[float, float]:
        """Largest errors of the values and of the sensitivities, relative to the largest of each over time."""
        values, sensitivities = answer
        value = np.abs(values - self.values) / self.size
        largest = np.maximum(np.abs(self.sensitivities).max(axis=0), NEGLIGIBLE * self.unit)
        errors = (value.max(), (np.abs(sensitivities - self.sensitivities) / largest).max())
        return tuple(float(e) if np.isfinite(e) else np.inf for e in errors)  # type: ignore[return-value]

    @cached_property
    def expressions(self) -> Expressions:
        """The right-hand side and its derivatives."""
        return Expressions.of(self.case)


@dataclass(frozen=True)
class Expressions:
    """f, the nonzero entries of f_y and f_p with their places, and the initial values with their derivative.

    Parameters
    ----------
    arguments : tuple of Symbol: the time, the states, the params
    rhs : list of Expr
    by_state, by_parameter : list of (row, column, Expr)
    initial : ndarray (n,)
    initial_slope : ndarray (n, p)
    """

    arguments: tuple[sp.Symbol, ...]
    rhs: list[sp.Expr]
    by_state: list[tuple[int, int, sp.Expr]]
    by_parameter: list[tuple[int, int, sp.Expr]]
    initial: np.ndarray
    initial_slope: np.ndarray

    @classmethod
    def of(cls, case: OdeCase) -> Expressions:
        """Those of a case."""
        states, params = case.states, case.flat_params
        rhs = [sp.sympify(case.rhs[y]) for y in states]

        def entries(symbols: tuple[sp.Symbol, ...]) -> list[tuple[int, int, sp.Expr]]:
            free = [row.free_symbols for row in rhs]
            return [(i, j, sp.diff(rhs[i], s)) for i in range(len(rhs)) for j, s in enumerate(symbols) if s in free[i]]

        initial = sp.Matrix([sp.sympify(case.initial[y]) for y in states])
        both = sp.lambdify(params, [initial, initial.jacobian(params)])
        start, slope = (np.asarray(a, dtype=float) for a in both(*case.flat_point))
        time = case.t or sp.Symbol("time")
        return cls((time, *states, *params), rhs, entries(states), entries(params), start[:, 0], slope)


class Augmented:
    """States and sensitivities as one vector z (1 + p, n), states first, for solvers that know of no sensitivities."""

    def __init__(self, task: Task) -> None:
        self.task, e = task, task.expressions
        self.n, self.p = task.n, task.p
        self._params = tuple(task.params.tolist())
        self.start = np.concatenate([e.initial[None], e.initial_slope.T]).ravel()
        self._all = _function(e, [*e.rhs, *(entry[-1] for entry in (*e.by_state, *e.by_parameter))])
        self._jacobian = _function(e, [entry[-1] for entry in e.by_state])
        self._at, self._parameter_at = _places(e.by_state), _places(e.by_parameter)
        self._second = [_derivatives(entries, e.arguments[1 : 1 + self.n]) for entries in (e.by_state, e.by_parameter)]
        self._second_functions = [_function(e, [entry[-1] for entry in entries]) for entries in self._second]
        self._flat = self._flattened() if self.n * (1 + self.p) <= 40 else None

    def _flattened(self) -> Callable[..., Any]:
        """All rates as one function of numbers: for few of them quicker than arrays."""
        e, n, p = self.task.expressions, self.n, self.p
        s = sp.symbols(f"s0:{n * p}")
        rates: list[Any] = [[sp.S.Zero] * n for _ in range(p)]
        for j in range(p):
            for row, column, entry in e.by_state:
                rates[j][row] += entry * s[j * n + column]
        for row, column, entry in e.by_parameter:
            rates[column][row] += entry
        time, states, params = e.arguments[0], e.arguments[1 : 1 + n], e.arguments[1 + n :]
        arguments = [time, *params, *states, *s]
        return sp.lambdify(arguments, [*e.rhs, *(r for row in rates for r in row)], modules="math", cse=True)

    def rhs(self, t: float, z: np.ndarray) -> Any:
        """dz/dt."""
        if self._flat is not None:
            return self._flat(t, *self._params, *z.tolist())
        n, p = self.n, self.p
        every = np.array(self._all(t, *z[:n].tolist(), *self._params))
        jacobian, slopes = np.zeros((n, n)), np.zeros((p, n))
        count = n + len(self._at[0])
        jacobian[self._at] = every[n:count]
        slopes[self._parameter_at[::-1]] = every[count:]
        return np.concatenate([every[:n], (z[n:].reshape(p, n) @ jacobian.T + slopes).ravel()])

    def jacobian(self, t: float, y: np.ndarray) -> np.ndarray:
        """f_y (n, n), by which all diagonal blocks are equal."""
        result = np.zeros((self.n, self.n))
        result[self._at] = self._jacobian(t, *y[: self.n].tolist(), *self._params)
        return result

    def states_function(self) -> Callable[..., Any]:
        """f alone, for arrays."""
        function, params = _function(self.task.expressions, self.task.expressions.rhs), self._params
        return lambda t, y: function(t, *y.tolist(), *params)

    def couplings(self, t: float, z: np.ndarray) -> np.ndarray:
        """Derivatives of the sensitivities' rates by the states (p, n, n)."""
        arguments = (t, *z[: self.n].tolist(), *self._params)
        tensor, result = np.zeros((self.n, self.n, self.n)), np.zeros((self.p, self.n, self.n))
        rows, columns, states = _places(self._second[0], 3)
        tensor[columns, rows, states] = self._second_functions[0](*arguments)
        rows, columns, states = _places(self._second[1], 3)
        result[columns, rows, states] = self._second_functions[1](*arguments)
        return result + np.tensordot(z[self.n :].reshape(self.p, self.n), tensor, 1)

    def full(self, t: float, z: np.ndarray) -> Any:
        """The Jacobian of z, a sparse matrix where that pays."""
        from scipy import sparse

        n, p = self.n, self.p
        diagonal = sparse.kron(sparse.identity(1 + p), sparse.csc_matrix(self.jacobian(t, z)))
        below = sparse.csc_matrix(np.concatenate([np.zeros((n, n)), self.couplings(t, z).reshape(p * n, n)]))
        matrix = diagonal + sparse.hstack([below, sparse.csc_matrix(((1 + p) * n, p * n))])
        return matrix.tocsc() if self.is_large else matrix.toarray()

    @property
    def is_large(self) -> bool:
        """Whether a dense factorisation takes longer than the rest."""
        return self.start.size > 120

    def atol(self, tolerance: float) -> np.ndarray:
        """Absolute tolerances of z: those of the states, and of the sensitivities in units of state over parameter."""
        return np.concatenate([self.task.atol(tolerance)[None], tolerance * 1e-2 * self.task.unit.T]).ravel()

    def answer(self, z: np.ndarray) -> Answer:
        """Values and sensitivities from z (T, (1 + p) n)."""
        blocks = np.asarray(z).reshape(len(self.task.times), 1 + self.p, self.n)
        return blocks[:, 0], np.moveaxis(blocks[:, 1:], 1, 2)


def _function(e: Expressions, expressions: list[sp.Expr]) -> Callable[..., Any]:
    return sp.lambdify(e.arguments, expressions, modules="math", cse=True)


def _places(entries: list[Any], axes: int = 2) -> tuple[np.ndarray, ...]:
    return tuple(np.array([entry[axis] for entry in entries], dtype=int) for axis in range(axes))


def _derivatives(entries: list[tuple[int, int, sp.Expr]], symbols: tuple[sp.Symbol, ...]) -> list[Any]:
    """(row, column, state, derivative of the entry by that state), where that is not zero."""
    result = []
    for row, column, entry in entries:
        free = entry.free_symbols
        result += [(row, column, k, sp.diff(entry, s)) for k, s in enumerate(symbols) if s in free]
    return result
