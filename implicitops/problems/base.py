"""The base class of all problems: parameters, options, a content hash, and the call. No numerics lives here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias, TypeVar

import sympy as sp

from implicitops.errors import ArgumentError, ProblemError
from implicitops.problems.validation import did_you_mean, require_distinct, require_symbol
from implicitops.status import Solution
from implicitops.tables import latex_rows

Value = TypeVar("Value")
Parameter: TypeAlias = sp.Symbol | tuple[sp.Symbol, ...]

#: Stands for the shortcuts of a problem that has none: no backend has left one for any type of argument.
_NONE: Mapping[type, Callable[[tuple[Any, ...]], Any]] = {}

#: Length of an axis in a shape that each call chooses, such as the number of output times of an ODE.
FREE = -1


@dataclass(frozen=True)
class Options:
    """Options that all problems share.

    Parameters
    ----------
    method : str, name of the method, or "auto"
    rtol : float, tolerance of the last step relative to the unknown
    atol : tuple of float, its absolute tolerance for each unknown
    max_steps : int, limit of iterations per solve
    on_failure : "raise" or "nan", what a failed solve does outside a graph
    """

    method: str = "auto"
    rtol: float = 1e-8
    atol: tuple[float, ...] = (0.0,)
    max_steps: int = 200
    on_failure: str = "raise"

    @classmethod
    def checked(
        cls,
        methods: Sequence[str],
        n_unknowns: int,
        method: Any,
        rtol: Any,
        atol: Any,
        max_steps: Any,
        on_failure: Any,
        kind: str = "unknowns",
    ) -> Options:
        """Options from what a user gave, or ProblemError for a value that no solver can work with."""
        if method not in methods:
            raise ProblemError(
                f"method must be one of {', '.join(map(repr, methods))}; got {method!r}."
                f"{did_you_mean(str(method), methods)}"
            )
        _require_tolerance("rtol", rtol)
        tolerances = tuple(atol) if isinstance(atol, (list, tuple)) else (atol,) * n_unknowns
        for value in tolerances:
            _require_tolerance("atol", value)
        if len(tolerances) != n_unknowns:
            raise ProblemError(f"atol must be a number or one for each of {n_unknowns} {kind}; got {atol!r}.")
        if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 1:
            raise ProblemError(f"max_steps must be a positive integer; got {max_steps!r}.")
        if on_failure not in ("raise", "nan"):
            raise ProblemError(f"on_failure must be 'raise' or 'nan'; got {on_failure!r}.")
        return cls(method, float(rtol), tuple(map(float, tolerances)), max_steps, on_failure)


def _require_tolerance(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e300:
        raise ProblemError(f"{name} must be a non-negative finite number; got {value!r}.")


@dataclass(frozen=True)
class Faces:
    """What makes a statement callable. Problems are data: implicitops.backends, which stands above, gives them these.

    Parameters
    ----------
    apply : callable (problem, arguments, *, start_given), solves in the framework that the arguments belong to
    solve : callable (problem, arguments, *, derivatives, throw, start_given), returns a Solution
    backend_named : callable (name), returns a module with ``apply`` of its own
    """

    apply: Callable[..., Any]
    solve: Callable[..., Solution]
    backend_named: Callable[[str], Any]


_given_faces: Faces | None = None


def give_faces(faces: Faces) -> None:
    """Let all problems be called through these."""
    global _given_faces
    _given_faces = faces


def _faces() -> Faces:
    if _given_faces is None:
        raise RuntimeError(
            "a problem can be called once implicitops.backends has given it its faces; that module has not been "
            "imported. Import implicitops, which does so."
        )
    return _given_faces


class Problem:
    """Statement of an implicit function: frozen, hashable by content, picklable.

    Subclasses are frozen dataclasses with at least ``params``, a tuple whose items are a Symbol (one
    scalar argument) or a tuple of Symbols (one vector argument), and ``options``.
    """

    params: tuple[Parameter, ...]
    options: Options

    #: Whether a solve calls code of the user's, which may be slow and should not be called without need.
    calls_existing_code: ClassVar[bool] = False

    #: By this attribute TensorFlow's AutoGraph knows a callable whose source it must not rewrite.
    autograph_info__: ClassVar[Mapping[str, Any]] = {}

    @property
    def parameter_symbols(self) -> tuple[sp.Symbol, ...]:
        """All parameter Symbols, flattened in the order in which derivatives are taken."""
        flat = (s for item in self.params for s in (item if isinstance(item, tuple) else (item,)))
        return self._cached("_parameter_symbols", lambda: tuple(flat))

    @property
    def parameter_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Trailing shape of each argument: () for a Symbol, (k,) for a tuple of k Symbols."""
        shapes = ((len(item),) if isinstance(item, tuple) else () for item in self.params)
        return self._cached("_parameter_shapes", lambda: tuple(shapes))

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Keyword of each argument: the Symbol's name, or the common stem of a vector's Symbols."""
        names = (_argument_name(item, i) for i, item in enumerate(self.params))
        return self._cached("_parameter_names", lambda: tuple(names))

    @property
    def argument_names(self) -> tuple[str, ...]:
        """Names of all that a call takes, in the order of :meth:`bind`: the parameters, and more for some problems."""
        return self.parameter_names

    @property
    def argument_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Trailing shape of each of ``argument_names``; ``FREE`` stands for a length that the call chooses."""
        return self.parameter_shapes

    @property
    def is_thread_safe(self) -> bool:
        """Whether several threads of this process may solve it at a time."""
        return True

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Trailing shape of the answer: () for a scalar unknown, (n,) for a vector, (FREE, n) for an ODE."""
        raise NotImplementedError

    @property
    def equation_key(self) -> str:
        """Content hash of the expressions alone; problems that differ in start and options share it."""
        return self._cached_hash("_equation_key", self._equation)

    @property
    def key(self) -> str:
        """Content hash of the whole statement: equal for equal problems, in every process."""
        return self._cached_hash("_key", lambda: f"{self.equation_key}|{self._content()}")

    def _cached_hash(self, attribute: str, content: Callable[[], str]) -> str:
        def digest() -> str:
            return hashlib.sha256(f"{type(self).__name__}|{content()}".encode()).hexdigest()[:32]

        return self._cached(attribute, digest)

    def _cached(self, attribute: str, make: Callable[[], Value]) -> Value:
        """Underscored attribute, made when it is first asked for: a call should not spell its names again."""
        if attribute not in self.__dict__:
            object.__setattr__(self, attribute, make())
        value: Value = self.__dict__[attribute]
        return value

    def _equation(self) -> str:
        raise NotImplementedError

    def _content(self) -> str:
        raise NotImplementedError

    def _formulas(self) -> Sequence[str]:
        """Rows of LaTeX, each with one ``&``; none where the statement is no formula."""
        return ()

    def _repr_latex_(self) -> str | None:
        """Show the statement as a formula in notebooks, which take the ``repr`` of what has none."""
        rows = self._formulas()
        return latex_rows(rows) if rows else None

    def __getstate__(self) -> dict[str, Any]:
        # Caches (underscored) hold compiled code and are made again where the pickle is opened.
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Solve for given parameters, in the framework that the arguments belong to.

        Parameters
        ----------
        *args : the parameters in the order of ``params``: numbers, arrays, or symbolic variables of one
            framework. Leading axes broadcast as in NumPy; a vector parameter's last axis has its length
        **kwargs : parameters by name; an ODE's output times are always given by name, as ``times=``. Start values,
            ``guess=`` or ``bracket=``, replace the statement's own for this call; they broadcast with the parameters,
            and the derivative with respect to them is 0

        Returns
        -------
        float64 scalar or ndarray of the broadcast batch shape followed by ``output_shape``, or a symbolic
        variable of the arguments' framework

        Raises
        ------
        ArgumentError : wrong number, name, shape or type of an argument, or two frameworks at once
        SolveError : a solve failed and ``on_failure`` is "raise" (NumPy only; a graph returns NaN)
        """
        if args and not kwargs:
            # What a backend has left here for the next call with plain arguments; None: take the long way.
            shortcut = self.__dict__.get("_shortcuts", _NONE).get(type(args[0]))
            if shortcut is not None:
                value = shortcut(args)
                if value is not None:
                    return value
        problem, arguments, start_given = self.bind_all(args, kwargs)
        return _faces().apply(problem, arguments, start_given=start_given)

    def solve(self, /, *args: Any, derivatives: int = 0, throw: bool = True, **kwargs: Any) -> Solution:
        """Solve for given parameters with NumPy and return everything that is known of the answer.

        Parameters
        ----------
        *args, **kwargs : the parameters, by position or by name, and start values, as in a call
        derivatives : 0, 1 or 2, the highest order of derivative that is returned
        throw : bool, raise SolveError if any solve failed

        Returns
        -------
        Solution

        Raises
        ------
        ArgumentError : wrong number, name, shape or type of an argument
        SolveError : a solve failed and ``throw`` is true
        """
        problem, arguments, start_given = self.bind_all(args, kwargs)
        return _faces().solve(problem, arguments, derivatives=derivatives, throw=throw, start_given=start_given)

    def op(self, backend: str, *, status: bool = False) -> Any:
        """Function of the parameters that always makes an op of one framework.

        Parameters
        ----------
        backend : str, "numpy", "theano" or "tensorflow"
        status : bool, return why each solve ended too; nothing is then raised for a solve that failed

        Returns
        -------
        callable with the signature of the problem itself; with ``status`` it returns the pair of the value and an
        int32 of the batch shape, the :attr:`Status.code` of each solve, from the same solve

        Raises
        ------
        ArgumentError : there is no such backend

        Examples
        --------
        >>> import sympy as sp, implicitops as iop
        >>> x, p = sp.symbols("x p")
        >>> square_root = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p)).op("numpy")
        >>> float(square_root(4.0))
        2.0
        >>> value, code = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p)).op("numpy", status=True)([4.0, -0.5])
        >>> [iop.Status.from_code(k) for k in code]
        [Status.CONVERGED, Status.NO_SIGN_CHANGE]
        """
        module = _faces().backend_named(backend)

        def call(*args: Any, **kwargs: Any) -> Any:
            problem, arguments, start_given = self.bind_all(args, kwargs)
            return module.apply(problem, arguments, status=status, start_given=start_given)

        return call

    #: Keywords of a call that replace the statement's start values.
    start_names: tuple[str, ...] = ()

    def with_start(self, *, guess: Any = None, bracket: Any = None) -> tuple[Problem, tuple[Any, ...]]:
        """Same problem whose start values are trailing arguments, and those arguments."""
        raise ArgumentError(f"{type(self).__name__} has no start values to override.")

    @property
    def start_argument_names(self) -> tuple[str, ...]:
        """Names of the trailing arguments that :meth:`with_start` makes of start values."""
        return ()

    def bind_all(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Problem, tuple[Any, ...], bool]:
        """Problem and all arguments of a call, start values included if there are any, and whether there are.

        A parameter that has the name of a start value takes precedence.
        """
        names = kwargs and [n for n in kwargs if n in self.start_names and n not in self.parameter_names]
        if not names:
            return self, self.bind(args, kwargs), False
        arguments = self.bind(args, {name: value for name, value in kwargs.items() if name not in names})
        problem, start = self.with_start(**{name: kwargs[name] for name in names})
        return problem, (*arguments, *start), True

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Order the arguments of a call as ``argument_names``, or say which is missing, unknown or given twice."""
        names = self.__dict__.get("_parameter_names") or self.parameter_names
        if len(args) == len(names) and not kwargs:
            return args
        if len(args) > len(names):
            raise ArgumentError(
                f"{type(self).__name__} expects {len(names)} parameter(s) ({', '.join(names)}); "
                f"got {len(args)} positional arguments."
            )
        bound = dict(zip(names, args))
        for name, value in kwargs.items():
            if name not in names:
                known = (*self.argument_names, *self.start_names)
                also = f", the start values {', '.join(self.start_names)}" if self.start_names else ""
                raise ArgumentError(
                    f"unknown keyword {name!r}: the parameters are {', '.join(self.argument_names)}{also}."
                    f"{did_you_mean(name, known)}"
                )
            if name in bound:
                raise ArgumentError(f"parameter {name!r} is given twice, by position and by name.")
            bound[name] = value
        missing = [name for name in names if name not in bound]
        if missing:
            raise ArgumentError(
                f"{type(self).__name__} expects {len(names)} parameter(s) ({', '.join(names)}); "
                f"missing {', '.join(missing)}."
            )
        return tuple(bound[name] for name in names)

    def replaced(self, **fields: Any) -> Self:
        """Copy with other values of some fields, which are not validated again.

        Raises
        ------
        TypeError : there is no such field
        """
        state, other = self.__getstate__(), object.__new__(type(self))
        for name in fields:
            if name not in state:
                raise TypeError(f"{type(self).__name__} has the fields {', '.join(state)}; got {name!r}.")
        other.__setstate__(state)
        other._set(**fields)
        return other

    def _set(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)


def _argument_name(item: Parameter, position: int) -> str:
    if isinstance(item, sp.Symbol):
        return item.name
    stems = {re.sub(r"_?\d+$", "", symbol.name) for symbol in item}
    stem = stems.pop() if len(stems) == 1 else ""
    return stem if stem.isidentifier() else f"argument{position}"


def as_parameters(params: Any) -> tuple[Parameter, ...]:
    """Validate ``params``: a sequence whose items are Symbols or tuples of Symbols, all different."""
    if isinstance(params, sp.Symbol):
        params = (params,)
    is_list = isinstance(params, Iterable) and not isinstance(params, (str, bytes))
    if not is_list or getattr(params, "ndim", 1) == 0:
        raise ProblemError(f"params must be a sequence of Symbols (or tuples of Symbols); got {params!r}.")
    items: list[Parameter] = []
    for item in params:
        symbols = tuple(item) if isinstance(item, (tuple, list, sp.Tuple)) else (item,)
        for symbol in symbols:
            require_symbol(symbol, "each parameter")
        if not symbols:
            raise ProblemError("a vector parameter needs at least one Symbol; got an empty tuple.")
        items.append(symbols if isinstance(item, (tuple, list, sp.Tuple)) else item)
    if not items:
        raise ProblemError(
            "params is empty: an implicit function needs at least one parameter. "
            "Solve an equation without parameters once and use the number."
        )
    flat = [s for item in items for s in (item if isinstance(item, tuple) else (item,))]
    require_distinct(flat, "parameter")
    names = [_argument_name(item, i) for i, item in enumerate(items)]
    if len(set(names)) < len(names):
        raise ProblemError(f"two arguments have the same name: {', '.join(names)}. Rename the Symbols of one.")
    return tuple(items)
