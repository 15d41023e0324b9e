"""What a graph with our op contains and computes: types, merging, one solve, nothing unasked."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import sympy as sp

import implicitops as iop

pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")

import theano
import theano.tensor as tt
from theano.compile.profiling import ProfileStats
from theano.graph.fg import FunctionGraph
from theano.link.c.basic import CLinker

from implicitops.backends.theano.op import SymbolicOperation
from implicitops.calculus import Solve

x, p, q = sp.symbols("x p q")


def square_root():
    return iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))


def quadratic():
    return iop.Root(p * x**2 + q * x - 1, x, [p, q], bracket=(0, 1 + 1 / q))


def line():
    """x = (b + c) / a as a function of the vector (a, b, c)."""
    a, b, c = sp.symbols("a b c")
    return iop.Root(a * sp.exp(x) - b - c, x, [(a, b, c)], bracket=(-30, 30))


def operations(function):
    """Our nodes in a compiled function, those inside scans included, as (name, inside a scan)."""
    found = []
    for node in function.maker.fgraph.toposort():
        inner = getattr(node.op, "fn", None)
        if isinstance(node.op, SymbolicOperation):
            found.append((node.op.operation, False))
        elif inner is not None:
            found.extend((operation, True) for operation, _ in operations(inner))
    return found


def solves(function):
    return [inside for operation, inside in operations(function) if isinstance(operation, Solve)]


# -- types and shapes ---------------------------------------------------------------------------------------


def test_symbolic_argument_gives_symbolic_float64_of_the_broadcast_rank():
    y = quadratic()(tt.fscalar(), tt.lmatrix())
    assert y.type == tt.dmatrix


def test_op_by_name_takes_numbers_too():
    y = square_root().op("theano")(4)
    assert y.type == tt.dscalar
    assert y.eval() == 2.0


def test_arrays_and_keywords_mix_with_variables():
    v = tt.dscalar()
    y = quadratic()(q=v, p=np.array([1.0, 2.0]))
    assert y.broadcastable == (False,)
    np.testing.assert_array_equal(y.eval({v: 3.0}), quadratic()([1.0, 2.0], 3.0))


@pytest.mark.usefixtures("linker")
def test_columns_broadcast_against_rows():
    column, row = tt.dcol(), tt.drow()
    y = quadratic()(column, row)
    assert y.broadcastable == (False, False)
    function = theano.function([column, row], [y, *theano.grad(y.sum(), [column, row])])
    a, b = np.array([[1.0], [2.0], [3.0]]), np.array([[1.0, 5.0]])
    value, by_column, by_row = function(a, b)
    solution = quadratic().solve(a, b, derivatives=1)
    np.testing.assert_array_equal(value, solution.value)
    np.testing.assert_allclose(by_column, solution.jacobian[..., 0].sum(axis=1, keepdims=True), rtol=1e-14)
    np.testing.assert_allclose(by_row, solution.jacobian[..., 1].sum(axis=0, keepdims=True), rtol=1e-14)


@pytest.mark.usefixtures("linker")
@pytest.mark.parametrize(
    "view",
    [lambda a: a.T, lambda a: a[:, ::-1], lambda a: a[::2, 1:], lambda a: a[::-1, ::-3], np.asfortranarray],
)
def test_strided_arrays_give_what_contiguous_ones_give(view):
    m, v = tt.dmatrix(), tt.dtensor3()
    scalars = theano.function([m], square_root()(m))
    vectors = theano.function([v], line()(v))
    a = np.random.default_rng(0).uniform(1, 9, (6, 9))
    np.testing.assert_array_equal(scalars(view(a)), square_root()(view(a)))
    np.testing.assert_array_equal(vectors(view(a).reshape(2, -1, 3)), line()(view(a).reshape(2, -1, 3)))
    stacked = np.moveaxis(np.stack([view(a)] * 3), 0, -1)
    np.testing.assert_array_equal(vectors(stacked), line()(stacked))


@pytest.mark.usefixtures("linker")
def test_length_one_that_its_type_does_not_announce_is_an_error():
    a, b = tt.dvector(), tt.dvector()
    function = theano.function([a, b], quadratic()(a, b))
    assert function([1.0], [2.0]).shape == (1,)
    with pytest.raises(ValueError, match=r"must broadcast; got p of shape \(1,\), q of shape \(3,\).*addbroadcast"):
        function([1.0], [1.0, 2.0, 3.0])


@pytest.mark.usefixtures("linker")
def test_vector_of_the_wrong_length_is_an_error_that_names_it():
    v = tt.dmatrix()
    function = theano.function([v], line()(v))
    with pytest.raises(ValueError, match=r"argument0: the last axis must have length 3; got .* shape \(2, 4\)"):
        function(np.ones((2, 4)))


@pytest.mark.parametrize("argument", [tt.dscalar(), tt.dcol(), 1.0])
def test_vector_that_cannot_have_the_length_is_an_error_in_the_graph(argument):
    with pytest.raises(iop.ArgumentError, match="the last axis must have length 3"):
        line().op("theano")(argument)


def test_complex_variable_is_an_error():
    with pytest.raises(iop.ArgumentError, match="p must be real"):
        square_root()(tt.zscalar())


def test_what_is_no_tensor_is_an_error():
    with pytest.raises(iop.ArgumentError, match="p must be a tensor"):
        square_root()(theano.graph.type.generic())


def test_shape_is_known_without_solving():
    m = tt.dmatrix()
    function = theano.function([m], line()(tt.stack([m, m, m], axis=-1)).shape)
    assert operations(function) == []
    assert function(np.ones((2, 5))).tolist() == [2, 5]


@pytest.mark.usefixtures("linker")
def test_result_is_not_overwritten_by_the_next_call():
    v = tt.dvector()
    function = theano.function([v], square_root()(v))
    first = function([4.0, 9.0])
    function([16.0, 25.0])
    assert first.tolist() == [2.0, 3.0]


def test_shared_variable_may_change_its_length():
    data = theano.shared(np.array([4.0]))
    function = theano.function([], square_root()(data))
    data.set_value(np.array([9.0, 16.0]))
    assert function().tolist() == [3.0, 4.0]


# -- what is computed ---------------------------------------------------------------------------------------


def test_equal_problems_share_one_node():
    v = tt.dvector()
    function = theano.function([v], square_root()(v) + square_root()(v) ** 2)
    assert len(operations(function)) == 1


def test_different_options_are_different_nodes():
    v = tt.dvector()
    other = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p), max_steps=7)
    assert len(operations(theano.function([v], square_root()(v) + other(v)))) == 2


@pytest.mark.parametrize("optimizer", ["fast_run", "fast_compile"])
def test_value_and_gradient_solve_once(optimizer):
    v = tt.dvector()
    y = square_root()(v)
    profile = ProfileStats(atexit_print=False)
    mode = theano.Mode(optimizer=optimizer)
    function = theano.function([v], [y, theano.grad(y.sum(), v)], mode=mode, profile=profile)
    value, gradient = function([4.0, 9.0])
    np.testing.assert_allclose(gradient, 0.5 / value, rtol=1e-15)
    calls = [n for (_, node), n in profile.apply_callcount.items() if isinstance(node.op, SymbolicOperation)]
    assert len(solves(function)) == 1
    assert calls == [1, 1]  # the solve and the derivative, each once


def test_value_alone_computes_no_derivative():
    v = tt.dvector()
    y = square_root()(v)
    theano.grad(y.sum(), v)
    function = theano.function([v], y)
    assert operations(function) == [(Solve(square_root()), False)]


def test_gradient_of_one_parameter_leaves_the_others_out():
    a, b = tt.dscalar(), tt.dvector()
    y = quadratic()(a, b)
    function = theano.function([a, b], theano.grad(y.sum(), a))
    shapes = [operation.output_shapes for operation, _ in operations(function)]
    assert shapes == [((),), ((),)]
    data = np.linspace(1, 2, 5)
    expected = quadratic().solve(2.0, data, derivatives=1).jacobian[:, 0].sum()
    np.testing.assert_allclose(function(2.0, data), expected, rtol=1e-14)


def test_hessian_solves_once_and_outside_its_scan():
    v = tt.dvector()
    y = quadratic()(v, 2 * v)
    function = theano.function([v], theano.gradient.hessian(y.sum(), v))
    assert solves(function) == [False]
    at = np.array([1.0, 2.0])
    second = quadratic().solve(at, 2 * at, derivatives=2).hessian
    direction = np.array([1.0, 2.0])
    expected = np.diag(np.einsum("nij,i,j->n", second, direction, direction))
    np.testing.assert_allclose(function(at), expected, rtol=1e-12)


@pytest.mark.usefixtures("linker")
def test_large_batches_go_through_the_threads_of_the_numpy_face(monkeypatch):
    from implicitops.kernels import parallel

    seen = []
    executor = parallel._executor
    monkeypatch.setattr(parallel, "_executor", lambda: seen.append(1) or executor())
    v = tt.dvector()
    function = theano.function([v], square_root()(v))
    iop.set_num_threads(2)
    try:
        function(np.ones(2 * parallel.GRAIN - 1))
        assert seen == []
        function(np.ones(2 * parallel.GRAIN))
        assert seen == [1]
    finally:
        iop.set_num_threads(None)


# -- identity -----------------------------------------------------------------------------------------------


def test_pickled_op_equals_the_original():
    op = SymbolicOperation(Solve(quadratic()).vjp().steps[0].operation)
    other = pickle.loads(pickle.dumps(op))
    assert other == op
    assert hash(other) == hash(op)
    assert op != SymbolicOperation(Solve(quadratic()))


def test_nodes_with_as_many_inputs_and_outputs_share_one_compiled_module():
    def source(problem, v):
        return CLinker().accept(FunctionGraph([v], [problem(v)])).get_src_code()

    expected = source(square_root(), tt.dscalar())
    assert source(line(), tt.dmatrix()) == expected
    assert source(iop.Root([x - p, q - x], [x, q], [p], guess=(1, 1)), tt.drow()) == expected


def test_graph_prints_the_statement():
    assert "Root(p*x**2" in theano.printing.debugprint(quadratic()(tt.dscalar(), 1.0), file="str")


class TestMissingAndBadNumbers:
    MASKED = np.ma.array([1.0, -99.0, 3.0], mask=[False, True, False])

    @pytest.mark.parametrize("linker", ["c", "py"])
    def test_masked_numbers_are_nan(self, linker):
        root = iop.Root(x - p - q, x, [p, q], bracket=(-1000, 1000))
        v, mode = tt.dvector("v"), theano.Mode(linker=linker)
        symbolic = {"masked": self.MASKED, "constant": tt.constant(self.MASKED), "list": list(self.MASKED)}
        outputs = [root(v, argument) for argument in symbolic.values()]
        outputs += root.op("theano", status=True)(v, 1.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", iop.SolveWarning)
            constants = theano.function([v], outputs[:3], mode=mode)(np.ones(3))
            given, code = theano.function([v], outputs[3:], mode=mode)(self.MASKED)
        for value in (*constants, given):
            np.testing.assert_array_equal(value, [2.0, np.nan, 4.0])
        assert [iop.Status.from_code(c) for c in code] == [
            iop.Status.CONVERGED,
            iop.Status.INVALID_INPUT,
            iop.Status.CONVERGED,
        ]

    @pytest.mark.parametrize(
        ("argument", "words"),
        [
            (None, "p must be real numbers; got None"),
            ([[1.0, 2.0], [3.0]], "p must be real numbers; got a list of 2 items of lengths 2, 1"),
            ("1.5", "p must be real numbers; got text"),
            (1j, "p must be real numbers; .*real part"),
            (np.array([1.0, None], dtype=object), "got None of type NoneType at index 1"),
        ],
    )
    def test_text_says_what_it_is(self, argument, words):
        root = iop.Root(x - p - q, x, [p, q], bracket=(-1000, 1000))
        with pytest.raises(iop.ArgumentError, match=words):
            root(argument, tt.dscalar())
        with pytest.raises(iop.ArgumentError, match=words):
            root.op("theano")(argument, 1.0)
