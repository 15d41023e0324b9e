"""The table of docs/pymc3.md, made of what the tests declare with `feature`.

``python tests/sampling/pymc3_features.py`` writes it into the page; a test compares the two.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs/pymc3.md"
MODULES = ("test_pymc3_samplers", "test_pymc3_variational", "test_pymc3_data")
KINDS = {"root": "scalar `Root`", "system": "system", "ode": "`ODE`", "integral": "`Integral`"}
MARKED = re.compile(r"(?<=<!-- features -->\n\n).*?(?=\n\n<!-- end of features -->)", re.DOTALL)


def declarations() -> Iterator[tuple[str, set[str], str]]:
    """Feature, kinds of problems, and what is compared with, of each test that declares one, in the tests' order."""
    for name in MODULES:
        spec = importlib.util.spec_from_file_location(f"declared_by_{name}", HERE / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for test in vars(module).values():
            if hasattr(test, "feature"):
                yield test.feature


def table() -> str:
    """Markdown table of features and kinds of problems."""
    kinds: dict[str, set[str]] = {}
    references: dict[str, list[str]] = {}
    for feature, tested, against in declarations():
        kinds.setdefault(feature, set()).update(tested)
        references.setdefault(feature, []).append(against)
    lines = [["feature", *KINDS.values(), "tested against"], ["---", *[":-:"] * len(KINDS), "---"]]
    for feature, tested in kinds.items():
        marks = ["✓" if kind in tested else "" for kind in KINDS]
        lines.append([feature, *marks, ", ".join(dict.fromkeys(references[feature]))])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


if __name__ == "__main__":
    sys.path.append(str(HERE))
    page, found = MARKED.subn(lambda _: table(), PAGE.read_text("utf-8"))
    if not found:
        raise SystemExit(f"{PAGE}: the comments that enclose the table were not found")
    PAGE.write_text(page, "utf-8")
