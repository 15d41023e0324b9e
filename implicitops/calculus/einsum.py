"""Sums of products of two arrays, written by their indices: linear algebra that is closed under differentiation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from implicitops.calculus.operation import Draft, Operation, Program, Shape, content_name

#: Positions of two inputs.
Term = tuple[int, int]

#: Most indices of one term.
MAX_INDICES = 4


@dataclass(frozen=True)
class Einsum(Operation):
    """Sum of terms, each a product of two inputs, over the indices that the output does not have.

    With inputs ``("ib", "i", "iab", "ia")``, terms ``((0, 1), (2, 3))`` and output ``"b"`` it is the sum of
    ``numpy.einsum("ib,i->b", ...)`` and ``numpy.einsum("iab,ia->b", ...)``. A term that lacks an index of the output is
    repeated along it.

    Parameters
    ----------
    inputs : tuple of str, the indices of each input, one letter for each axis
    output : str, the indices of the output
    terms : tuple of pairs of int, the two inputs of each product
    sizes : tuple of (str, int), the length of each index, in the order of the letters

    Examples
    --------
    >>> einsum(("ia", "a"), "i", ((0, 1),), {"i": 2, "a": 3}).input_shapes
    ((2, 3), (3,))
    """

    inputs: tuple[str, ...]
    output: str
    terms: tuple[Term, ...]
    sizes: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        for indices in (*self.inputs, self.output):
            if len(set(indices)) < len(indices):
                raise ValueError(f"an index may occur once in an operand; got {indices!r}.")
        for left, right in self.terms:
            indices = "".join(dict.fromkeys(self.output + self.inputs[left] + self.inputs[right]))
            if len(indices) > MAX_INDICES:
                raise ValueError(f"a term may have {MAX_INDICES} indices; got {indices!r}.")

    @property
    def name(self) -> str:
        return content_name("einsum", self.inputs, self.output, self.terms, self.sizes)

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return tuple(map(self._shape, self.inputs))

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return (self._shape(self.output),)

    def _shape(self, indices: str) -> Shape:
        sizes = dict(self.sizes)
        return tuple(sizes[index] for index in indices)

    def vjp(self) -> Program:
        """Reverse rule: in each term that holds an input, the cotangent takes its place."""
        n = len(self.inputs)
        draft, cotangent = Draft(n + 2), n + 1
        results: list[int | None] = []
        for k, indices in enumerate(self.inputs):
            others = tuple(self._partners(k))
            if not others:
                results.append(None)
                continue
            operands = (self.output, *(self.inputs[other] for other in others))
            terms = tuple((0, 1 + j) for j in range(len(others)))
            operation = einsum(operands, indices, terms, dict(self.sizes))
            results.extend(draft.apply(operation, cotangent, *others))
        return draft.program(results)

    def jvp(self) -> Program:
        """Forward rule: the product rule, with the tangents as further inputs."""
        n = len(self.inputs)
        draft = Draft(2 * n + 1)
        terms = tuple(t for left, right in self.terms for t in ((n + left, right), (left, n + right)))
        operation = einsum(self.inputs * 2, self.output, terms, dict(self.sizes))
        return draft.program(draft.apply(operation, *range(n), *range(n + 1, 2 * n + 1)))

    def _partners(self, k: int) -> Iterator[int]:
        """The other input of each term that holds input k, twice if that is k itself."""
        for left, right in self.terms:
            if left == k:
                yield right
            if right == k:
                yield left


def einsum(inputs: tuple[str, ...], output: str, terms: tuple[Term, ...], sizes: Mapping[str, int]) -> Einsum:
    """Operation that knows only the sizes of the indices it has, so that equal ones are equal.

    Parameters
    ----------
    inputs, output, terms : see :class:`Einsum`
    sizes : mapping of each index to its length; others are ignored
    """
    indices = sorted(set("".join((*inputs, output))))
    return Einsum(inputs, output, terms, tuple((index, sizes[index]) for index in indices))
