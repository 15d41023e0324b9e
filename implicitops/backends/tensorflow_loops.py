"""Operations in TensorFlow's own terms, for graphs of XLA that cannot call us: other devices, open shapes.

Scalar roots in a finite bracket are found by Newton's method inside a shrinking bracket; systems, fixed points and
scalar roots with a guess by Newton's method with step halving. Loops have a bound. Derivatives are those of the
calculus, the same as everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp
import tensorflow as tf

from implicitops.backends.tensorflow_anchor import anchored, captured, unrecorded
from implicitops.backends.tensorflow_bridge import Node, batch_shape
from implicitops.backends.tensorflow_expressions import array_of, evaluate, joined, rows_of
from implicitops.backends.tensorflow_op import shape_of
from implicitops.calculus import Evaluate, Operation, Solve
from implicitops.calculus.equations import equations_of
from implicitops.calculus.scalar_root import ScalarRootRule
from implicitops.calculus.statement import Statement
from implicitops.calculus.status_of import MARK, MARKED_STATUS, StatusOf
from implicitops.calculus.system_root import Factorise, LinearSolve
from implicitops.codegen import Bundle
from implicitops.problems.fixed_point import FixedPoint
from implicitops.problems.root import Root
from implicitops.status import ArgumentError, Status

#: How often a Newton step may be halved.
HALVINGS = 8


def make(node: Node, inputs: Sequence[Any], why: str) -> list[Any]:
    """One node; see :func:`implicitops.backends.tensorflow_op.make`.

    Parameters
    ----------
    node : Node
    inputs : sequence of float64 tensors
    why : str, what stands in the way of machine code, for an error

    Raises
    ------
    ArgumentError : the operation cannot be written in TensorFlow's own terms
    """
    compute = _computer(node.operation)
    if compute is None:
        what = repr(getattr(node.operation, "problem", node.operation))
        raise ArgumentError(
            f"{what} cannot be compiled by XLA: {why}. Without machine code XLA can compile a Root that has a finite "
            "bracket or a guess, and a FixedPoint; for others leave jit_compile away."
        )
    open_rank = [name for name, x in zip(node.input_names, inputs) if x.shape.rank is None]
    if open_rank:
        raise ArgumentError(
            f"not even the rank of {', '.join(open_rank)} is known while the function is traced, which XLA needs. Call "
            "tf.ensure_shape on the argument, or give its shape in input_signature."
        )
    inputs = [captured(x) for x in inputs]
    with unrecorded():
        outputs = compute(inputs, _batch(node, inputs))
    return anchored(node, inputs, outputs, node.n_outputs)


def _batch(node: Node, inputs: Sequence[Any]) -> Any:
    """Common batch shape: a tuple if it is known, else a tensor."""
    static = batch_shape(node, [shape_of(x) for x in inputs])
    if static is not None and None not in static:
        return static
    leads = [tf.shape(x)[: tf.rank(x) - len(core)] for x, core in zip(inputs, node.input_shapes)]
    batch = leads[0]
    for lead in leads[1:]:
        batch = tf.broadcast_dynamic_shape(batch, lead)
    return batch


def _computer(operation: Operation) -> Callable[[Sequence[Any], Any], list[Any]] | None:
    """Function of inputs and batch shape that computes an operation's outputs."""
    if isinstance(operation, Evaluate):
        return lambda inputs, batch: _evaluated(operation, inputs, batch)
    if isinstance(operation, Factorise):  # LinearSolve below needs none
        shape = operation.output_shapes[0]
        return lambda inputs, batch: [tf.zeros(joined(batch, shape), tf.float64)]
    if isinstance(operation, LinearSolve):
        return lambda inputs, batch: _linear_solve(operation, inputs, batch)
    if isinstance(operation, StatusOf):
        return lambda inputs, batch: [_status_in(inputs[0], len(operation.shape))]
    problem: Any = getattr(operation, "problem", None)
    if not isinstance(operation, Solve) or operation.start_given or not isinstance(problem, (Root, FixedPoint)):
        return None
    if problem.guess is not None:
        return lambda inputs, batch: _newton(problem, inputs, batch)
    bracket = getattr(problem, "bracket", None)
    if bracket is not None and not any(end.has(sp.oo, -sp.oo) for end in bracket):
        return lambda inputs, batch: _bracketed(problem, inputs, batch)
    return None


# -- explicit operations ----------------------------------------------------------------------------------------------


