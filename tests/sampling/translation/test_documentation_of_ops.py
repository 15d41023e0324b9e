"""The table of Ops in docs/translation.md is the table that translate uses."""

import re
from collections import defaultdict
from pathlib import Path

from implicitops.sampling.translation import dispatch

PAGE = Path(__file__).parents[3] / "docs" / "translation.md"
PACKAGE = "implicitops.sampling.translation."


def table():
    """Rows of the table: the names of the Ops of each module that they come from."""
    by_module = defaultdict(set)
    for op_class, entry in dispatch.registered().items():
        if entry.function.__module__.startswith(PACKAGE):  # others may have registered more
            by_module[op_class.__module__].add(op_class.__qualname__)
    return [f"| `{module}` | {', '.join(sorted(names))} |" for module, names in sorted(by_module.items())]


def test_table_of_ops_in_the_documentation_is_complete():
    found = re.findall(r"^\| `(?:theano|pymc3|implicitops).*\|$", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    assert found == table(), "replace the table by:\n" + "\n".join(table())
