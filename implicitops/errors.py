"""Every exception and warning of implicitops: what it means and what to do. What raises them lives elsewhere.

All are importable from the top: ``implicitops.SolveError``. Errors share the base :class:`ImplicitopsError`, warnings
:class:`ImplicitopsWarning`, and each is also of the built-in kind that fits it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import sympy as sp
from sympy.core.function import AppliedUndef

if TYPE_CHECKING:
    from implicitops.status import Solution
    from implicitops.verify.report import Report

__all__ = [
    "ArgumentError",
    "BackendError",
    "BackendWarning",
    "CacheWarning",
    "CallTimeoutError",
    "CorruptArtifactError",
    "DerivativeError",
    "DifferentiabilityError",
    "ExecutorWarning",
    "GradientMismatchError",
    "ImplicitopsError",
    "ImplicitopsWarning",
    "InitialEnergyError",
    "KinkError",
    "LostResultError",
    "ModelChangedError",
    "NoReferenceError",
    "NoResultError",
    "NotAvailableError",
    "NotRealError",
    "ProblemError",
    "ProcessError",
    "SolveError",
    "SolveWarning",
    "TooManySteps",
    "TransferError",
    "TranslationError",
    "UncertainDifferencesError",
    "UnsupportedDerivativeError",
    "UnsupportedExpressionError",
    "WorkerTraceback",
    "WrongResultError",
]


class ImplicitopsError(Exception):
    """Base class of every error that implicitops raises on purpose.

    Catch it to tell errors of implicitops from all others.
    """

    # What AutoGraph looks for before it raises an error of a tf.function again, with the user's own line in its text.
    __init__ = Exception.__init__


class ImplicitopsWarning(Warning):
    """Base class of every warning of implicitops.

    ``warnings.simplefilter("error", implicitops.ImplicitopsWarning)`` turns all of them into errors.
    """


# -- statements, calls and solves --------------------------------------------------------------------------------------


class ProblemError(ImplicitopsError, ValueError):
    """A problem's statement is not one that can be solved.

    The text says what was expected, what came and how to state it. It is raised while the problem is made, before any
    solve.
    """


class ArgumentError(ImplicitopsError, TypeError, ValueError):
    """An argument of a call has the wrong number, name, shape or type.

    The text names the first argument that is wrong, its value, and what is taken in its place.
    """


class NotRealError(ImplicitopsError, ValueError):
    """What was given is no array of real numbers.

    Calls raise it again as :class:`ArgumentError`, with the argument's name. The text says what was given and how to
    convert it.
    """


class SolveError(ImplicitopsError, ArithmeticError):
    """A solve failed outside a graph; carries the whole :class:`Solution`.

    ``solution.status`` says of each batch element why. Follow the advice in the text, or state the problem with
    ``on_failure="nan"`` to get NaN in place of the error. Of an :class:`External` the ``__cause__`` is what the user's
    code raised.

    Parameters
    ----------
    message : str
    solution : Solution, with NaN where the solve failed
    """

    def __init__(self, message: str, solution: Solution | None = None) -> None:
        super().__init__(message)
        self.solution = solution


class SolveWarning(ImplicitopsWarning, RuntimeWarning):
    """A solve failed inside a graph, where it became NaN.

    It is issued once for each problem; :func:`failures` counts the rest. A few failures while a sampler warms up do no
    harm; many mean that the bracket, the guess or the prior should be narrower.
    """


# -- expressions and derivatives ---------------------------------------------------------------------------------------

_SUPPORTED = "docs/functions.md lists what is supported"

_ADVICE: dict[type, str] = {
    AppliedUndef: "Give the function a definition, or make it an input symbol.",
    sp.hyper: "Expand it with sympy.hyperexpand, or state the integral or ODE that defines it.",
    sp.meijerg: "Expand it with sympy.hyperexpand, or state the integral or ODE that defines it.",
    sp.Integral: "SymPy finds no closed form of it: state it as an implicitops.Integral, with its value as input.",
    sp.Sum: "With whole numbers as limits it may have 1000 terms; with others SymPy must find its closed form.",
    sp.Product: "With whole numbers as limits it may have 1000 factors; with others SymPy must find its closed form.",
    sp.Derivative: "It can be taken with respect to Symbols only, of functions whose derivative is known.",
    sp.Subs: "It stands for a derivative that SymPy cannot take; write the derivative out.",
}


def _advice(node: Any) -> str:
    known = (_ADVICE[kind] for kind in type(node).__mro__ if kind in _ADVICE)
    return next(known, f"Rewrite it with supported functions ({_SUPPORTED}).")


def shortened(expression: Any, length: int = 200) -> str:
    """An expression as a text that fits into an error message."""
    text = str(expression)
    return text if len(text) <= length else text[: length - 1] + "…"


class UnsupportedExpressionError(ProblemError, NotImplementedError):
    """An expression contains something that has no real-valued machine code.

    Rewrite what the text names with the functions of the table of functions, make it a parameter, or wrap existing
    code as an :class:`External`.

    Parameters
    ----------
    node : what is not supported
    within : the smallest expression around it that says where it is
    advice : what to do about it
    """

    def __init__(self, node: Any, within: Any = None, advice: str = "") -> None:
        self.node = node
        self.within = within
        self.advice = advice or _advice(node)
        # Theano puts a text of its own before the arguments of an exception.
        self._given: tuple[Any, ...] = (node, within, advice)
        super().__init__(*self._given)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._given

    def rewritten(self, rewrite: Callable[[Any], Any]) -> UnsupportedExpressionError:
        """The same error in other Symbols, such as the user's instead of those of the generated code."""
        return type(self)(*(rewrite(item) if isinstance(item, sp.Basic) else item for item in self._given))

    def __str__(self) -> str:
        kind = type(self.node).__name__
        where = f" in {shortened(self.within)}" if self.within is not None and self.within != self.node else ""
        return (
            "Expected an expression of real numbers and supported functions; "
            f"got {kind} {shortened(self.node)}{where}. {self.advice}"
        )