def _evaluated(operation: Evaluate, inputs: Sequence[Any], batch: Any) -> list[Any]:
    rows = rows_of(inputs, operation.groups, operation.input_shapes)
    values = evaluate(operation.bundle(), rows)
    first, last = operation.solution_range
    for solution in rows[first:last]:  # where the solve failed all is NaN
        values = [tf.where(tf.math.is_nan(solution), math.nan + 0 * solution, value) for value in values]
    remaining, outputs = iter(values), []
    for shape in operation.output_shapes:
        outputs.append(array_of([next(remaining) for _ in range(math.prod(shape))], shape, batch))
    return outputs


def _matrix(entries: Sequence[Any], pattern: Any, n: int, batch: Any) -> Any:
    zero = tf.zeros([], tf.float64)
    rows = [[zero] * n for _ in range(n)]
    for i, j, entry in zip(*pattern, entries):
        rows[i][j] = rows[i][j] + entry
    return array_of([entry for row in rows for entry in row], (n, n), batch)


def _linear_solve(operation: LinearSolve, inputs: Sequence[Any], batch: Any) -> list[Any]:
    equations, n = operation.equations, operation.equations.n
    n_parameters = len(operation.problem.parameter_shapes)
    *parameters, x = operation.point_groups
    shapes = [*operation.problem.parameter_shapes, (n,)]
    values = rows_of(inputs[: n_parameters + 1], [*parameters, x], shapes)
    bundle = equations.jacobian_bundle()
    entries = evaluate(bundle, [*values[-n:], *values[:-n]])
    matrix = _matrix(entries, equations.jacobian_pattern, n, batch)
    right = tf.broadcast_to(inputs[-1], joined(batch, (n,)))
    return [_solved(matrix, right, operation.transposed)]


def _solved(matrix: Any, right: Any, transposed: bool = False) -> Any:
    if right.shape[-1] == 1:
        return right / matrix[..., 0]
    return tf.linalg.solve(matrix, right[..., None], adjoint=transposed)[..., 0]


# -- solvers ----------------------------------------------------------------------------------------------------------


def _parameters(problem: Any, inputs: Sequence[Any]) -> list[Any]:
    groups = Statement(problem, problem.unknowns).group(problem)
    return rows_of(inputs, groups, problem.parameter_shapes)


def _small(step: Any, x: Any, options: Any, k: int = 0) -> Any:
    return tf.abs(step) <= options.rtol * tf.abs(x) + options.atol[k]


def _invariants(batch: Any, *cores: tuple[int, ...]) -> tuple[Any, ...]:
    """What is known of the shapes of a loop's variables."""
    known = batch if isinstance(batch, tuple) else (None,) * batch.shape[0]
    return tuple(tf.TensorShape((*known, *core)) for core in cores)


def _bracketed(problem: Any, inputs: Sequence[Any], batch: Any) -> list[Any]:
    """Root between two points where F has opposite signs; NaN where it has not, or is not found."""
    parameters, rule, options = _parameters(problem, inputs), ScalarRootRule(problem), problem.options
    residual: Bundle = rule.residual_bundle()

    def value_and_slope(x: Any) -> tuple[Any, Any]:
        f, slope, _ = evaluate(residual, [x, *parameters])
        return tf.broadcast_to(f, batch), tf.broadcast_to(slope, batch)

    ends = [tf.broadcast_to(end, batch) for end in evaluate(rule.start_bundle(), parameters)]
    low, high = tf.minimum(*ends), tf.maximum(*ends)
    f_low, f_high = value_and_slope(low)[0], value_and_slope(high)[0]
    is_valid = tf.sign(f_low) * tf.sign(f_high) <= 0  # False for NaN
    rises = tf.where(tf.equal(f_low, 0), f_high > 0, f_low < 0)

    def advance(low: Any, high: Any, x: Any, _: Any) -> tuple[Any, ...]:
        f, slope = value_and_slope(x)
        is_above = tf.equal(f > 0, rises)
        low = tf.where(is_above & tf.not_equal(f, 0), low, x)
        high = tf.where(is_above | tf.equal(f, 0), x, high)
        newton = x - f / slope
        is_inside = (newton > low) & (newton < high)
        middle = low + (high - low) / 2
        following = tf.where(tf.equal(f, 0), x, tf.where(is_inside, newton, middle))
        done = _small(following - x, x, options) | tf.equal(f, 0)
        return low, high, following, done

    start = tf.where(tf.equal(f_low, 0), low, tf.where(tf.equal(f_high, 0), high, low + (high - low) / 2))
    _, _, x, done = tf.while_loop(
        lambda low, high, x, done: tf.reduce_any(is_valid & ~done),
        advance,
        (low, high, start, tf.zeros(batch, tf.bool)),
        shape_invariants=_invariants(batch, (), (), (), ()),
        maximum_iterations=max(options.max_steps, 100),
    )
    f, slope = value_and_slope(x)
    polished = x - f / slope
    polished = tf.where((polished >= low) & (polished <= high), polished, x)
    status = tf.where(is_valid, tf.where(done, 0, Status.MAX_STEPS.code), Status.NO_SIGN_CHANGE.code)
    return [_with_status(polished, status, parameters)]


