"""What an integral may look like, how it is called, and what is said of one that is wrong."""

import pickle

import numpy as np
import pytest
import sympy as sp

import implicitops as iop
from implicitops.calculus.rules import is_propagated

x, y, z, a, b, c = sp.symbols("x y z a b c")
p0, p1, p2 = sp.symbols("p_0:3")
f = sp.Function("f")


def bell(**changes):
    fields = {"integrand": sp.exp(-a * x**2), "limits": (x, 0, b), "params": [a, b]}
    return iop.Integral(**{**fields, **changes})


class TestTheStatement:
    def test_an_expression_gives_a_scalar_and_a_sequence_a_vector(self):
        assert bell().output_shape == ()
        assert bell(integrand=[x, a * x]).output_shape == (2,)
        assert bell(integrand=sp.Matrix([x])).output_shape == (1,)

    def test_numbers_become_expressions(self):
        problem = bell(integrand=2, limits=(x, 0.5, 1), breakpoints=[0.75])
        assert problem.integrands == (sp.Integer(2),)
        assert problem.limits == ((sp.Float(0.5), sp.Integer(1)),)
        assert problem.breakpoints == (sp.Float(0.75),)

    def test_limits_may_be_infinite(self):
        assert bell(limits=(x, -sp.oo, sp.oo)).limits == ((-sp.oo, sp.oo),)
        assert bell(limits=(x, 0, np.inf)).limits == ((0, sp.oo),)

    def test_a_sympy_integral_brings_its_limits(self):
        assert iop.Integral(sp.Integral(sp.exp(-a * x**2), (x, 0, b)), [a, b]) == bell()
        assert iop.Integral(sp.Integral(sp.exp(-a * x**2), (x, 0, b)), params=[a, b]) == bell()
        nested = iop.Integral(sp.Integral(x * y, (x, 0, y), (y, 0, a)), [a])
        assert nested.variables == (x, y)
        assert nested == iop.Integral(x * y, [(x, 0, y), (y, 0, a)], [a])

    def test_the_arguments_of_a_call_are_the_parameters(self):
        problem = bell(params=[a, b, (p0, p1, p2)])
        assert problem.argument_names == ("a", "b", "p")
        assert problem.argument_shapes == ((), (), (3,))

    def test_tolerances_are_one_for_each_integrand(self):
        assert bell().options.atol == (0.0,)
        assert bell(integrand=[x, a], atol=[1e-6, 0.0]).options.atol == (1e-6, 0.0)

    @pytest.mark.parametrize("method", ["auto", "gauss_kronrod", "double_exponential"])
    def test_methods_have_names(self, method):
        assert bell(method=method).options.method == method

    def test_derivatives_are_computed_with_the_value(self):
        assert is_propagated(bell())

    def test_repr_names_the_parts(self):
        assert repr(bell()) == "Integral(exp(-a*x**2), (x, 0, b), [a, b])"
        text = repr(iop.Integral([x, y], [(x, 0, y), (y, 0, a)], [a]))
        assert text == "Integral([x, y], [(x, 0, y), (y, 0, a)], [a])"
        assert repr(bell(breakpoints=[b / 2])).endswith("breakpoints=[b/2])")


class TestIdentity:
    @pytest.mark.parametrize(
        "changes",
        [
            {"integrand": sp.exp(-a * x)},
            {"integrand": [sp.exp(-a * x**2)]},
            {"limits": (x, 0, 2 * b)},
            {"params": [b, a]},
            {"breakpoints": [b / 2]},
        ],
        ids=str,
    )
    def test_whatever_changes_the_integral_changes_both_keys(self, changes):
        assert bell(**changes) != bell()
        assert bell(**changes).equation_key != bell().equation_key
        assert bell(**changes).key != bell().key

    @pytest.mark.parametrize("changes", [{"method": "gauss_kronrod"}, {"rtol": 1e-6}, {"max_steps": 9}], ids=str)
    def test_options_leave_the_integral_alone(self, changes):
        assert bell(**changes) != bell()
        assert bell(**changes).equation_key == bell().equation_key
        assert bell(**changes).key != bell().key

    def test_equal_statements_are_equal_and_hash_alike(self):
        assert bell() == bell(limits=[(x, 0, b)])
        assert hash(bell()) == hash(bell(breakpoints=[]))

    def test_pickling_keeps_everything(self):
        problem = bell(breakpoints=[b / 2], rtol=1e-6)
        again = pickle.loads(pickle.dumps(problem))
        assert again == problem
        assert again.key == problem.key

    def test_fields_are_frozen(self):
        with pytest.raises(AttributeError):
            bell().limits = ()


