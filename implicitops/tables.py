"""Small tables for notebooks: HTML with everything escaped, and rows of formulas. What they show lives elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

#: Formulas below each other; of more the last are left out.
MOST_FORMULAS = 20


def html_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()) -> str:
    """HTML of a table under its title, with notes below; none of the texts may hold HTML of its own.

    Parameters
    ----------
    title : str
    header : sequence of str
    rows : iterable of sequences of str, as long as the header
    notes : iterable of str, a paragraph each

    Returns
    -------
    str
    """
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if body else ""
    below = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f"<div><p><strong>{escape(title)}</strong></p>{table}{below}</div>"


def latex_rows(rows: Sequence[str]) -> str:
    """LaTeX of formulas below each other, the first of many, aligned at their ``&``, for ``_repr_latex_``."""
    if len(rows) > MOST_FORMULAS:
        rows = [*rows[: MOST_FORMULAS - 1], r"&\;\,\vdots"]
    body = r" \\ ".join(rows)
    return rf"$\displaystyle \begin{{aligned}} {body} \end{{aligned}}$"
