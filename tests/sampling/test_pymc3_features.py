"""The guide's table of PyMC3's features says what the tests promise."""

from __future__ import annotations

import pytest

pytest.importorskip("pymc3", reason="needs Theano-PyMC and PyMC3")

from pymc3_features import MARKED, PAGE, table


def test_table_of_the_guide_is_what_the_tests_declare():
    found = MARKED.search(PAGE.read_text("utf-8"))
    assert found is not None
    assert found.group() == table(), f"run `python tests/sampling/pymc3_features.py`, which writes it into {PAGE.name}"