class UnsupportedDerivativeError(UnsupportedExpressionError):
    """A derivative is asked for with respect to an argument in which a function has none that is known.

    Values need none: call without derivatives, or keep that argument constant.

    Parameters
    ----------
    node : the function with its arguments
    position : int, which of its arguments, from 0
    advice : what to do about it
    """

    def __init__(self, node: Any, position: int, advice: str = "") -> None:
        super().__init__(node, position, advice)

    def __str__(self) -> str:
        argument = self.node.args[self.within]
        symbols = ", ".join(sorted(map(str, argument.free_symbols)))
        return (
            f"The derivative of {shortened(self.node)} with respect to its argument {shortened(argument)} is not "
            f"known, and a derivative with respect to {symbols} needs it. {self.advice} Values alone need none: "
            "solve(..., derivatives=0), or a graph without a gradient."
        )


class DerivativeError(ProblemError, NotImplementedError):
    """A derivative of this order is not available: the third one of an ODE, say.

    Use a lower order, or give existing code the derivative that the text says is missing.
    """


class DifferentiabilityError(ProblemError):
    """A derivative was asked for that does not exist everywhere or would come out wrong.

    A jump whose time or place is not known beforehand makes one, for instance. Rewrite the condition as the text says,
    or take values alone.
    """


# -- existing code, which External calls -------------------------------------------------------------------------------


class WrongResultError(ImplicitopsError, TypeError):
    """Existing code returned something else than was stated.

    Let the function return real numbers of the shape in the text, or state that shape in :class:`External`.
    """


class NoResultError(ImplicitopsError, ArithmeticError):
    """Existing code returned NaN.

    Parameters are outside what the code can do; keep them inside, or let it raise an error that says why.
    """


class UncertainDifferencesError(ImplicitopsError, ArithmeticError):
    """Finite differences of existing code do not settle on a derivative.

    Pass ``step=``, a distance over which the function is smooth and changes by much more than its noise, or
    ``jacobian=``.
    """


