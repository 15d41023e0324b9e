"""Why a solve ended, as an operation on its value: the NaN of a failed solve carries the status."""

from __future__ import annotations

from dataclasses import dataclass

from implicitops.calculus.operation import Operation, Program, Shape, content_name

#: Bits of a NaN that carries a status in its lowest 24; the same as in csrc/marked_nan.h.
MARK = 0x7FF8494F50000000
MARKED_STATUS = 0xFFFFFF


@dataclass(frozen=True)
class StatusOf(Operation):
    """Code of the :class:`~implicitops.status.Status` of each solve, a float64, from its value as the kernel wrote it.

    It has no derivative.

    Parameters
    ----------
    shape : tuple of int, trailing shape of the value
    """

    shape: Shape

    @property
    def name(self) -> str:
        return content_name("status", self.shape)

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return (self.shape,)

    @property
    def input_names(self) -> tuple[str, ...]:
        return ("value",)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return ((),)

    def vjp(self) -> Program:
        """Reverse rule: (value, status, cotangent) to nothing."""
        return Program(3, (), (None,))

    def jvp(self) -> Program:
        """Forward rule: (value, status, tangent) to nothing."""
        return Program(3, (), (None,))
