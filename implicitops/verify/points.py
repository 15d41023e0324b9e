"""Where a check is made: from what the user writes for ``at`` to arrays, one for each argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from implicitops.backends.batches import as_batch, free_length
from implicitops.calculus.operation import resolved
from implicitops.errors import ArgumentError
from implicitops.problems.base import Problem


def problem_arguments(problem: Problem, at: Any) -> tuple[np.ndarray, ...]:
    """Arguments of a problem with one batch axis each.

    Parameters
    ----------
    problem : Problem
    at : mapping of argument names to numbers or arrays (arrays are batches and broadcast); or a sequence of
        points, each a number (one scalar parameter) or a sequence with one item for each parameter; or a number.
        Output times that a mapping does not give are those of the statement

    Returns
    -------
    tuple of ndarray (n,) or (n, k)
    """
    n_arguments = len(problem.params)
    if isinstance(at, Mapping):
        values = problem.bind((), at)
    else:
        points = [_point(p, n_arguments, problem.parameter_names) for p in _points(at, n_arguments)]
        values = problem.bind(tuple(np.array([p[k] for p in points], dtype=np.float64) for k in range(n_arguments)), {})
    shapes = problem.argument_shapes
    batch, arrays, _ = as_batch(values, shapes, problem.argument_names)
    n = int(np.prod(batch, dtype=int))
    if n == 0 or free_length(arrays, shapes) == 0:
        raise ArgumentError(f"at must contain at least one point, and one output time; got {at!r:.80}.")
    length = free_length(arrays, shapes)
    shapes = tuple(resolved(shape, length) for shape in shapes)
    return tuple(
        np.ascontiguousarray(np.broadcast_to(a.reshape(-1, *shape), (n, *shape))) for a, shape in zip(arrays, shapes)
    )


def function_points(at: Any, names: Sequence[str] = ()) -> list[tuple[np.ndarray, ...]]:
    """Points of a function of arrays; arrays are arguments here, not batches.

    Parameters
    ----------
    at : mapping of names to one number or array each, or a sequence of points, each a number or array (one
        argument) or a tuple with one item for each argument
    names : names of the function's arguments, if they are known
    """
    if isinstance(at, Mapping):
        if names and set(at) != set(names):
            raise ArgumentError(f"at must name the arguments {', '.join(names)}; got {', '.join(map(str, at))}.")
        points: Sequence[Any] = [tuple(at[name] for name in (names or at))]
    else:
        points = _points(at, 1)
    prepared = [tuple(map(_as_float, p if isinstance(p, tuple) else (p,))) for p in points]
    if not prepared:
        raise ArgumentError("at must contain at least one point; got an empty sequence.")
    if len({tuple((a.shape, a.dtype) for a in p) for p in prepared}) > 1:
        raise ArgumentError("all points of at must have the same number, shapes and dtypes of arguments.")
    return prepared


def _points(at: Any, n_arguments: int) -> Sequence[Any]:
    if np.isscalar(at) or (isinstance(at, np.ndarray) and at.ndim == 0):
        return [at]
    if isinstance(at, tuple) and n_arguments > 1 and len(at) == n_arguments and all(map(np.isscalar, at)):
        return [at]
    return list(at)


def _point(point: Any, n_arguments: int, names: Sequence[str]) -> tuple[Any, ...]:
    values = point if isinstance(point, (tuple, list)) and n_arguments > 1 else (point,)
    if isinstance(point, tuple) and n_arguments == 1 and len(point) == 1:
        values = point
    if len(values) != n_arguments:
        raise ArgumentError(
            f"each point of at needs {n_arguments} item(s), one for each of {', '.join(names)}; got {point!r:.80}."
        )
    return tuple(values)


def _as_float(value: Any) -> np.ndarray:
    array = np.asarray(value)
    return array if array.dtype.kind == "f" else array.astype(np.float64)