class CallTimeoutError(ImplicitopsError, TimeoutError):
    """Existing code did not return in time.

    Give it a longer ``timeout=``, or keep the parameters away from where it is slow.
    """


class LostResultError(ImplicitopsError, RuntimeError):
    """The worker that had a call did not return its result.

    Its ``__cause__`` is what the executor reports, mostly that the process died: look for its last output and for a
    lack of memory.
    """


class TransferError(ImplicitopsError, TypeError):
    """A function cannot be sent to a worker.

    Define it with ``def`` at the top level of a module that workers can import, or use an executor of threads.
    """


class WorkerTraceback(ImplicitopsError):
    """Where an exception was raised in another process.

    It is the ``__cause__`` of that exception and holds its traceback as text.
    """


class ExecutorWarning(ImplicitopsWarning, RuntimeWarning):
    """Existing code is called in this process, one call after the other, although an executor was given.

    The text says why. Results are right; pass a callable that makes the executor to have them sooner.
    """


# -- frameworks, sampling and the disk ---------------------------------------------------------------------------------


class BackendError(ImplicitopsError, ImportError):
    """A backend that was asked for is not installed.

    Install what the text names, or choose the other backend.
    """


class BackendWarning(ImplicitopsWarning, UserWarning):
    """TensorFlow works, but not as well as it could: what is missing, and what it costs.

    Install implicitops where there is a C compiler, against the TensorFlow that is used.
    """


class TranslationError(ImplicitopsError, NotImplementedError):
    """A part of a Theano graph has no translation to TensorFlow.

    The text names it. Register a translation with :func:`sampling.translation.register`, or sample on Theano.
    """


class InitialEnergyError(ImplicitopsError, ValueError):
    """The log density is not finite where a chain should start.

    The text names the variables whose terms are not finite. Give them start values with ``initvals=``, or a prior that
    excludes such points.
    """


class ModelChangedError(ImplicitopsError, RuntimeError):
    """A model got other variables after its density had been compiled.

    Make the density again, after the last variable.
    """


class ProcessError(ImplicitopsError, RuntimeError):
    """A function on TensorFlow was called in a process that was forked from the one that made it.

    TensorFlow's threads do not survive a fork: sample with ``cores=1``, or make the function in the new process.
    """


class CacheWarning(ImplicitopsWarning, RuntimeWarning):
    """The cache of compiled code cannot be used, so that everything is compiled again in each process.

    Set ``IMPLICITOPS_CACHE_DIR`` to a folder that only you can write to.
    """


class CorruptArtifactError(ImplicitopsError, ValueError):
    """Bytes that are not compiled code, or no longer.

    Nothing has to be done: the cache throws the file away and compiles anew.
    """


# -- gradient checks ---------------------------------------------------------------------------------------------------


class GradientMismatchError(ImplicitopsError, AssertionError):
    """A value or a derivative differs from its reference by more than rounding can explain.

    ``report`` lists all checks. Where the failure follows from the statement, a kink or a loose tolerance, the report's
    line says so; else the derivative is wrong.

    Parameters
    ----------
    message : str
    report : Report
    """

    def __init__(self, message: str, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report


class NoReferenceError(ImplicitopsError, ArithmeticError):
    """There is no true value to compare with: no root near, or no derivative.

    :func:`verify_grad` makes it a line of its report. Check at another point, or pass ``reference=``.
    """


class KinkError(ImplicitopsError, ArithmeticError):
    """One-sided derivatives differ: there is no derivative to compare with.

    :func:`verify_grad` makes it a line of its report. Check on either side of the kink.
    """


class NotAvailableError(ImplicitopsError, NotImplementedError):
    """A backend or an op has no such product of derivatives.

    :func:`verify_grad` makes it a line of its report that says which part is missing; the other checks count.
    """


class TooManySteps(ImplicitopsError, ArithmeticError):
    """The reference of an ODE needs too many steps: the problem is stiff, not smooth, or long.

    :func:`verify_grad` makes it a line of its report. Check a shorter time, or pass ``reference=``.
    """
