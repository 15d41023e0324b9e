"""Cuts an evaluation down to the outputs that somebody wants: whatever only the others need is left out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

from implicitops.calculus.evaluate import Groups, OfEvaluation, Outputs
from implicitops.calculus.operation import Shape
from implicitops.symbolic.tape import Tape


@dataclass(frozen=True)
class Selection(OfEvaluation):
    """An evaluation reduced to some of its outputs.

    Parameters
    ----------
    parent : Evaluate
    selected : tuple of int, increasing positions in ``parent.output_shapes``
    """

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
    def judged_order(self) -> int:
        """That of the whole."""
        return self.parent.judged_order

    @property
    def output_parameters(self) -> tuple[int, ...] | None:
        """Those of the selected outputs."""
        whole = self.parent.output_parameters
        if whole is None:
            return None
        ends = [0, *accumulate(math.prod(shape) for shape in self.parent.output_shapes)]
        return tuple(j for k in self.selected for j in whole[ends[k] : ends[k + 1]])

    @property
    def groups(self) -> Groups:
        """Inputs of the whole."""
        return self.parent.groups

    def write(self, tape: Tape) -> Outputs:
        """Only the selected outputs; what they do not need is never compiled."""
        outputs = self.parent.write(tape)
        return [outputs[k] for k in self.selected]