def _newton(problem: Any, inputs: Sequence[Any], batch: Any) -> list[Any]:
    """Root of a system from a guess, by Newton's method with step halving; NaN where it does not converge."""
    parameters, equations, options = _parameters(problem, inputs), equations_of(problem), problem.options
    n, bundle = equations.n, equations.residual_bundle()
    bounds = tf.constant([[float(end) for end in pair] for pair in problem.domain], tf.float64)

    def residual(x: Any) -> tuple[Any, Any]:
        values = evaluate(bundle, [*tf.unstack(x, n, axis=-1), *parameters])
        return array_of(values[:n], (n,), batch), _matrix(values[2 * n :], equations.jacobian_pattern, n, batch)

    def size(x: Any) -> Any:
        values = evaluate(bundle, [*tf.unstack(x, n, axis=-1), *parameters])[:n]
        norm = sum(tf.broadcast_to(value**2, tf.shape(x)[:-1]) for value in values)
        is_inside = tf.reduce_all((x >= bounds[:, 0]) & (x <= bounds[:, 1]), axis=-1)
        return tf.where(is_inside & tf.math.is_finite(norm), norm, math.inf + 0 * norm)

    def advance(x: Any, done: Any) -> tuple[Any, Any]:
        step = _solved(*reversed(residual(x)))
        small = [_small(step[..., k], x[..., k], options, k) for k in range(n)]
        is_last = tf.reduce_all(tf.stack(small, axis=-1), axis=-1)
        # All lengths of the step at once, along an axis in front; the first that makes the residual smaller is taken.
        lengths = tf.reshape(tf.constant([0.5**k for k in range(HALVINGS)], tf.float64), [-1] + [1] * x.shape.rank)
        candidates = x - lengths * step
        is_better = size(candidates) < size(x)
        first = tf.argmax(tf.cast(is_better, tf.int32), axis=0)
        chosen = tf.reduce_sum(
            tf.where(tf.one_hot(first, HALVINGS, True, False, axis=0)[..., None], candidates, 0.0), 0
        )
        taken = tf.where(tf.reduce_any(is_better, axis=0)[..., None], chosen, x)
        taken = tf.where(is_last[..., None], x - step, taken)
        return tf.where(done[..., None], x, taken), done | is_last

    start_values = evaluate(equations.start_bundle(), parameters)
    x, done = tf.while_loop(
        lambda x, done: tf.reduce_any(~done),
        advance,
        (array_of(start_values, (n,), batch), tf.zeros(batch, tf.bool)),
        shape_invariants=_invariants(batch, (n,), ()),
        maximum_iterations=options.max_steps,
    )
    done &= tf.math.is_finite(size(x))
    x = _with_status(x, tf.where(done, 0, Status.MAX_STEPS.code)[..., None], [p[..., None] for p in parameters])
    return [x if problem.is_vector else x[..., 0]]


# -- status -----------------------------------------------------------------------------------------------------------


def _with_status(value: Any, status: Any, parameters: Sequence[Any]) -> Any:
    """Value that is NaN where the solve failed, a NaN that carries the status, as in csrc/marked_nan.h."""
    for parameter in parameters:
        status = tf.where(tf.math.is_finite(parameter), status, Status.INVALID_INPUT.code)
    status = tf.cast(status, tf.int64)
    return tf.bitcast(tf.where(tf.equal(status, 0), tf.bitcast(value, tf.int64), MARK + status), tf.float64)


def _status_in(value: Any, n_core: int) -> Any:
    """Status that each element of a value carries: 0 for numbers."""
    bits = tf.bitcast(value, tf.int64)
    marked = tf.bitwise.bitwise_and(bits, MARKED_STATUS)
    is_marked = tf.equal(bits - marked, MARK)
    undefined = tf.cast(Status.UNDEFINED.code, tf.int64)
    status = tf.where(is_marked, marked, tf.where(tf.math.is_nan(value), undefined, tf.zeros_like(bits)))
    return tf.cast(tf.reduce_max(tf.maximum(status, 0), axis=list(range(-n_core, 0))), tf.float64)
