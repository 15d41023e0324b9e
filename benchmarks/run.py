"""Runs every benchmark, prints the tables and saves them in docs/benchmark-results/: ``make bench``.

Usage: python benchmarks/run.py [NAME ...]
"""

from __future__ import annotations

import sys
from importlib import import_module

BENCHMARKS = (
    "root_scalar",
    "root_system",
    "theano_op",
    "tensorflow_op",
    "start_up",
    "ode",
    "ode_sensitivities",
    "ode_posterior",
    "integral",
    "work_precision",
    "tensorflow_models",
)


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all."""
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        sys.exit(f"unknown benchmark {', '.join(sorted(unknown))}: choose from {', '.join(BENCHMARKS)}")
    for name in names or BENCHMARKS:
        import_module(name).main()


if __name__ == "__main__":
    main(sys.argv[1:])
