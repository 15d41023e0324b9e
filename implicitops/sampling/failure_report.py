"""Failed solves of a whole run, in all its processes, summed up in one warning."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from implicitops.backends import failure_journal
from implicitops.backends.failures import Failures, add_failures, failures
from implicitops.errors import SolveWarning
from implicitops.tables import html_table


@dataclass
class FailureReport:
    """Failed solves while a sampler ran; complete when its context has ended.

    Attributes
    ----------
    failures : dict from each problem that failed to its Failures; its text stands for a problem of another process
        that cannot be pickled
    """

    failures: dict[Any, Failures] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of failed solves."""
        return sum(found.count for found in self.failures.values())

    def count_in(self, stage: str) -> int:
        """Number of failed solves in "tuning" or in "draws", as far as the sampler said which it was in."""
        return sum(found.by_stage.get(stage, 0) for found in self.failures.values())

    def __str__(self) -> str:
        if not self.failures:
            return "no solve failed"
        lines = [f"{self.count} solves failed while the sampler ran:"]
        for problem, found in self.failures.items():
            lines.append(f"  {problem if isinstance(problem, str) else repr(problem)}: {found.count}{_stages(found)}")
            lines += [f"    {failure}" for failure in found.first]
        lines.append(_ADVICE)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Table for notebooks: how often each problem failed, and the first of its failures."""
        if not self.failures:
            return html_table("no solve failed", (), ())
        rows = [
            (
                problem if isinstance(problem, str) else repr(problem),
                f"{found.count}{_stages(found)}",
                "; ".join(map(str, found.first)),
            )
            for problem, found in self.failures.items()
        ]
        title = f"{self.count} solves failed while the sampler ran"
        return html_table(title, ("problem", "failed", "first failures"), rows, [_ADVICE])


_ADVICE = (
    "A failed solve is NaN, which the sampler takes for impossible: the posterior is cut off where solves "
    "fail. If a solution exists there, help the solver to find it: a wider bracket, another guess or method, "
    "more steps. If none exists, say so in the model: a prior or pm.Bound that leaves those parameters out, or "
    "implicitops.sampling.penalised for variational methods."
)


def _stages(found: Failures) -> str:
    texts = {"tuning": "in tuning", "draws": "in the draws"}
    named = [f"{found.by_stage[stage]} {text}" for stage, text in texts.items() if found.by_stage.get(stage)]
    return f" ({', '.join(named)})" if named else ""


@contextmanager
def failure_report(*, warn: bool = True) -> Iterator[FailureReport]:
    """Sum up the failed solves of whatever samples in this context, and of the processes that it starts.

    Meanwhile no failure warns by itself. At the end, one :class:`implicitops.SolveWarning` says how often each problem
    failed, where first, and what to do; :func:`implicitops.failures` has counted those of other processes too.

    Parameters
    ----------
    warn : bool, whether there is a warning at the end; it is left out where an exception ends the context

    Yields
    ------
    FailureReport, filled in at the end

    Examples
    --------
    >>> import numpy as np, theano.tensor as tt, sympy as sp, implicitops as iop
    >>> from implicitops.sampling import failure_report
    >>> x, p = sp.symbols("x p")
    >>> square_root = iop.Root(x**2 - p, x, [p], bracket=(0, 1 + p))
    >>> with failure_report(warn=False) as report:
    ...     square_root(tt.as_tensor_variable([4.0, -1.0, -2.0])).eval()
    array([ 2., nan, nan])
    >>> report.count
    2
    """
    report = FailureReport()
    before = failures()
    with failure_journal.opened() as folder:
        try:
            yield report
        finally:
            _collect(report, before, folder)
    if warn and report.failures:
        warnings.warn(str(report), SolveWarning, stacklevel=3)


def _collect(report: FailureReport, before: dict[Any, Failures], folder: Any) -> None:
    found: dict[Any, Failures] = {}
    for problem, text, first, by_stage in failure_journal.entries(folder):
        more = Failures(sum(by_stage.values()), first, by_stage)
        if problem is not None:
            add_failures({problem: more})
        else:
            found[text] = found[text] + more if text in found else more
    for problem, after in failures().items():
        earlier = before.get(problem, Failures(0, ()))
        if after.count > earlier.count:
            stages = {s: n - earlier.by_stage.get(s, 0) for s, n in after.by_stage.items()}
            first = after.first[len(earlier.first) :] or after.first
            found[problem] = Failures(after.count - earlier.count, first, {s: n for s, n in stages.items() if n})
    report.failures.update(found)