BAD = [
    ({"limits": None}, "needs an integrand, limits and params"),
    ({"params": None}, "needs an integrand, limits and params"),
    ({"params": []}, "params is empty"),
    ({"integrand": []}, "the integrand is empty"),
    ({"integrand": "x"}, "got the string"),
    ({"integrand": sp.Eq(x, a)}, "got the equation"),
    ({"integrand": x > a}, "got the condition"),
    ({"integrand": sp.I * x}, "must be real"),
    ({"integrand": c * x}, "c, which is neither a variable of integration nor a parameter"),
    ({"integrand": f(x)}, r"f\(x\), which has no value here"),
    ({"integrand": 1 + sp.Integral(x * y, (y, 0, 1))}, "an integral inside an integral becomes a further triple"),
    ({"integrand": sp.DiracDelta(x)}, "DiracDelta"),
    ({"integrand": x * sp.nan}, "must be a real number"),
    ({"integrand": sp.Symbol("x", positive=True)}, "with other assumptions"),
    ({"limits": x}, r"limits must be \(variable, lower, upper\)"),
    ({"limits": (x,)}, "which has 1 items"),
    ({"limits": (x, 0)}, "which has 2 items"),
    ({"limits": (1, 0, 1)}, "the variable of integration must be a SymPy Symbol"),
    ({"limits": (a, 0, 1)}, "a is both the variable of integration and a parameter"),
    ({"limits": [(x, 0, 1), (x, 0, 2)]}, "listed twice"),
    ({"limits": (x, 0, x)}, "a limit of x contains x itself"),
    ({"limits": (x, 0, c)}, "a limit of x contains c, which is not a parameter"),
    ({"limits": (x, 0, sp.I)}, "must be real"),
    ({"limits": (x, 0, sp.nan)}, "must be a real number"),
    ({"limits": (x, sp.oo, sp.oo)}, "both limits of x are oo"),
    ({"limits": (x, -sp.oo, -sp.oo)}, "both limits of x are -oo"),
    ({"limits": (x, 0, b * sp.oo)}, "must be finite, oo or -oo"),
    ({"limits": [(y, 0, x), (x, 0, y)]}, "depends on y, which is integrated before it"),
    ({"breakpoints": b}, "breakpoints must be a sequence"),
    ({"breakpoints": [x]}, "contains the variable of integration"),
    ({"breakpoints": [c]}, "a break point contains c"),
    ({"breakpoints": [sp.oo]}, "a break point must be finite"),
    ({"limits": [(x, 0, 1), (y, 0, 1)], "breakpoints": [b]}, "breakpoints belong to one variable"),
    ({"method": "simpson"}, "method must be one of"),
    ({"rtol": 0.0}, "rtol and atol cannot both be 0"),
    ({"atol": [0.0, 0.0]}, "atol must be a number or one for each"),
    ({"max_steps": 0}, "max_steps must be a positive integer"),
    ({"on_failure": "ignore"}, "on_failure must be"),
]


class TestBadStatements:
    @pytest.mark.parametrize(("changes", "message"), BAD, ids=[message for _, message in BAD])
    def test_error_says_what_to_do(self, changes, message):
        with pytest.raises(iop.ProblemError, match=message):
            bell(**changes)

    def test_a_sympy_integral_with_other_limits_is_refused(self):
        with pytest.raises(iop.ProblemError, match="already has limits"):
            iop.Integral(sp.Integral(a * x, (x, 0, 1)), (x, 0, 2), [a])

    def test_an_indefinite_integral_is_refused(self):
        with pytest.raises(iop.ProblemError, match="no lower or no upper limit"):
            iop.Integral(sp.Integral(a * x, x), [a])

    def test_missing_arguments_are_named(self):
        with pytest.raises(iop.ArgumentError, match="missing b"):
            bell()(1.0)
