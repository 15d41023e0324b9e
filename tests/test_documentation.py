"""Every Python block of README.md and docs/ runs, the blocks of one file in order and in one namespace."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from implicitops import Status
from implicitops.problems.reasons import REASONS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?P<comment><!--[^>]*-->\n+)?^```python\n(?P<code>.*?)^```$", flags=re.MULTILINE | re.DOTALL)
NO_RUN = re.compile(r"<!-- no-run: *(?P<reason>.*?) *-->")

# Reads (line, code) pairs and runs them with the page's line numbers, so that a traceback points into it.
RUNNER = """
import json, sys
page, blocks = sys.argv[1], json.load(sys.stdin)
namespace = {"__name__": "__main__"}
for line, code in blocks:
    exec(compile("\\n" * line + code, page, "exec"), namespace)
"""


def blocks_of(text: str) -> list[tuple[int, str]]:
    """Number of lines before each block that is to be run, and its code.

    Raises ValueError where a block is left out without a reason.
    """
    blocks = []
    for match in BLOCK.finditer(text):
        skip = NO_RUN.match(match["comment"] or "")
        if skip is None:
            blocks.append((text.count("\n", 0, match.start("code")), match["code"]))
        elif not skip["reason"]:
            raise ValueError(f"no-run needs a reason, before the block {match['code']!r:.60}")
    return blocks


PAGES_WITH_CODE = [page for page in PAGES if blocks_of(page.read_text("utf-8"))]


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda page: page.name)
def test_every_block_of_the_page_runs(page, tmp_path):
    code = json.dumps(blocks_of(page.read_text("utf-8")))
    if "pymc3" in code or "theano" in code:
        pytest.importorskip("pymc3", reason="the page uses PyMC3")
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, str(page)],
        input=code,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg"},
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_table_of_statuses_is_that_of_the_code():
    page = (ROOT / "docs/failures.md").read_text("utf-8")
    table = re.findall(r"^\| `([A-Z_]+)` \| (.*) \|$", page, re.MULTILINE)
    assert table == [(status.name, status.value) for status in Status]


def test_the_table_of_reasons_of_each_kind_is_the_one_that_errors_use():
    page = (ROOT / "docs/failures.md").read_text("utf-8")
    table = re.findall(r"^\| ([A-Za-z]+) \| `([A-Z_]+)` \| (.*) \|$", page, re.MULTILINE)
    assert table == [(kind, status.name, text) for kind, texts in REASONS.items() for status, text in texts.items()]


def test_a_block_is_left_out_only_with_a_reason():
    page = "<!-- no-run: {} -->\n```python\n1/0\n```\n```python\n2\n```\n"
    assert blocks_of(page.format("divides by zero")) == [(5, "2\n")]
    with pytest.raises(ValueError, match="needs a reason"):
        blocks_of(page.format(""))
