"""The initial value problems that the tests and the benchmarks share: tests/catalogue/ode_problems.py."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from catalogue.ode_case import OdeCase
from catalogue.ode_problems import case_named, ode_catalogue

__all__ = ["OdeCase", "case_named", "ode_catalogue"]
