"""PyMC3's own tests of log densities, as its wheel ships them, with every Theano function computed by the translation.

Each graph is translated as the model states it, without Theano's rewrites, which is what `sample` does. A test counts
if it had a function compiled. What fails is run once more on Theano itself, which tells whose fault it is. Left out are
tests that sample or draw random numbers, and checks of cumulative distribution functions, which PyMC3's tests compute
by Theano's test values and never compile. Points that the tests choose at random are the same on each run.

    python tools/pymc3_own_tests.py
    python tools/pymc3_own_tests.py --only test_transforms --json result.json
"""

from __future__ import annotations

import argparse
import json
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import implicitops  # noqa: F401  # isort: skip  # before PyMC3, whose Theano it gives a BLAS

import numpy as np
import pymc3
import pytest
import theano
from theano.compile.mode import Mode

from implicitops.sampling.linker import TensorFlowLinker

# Module of pymc3.tests to an expression of pytest that says which of its tests are run.
MODULES = {
    "test_distributions": "not random and not serialize and not Latex and not test_bound",
    "test_transforms": "",
    "test_distributions_timeseries": "not linear",
    "test_mixture": "nd or of_mvn or of_mixture",
    "test_dist_math": "",
    "test_special_functions": "",
    "test_math": "",
    "test_gp": "not plot",
    "test_minibatches": "Scaling",
    "test_model": "ValueGrad or tempered or multiple_observed or duplicate_vars",
}

# Tests that hold for Theano and not for the translation, and why.
KNOWN = {
    "test_distributions::TestMatchesScipy::test_discrete_weibull": (
        "TensorFlow flushes subnormal numbers, here 0.5**1024 = 6e-309, to zero"
    ),
    "test_minibatches::TestScaling::test_density_scaling_with_genarator": (
        "pm.generator calls a Python generator, which has no translation"
    ),
    "test_minibatches::TestScaling::test_gradient_with_scaling": (
        "pm.generator calls a Python generator, which has no translation"
    ),
}


class CountingLinker(TensorFlowLinker):
    """The linker of the translation, which counts the functions that it makes."""

    made = 0

    def make_all(self, *args: Any, **options: Any) -> Any:
        CountingLinker.made += 1
        return super().make_all(*args, **options)


def modes() -> dict[str, Mode]:
    return {
        "tensorflow": Mode(CountingLinker(), optimizer=None),
        "theano": Mode(linker="py", optimizer="fast_compile"),
    }


class OnBackend:
    """Plugin of pytest: puts the mode in place around each test and keeps what came of it."""

    def __init__(self, backend: str, only: set[str] | None = None) -> None:
        self.mode = modes()[backend]
        self.only = only
        self.results: dict[str, dict[str, Any]] = {}

    @staticmethod
    def name(item: Any) -> str:
        return f"{item.path.stem}::{item.nodeid.split('::', 1)[1]}"

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self.only is not None:
            items[:] = [item for item in items if self.name(item) in self.only]
        for item in items:
            for check in ("check_logcdf", "check_selfconsistency_discrete_logcdf"):
                if getattr(item, "cls", None) is not None and hasattr(item.cls, check):
                    setattr(item.cls, check, lambda self, *args, **options: None)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        before, name = CountingLinker.made, self.name(item)
        np.random.seed(zlib.crc32(name.encode()))  # noqa: NPY002 - the tests draw their points from it
        # Theano's test values are computed by Python: nothing here waits for a C compiler.
        with theano.config.change_flags(mode=self.mode, cxx=""):
            yield
        if name in self.results:
            self.results[name]["functions"] = CountingLinker.made - before

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, pytest.skip.Exception) or (error is None and call.when != "call"):
            return
        message = None if error is None else f"{type(error).__name__}: {error}"[:600]
        self.results[self.name(item)] = {"passed": error is None, "error": message}

    def run(self, module: str, expression: str) -> dict[str, dict[str, Any]]:
        folder = Path(pymc3.__file__).parent / "tests"
        options = ["-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-p", "no:randomly", "-W", "ignore"]
        options += ["-c", os.devnull, f"--rootdir={folder}", "--import-mode=importlib", "--disable-warnings"]
        pytest.main([str(folder / f"{module}.py"), *options, *(["-k", expression] if expression else [])], [self])
        return self.results


def run(module: str) -> dict[str, dict[str, Any]]:
    """Results of one module by test, failures with what Theano makes of the same test."""
    found = OnBackend("tensorflow").run(module, MODULES[module])
    found = {name: result for name, result in found.items() if result["functions"]}
    failed = {name for name, result in found.items() if not result["passed"]}
    if failed:
        on_theano = OnBackend("theano", failed).run(module, "")
        for name in failed:
            found[name]["passed_on_theano"] = on_theano[name]["passed"]
            found[name]["error_on_theano"] = on_theano[name]["error"]
    return found


def verdict(result: dict[str, Any]) -> str:
    if result["passed"]:
        return "passed"
    return "failed here alone" if result["passed_on_theano"] else "failed on both"


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown: verdicts by module."""
    verdicts = ("passed", "failed on both", "failed here alone")
    lines = ["| module | tests | functions | " + " | ".join(verdicts) + " |", "|---|" + "---:|" * 5]
    modules = list(dict.fromkeys(name.split("::")[0] for name in results))
    for module in [*modules, "all"]:
        chosen = [r for name, r in results.items() if module in ("all", name.split("::")[0])]
        counts = Counter(map(verdict, chosen))
        numbers = [len(chosen), sum(r["functions"] for r in chosen), *(counts[v] for v in verdicts)]
        lines.append(f"| {module} | " + " | ".join(map(str, numbers)) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(MODULES), default=list(MODULES), metavar="MODULE")
    parser.add_argument("--json", type=Path, help="where to write the result of each test")
    options = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    for module in options.only:
        results |= run(module)
        if options.json:
            options.json.write_text(json.dumps(results, indent=1))
    print(table(results))
    for name, result in results.items():
        if not result["passed"]:
            print(f"\n{name}: {verdict(result)}. {KNOWN.get(name, '')}")
            print(f"  here: {result['error']}\n  Theano: {result['error_on_theano']}")


if __name__ == "__main__":
    main()
