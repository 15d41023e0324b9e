"""A progress bar like that of PyMC3."""

from __future__ import annotations

from typing import Any


class Progress:
    """Bar of so many steps, shown or not.

    Parameters
    ----------
    total : int
    is_shown : bool
    """

    def __init__(self, total: int, is_shown: bool) -> None:
        self.total, self.done = total, 0
        self._bar: Any = None
        if is_shown and total:
            from fastprogress.fastprogress import progress_bar

            self._bar = progress_bar(range(total), display=True)
            self._bar.update(0)

    def advance(self, n: int, comment: str) -> None:
        """So many steps more; the comment stands behind the bar."""
        self.done += n
        if self._bar is not None:
            self._bar.comment = comment
            self._bar.update(self.done)
