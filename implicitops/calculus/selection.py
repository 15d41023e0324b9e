"""Cuts an evaluation down to the outputs that somebody wants: whatever only the others need is left out."""

from __future__ import annotations

from dataclasses import dataclass

from implicitops.calculus.evaluate import Evaluate, Groups, Outputs
from implicitops.calculus.operation import Shape
from implicitops.symbolic.tape import Tape


@dataclass(frozen=True)
class Selection(Evaluate):
    """An evaluation reduced to some of its outputs.

    Parameters
    ----------
    parent : Evaluate
    selected : tuple of int, increasing positions in ``parent.output_shapes``
    """

    parent: Evaluate
    selected: tuple[int, ...]

    @property
    def name(self) -> str:
        """Content name."""
        return f"{self.parent.name}_only{'_'.join(map(str, self.selected))}"

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """Those of the whole."""
        return self.parent.input_shapes

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """Those of the selected outputs."""
        return tuple(self.parent.output_shapes[k] for k in self.selected)

    @property
    def solution_input(self) -> int | None:
        """That of the whole."""
        return self.parent.solution_input

    @property
    def groups(self) -> Groups:
        """Inputs of the whole."""
        return self.parent.groups

    def write(self, tape: Tape) -> Outputs:
        """Only the selected outputs; what they do not need is never compiled."""
        outputs = self.parent.write(tape)
        return [outputs[k] for k in self.selected]
