"""What is taken for real numbers, everywhere: arrays and numbers as float64, NaN where one is missing, or why not.

A number is missing where an array is masked or a pandas column of a nullable type has NA. Nothing else becomes NaN, and
nothing becomes a number that is none.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from implicitops.errors import NotRealError

#: Types of plain numbers, of which a flat list becomes an array without further questions.
PLAIN = frozenset({float, int, bool, np.float64, np.float32, np.int64, np.int32, np.bool_})

#: Kinds of dtypes whose elements are real numbers: floating, signed, unsigned, Boolean.
REAL_KINDS = "fiub"

_LARGEST = np.finfo(np.float64).max
_MAKE_FLOAT = "Convert it: np.asarray(x, dtype=float)"
_FROM_TIMES = "Subtract a time and divide by a unit: (x - x[0]) / np.timedelta64(1, 'D')"


def is_plain(value: Any) -> bool:
    """Whether NumPy may take a value as it is: an array that is nothing more, a number, a flat list of numbers."""
    kind = type(value)
    if kind is list or kind is tuple:
        return PLAIN.issuperset(map(type, value))
    return kind is np.ndarray or kind in PLAIN


def real_array(value: Any) -> np.ndarray:
    """Real numbers as an array of their own dtype, or float64 with NaN where they are missing.

    Parameters
    ----------
    value : number, array-like, masked array, pandas object

    Returns
    -------
    ndarray of a dtype of REAL_KINDS

    Raises
    ------
    NotRealError : it is none of these

    Examples
    --------
    >>> import numpy as np
    >>> from implicitops.real_arrays import real_array
    >>> real_array(np.ma.array([1, -99], mask=[False, True]))
    array([ 1., nan])
    """
    array = np.asarray(value) if is_plain(value) else _as_array(value)
    if array.dtype.kind == "O" and _is_of_long_integers(value):
        array = array.astype(np.float64)
    if array.dtype.kind not in REAL_KINDS:
        raise NotRealError(_what_it_is(array, value))
    return array


def is_missing_somewhere(value: Any) -> bool:
    """Whether a value has missing numbers, as far as it can have any: masked entries, or NA in a pandas object."""
    if isinstance(value, np.ma.MaskedArray):
        return bool(np.ma.getmaskarray(value).any())
    if isinstance(value, (list, tuple)):
        return not is_plain(value) and any(map(is_missing_somewhere, value))
    return _is_nullable(value) and bool(np.isnan(_as_array(value)).any())


def _as_array(value: Any) -> np.ndarray:
    if isinstance(value, np.ma.MaskedArray):
        if value.dtype.kind not in REAL_KINDS or not np.ma.is_masked(value):
            return np.asarray(value.data)
        return np.where(np.ma.getmaskarray(value), np.nan, value.data)
    if _is_nullable(value):
        return np.asarray(value.to_numpy(dtype=np.float64, na_value=np.nan))
    if isinstance(value, (list, tuple)):
        return _from_list(value)
    return np.asarray(value)


def _is_nullable(value: Any) -> bool:
    """True for pandas objects with a column of numbers of a type that has NA; pandas itself is not needed."""
    dtypes = getattr(value, "dtypes", None) if hasattr(value, "to_numpy") else None
    if dtypes is None:
        return False
    columns = list(dtypes) if isinstance(dtypes, Iterable) else [dtypes]
    kinds = {getattr(dtype, "kind", "O") for dtype in columns}
    return kinds <= set(REAL_KINDS) and any(hasattr(dtype, "na_value") for dtype in columns)


def _from_list(items: Sequence[Any]) -> np.ndarray:
    parts: list[Any] = [item if is_plain(item) else _item_of_list(item) for item in items]
    shapes = [np.shape(part) for part in parts]
    if len(set(shapes)) > 1:
        raise NotRealError(_ragged(shapes))
    if any(isinstance(part, np.ndarray) and part.ndim == 0 and part.dtype.kind == "O" for part in parts):
        objects = np.empty(len(items), dtype=object)
        objects[:] = items
        return objects
    return np.asarray(parts)


def _item_of_list(item: Any) -> Any:
    """An array for what has a shape; anything else as it is."""
    array = _as_array(item)
    if array.dtype.kind not in "UOSMmV" or array.ndim > 0:
        return array
    scalar = np.empty((), dtype=object)  # numbers and text in one list would all become text
    scalar[()] = item
    return scalar


def _ragged(shapes: Sequence[tuple[int, ...]]) -> str:
    k = next(k for k, shape in enumerate(shapes) if shape != shapes[0])
    if {len(shape) for shape in shapes} == {1}:
        lengths = ", ".join(str(shape[0]) for shape in shapes[:8]) + (", ..." if len(shapes) > 8 else "")
        what = f"a list of {len(shapes)} items of lengths {lengths}"
    else:
        what = f"a list whose item 0 has shape {shapes[0]} and item {k} has shape {shapes[k]}"
    return f"got {what}, which is no array. Give all items one shape, or call once for each of them"


def _what_it_is(array: np.ndarray, value: Any) -> str:
    kind, shape = array.dtype.kind, f"shape {array.shape}"
    if kind == "O":
        return _objects(array, value)
    if kind in "US":
        index, first = _first(array, lambda item: True)
        return f"got text, {shape}: {first!r:.80}{index}. Make numbers of it: np.asarray(x).astype(float)"
    if kind == "c":
        index, first = _first(array, lambda item: item.imag != 0)
        said = f"{first}{index}" if first is not None else "all imaginary parts are 0"
        return f"got dtype {array.dtype}, {shape}: {said}. Take the real part, x.real, if that is what is meant"
    if kind == "m":
        return f"got dtype {array.dtype}, {shape}. Divide by a unit of time: x / np.timedelta64(1, 's')"
    if kind == "M":
        return f"got dtype {array.dtype}, {shape}. {_FROM_TIMES}"
    if array.dtype.names is not None:
        return f"got an array with the fields {', '.join(array.dtype.names)}, {shape}. Take one of them: x['name']"
    return f"got dtype {array.dtype}, {shape}. Pass an array of numbers"


def _first(array: np.ndarray, wanted: Any) -> tuple[str, Any]:
    """Where the first element of some kind is, as text, and the element."""
    for position, item in np.ndenumerate(array):
        if wanted(item):
            return (f" at index {position if len(position) > 1 else position[0]}" if position else ""), item
    return "", None


def _is_number(item: Any) -> bool:
    return isinstance(item, (numbers.Real, decimal.Decimal, np.bool_, np.number)) and not isinstance(
        item, np.complexfloating
    )


def _is_of_long_integers(value: Any) -> bool:
    """Whether an array is one of objects only because integers of Python may have more than 64 bits."""
    items = value if isinstance(value, (list, tuple)) else [value]
    return PLAIN.issuperset(map(type, items)) and not any(map(_is_too_large, items))


def _is_too_large(item: Any) -> bool:
    try:
        return math.isinf(float(item)) and item not in (math.inf, -math.inf)  # a Decimal overflows to infinity
    except OverflowError:
        return True


def _objects(array: np.ndarray, value: Any) -> str:
    """What an array of objects has in it that is no number."""
    if array.ndim == 0 and isinstance(value, (Mapping, set, frozenset)):
        return f"got a {type(value).__name__}: {value!r:.80}. Pass its numbers as a list or an array"
    index, item = _first(array, lambda item: not _is_number(item))
    if item is None and all(map(_is_number, array.ravel())):
        index, item = _first(array, _is_too_large)
        if item is not None:
            return f"got a number beyond the largest float64, {_LARGEST:.2g}{index}. Use other units, or its logarithm"
        index, item = _first(array, lambda item: isinstance(item, (decimal.Decimal, fractions.Fraction)))
        first = f", such as {item!r:.60}{index}" if item is not None else ""
        return f"got numbers as objects, shape {array.shape}{first}. {_MAKE_FLOAT}"
    got = f"got {item!r:.80} of type {type(item).__name__}{index}"
    return f"{got}{f', shape {array.shape}' if array.ndim else ''}. {_advice(item)}"


def _advice(item: Any) -> str:
    name = type(item).__name__
    if item is None or name in ("NAType", "NaTType", "MaskedConstant"):
        return "A number that is missing is np.nan, whose answer is NaN"
    if isinstance(item, (str, bytes)):
        return "Make a number of it: float(text), or pandas.to_numeric(column)"
    if isinstance(item, (complex, np.complexfloating)):
        return "Take the real part, x.real, if that is what is meant"
    if isinstance(item, datetime.timedelta):
        return "Make a number of it: .total_seconds()"
    if isinstance(item, (datetime.date, datetime.time, np.datetime64, np.timedelta64)):
        return _FROM_TIMES
    return f"Pass a number, an array or a list of numbers; if it can become numbers, {_MAKE_FLOAT.lower()}"
