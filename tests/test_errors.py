"""Every exception and warning: defined in one place, importable from the top, and documented."""

from __future__ import annotations

import ast
import builtins
import pickle
import re
from pathlib import Path

import pytest
import sympy as sp

import implicitops as iop
from implicitops import errors

ROOT = Path(iop.__file__).parents[1]
BUILT_IN = {name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)}
CLASSES = [getattr(errors, name) for name in errors.__all__]


def exception_classes(source):
    """Names of the exception classes that a module defines."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            bases = {base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases}
            if bases & (BUILT_IN | set(errors.__all__) | set(found)):
                found.append(node.name)
    return found


def test_every_exception_class_of_the_package_is_defined_in_the_module_of_errors():
    found = {
        name: path.name
        for path in Path(iop.__file__).parent.rglob("*.py")
        for name in exception_classes(path.read_text(encoding="utf-8"))
    }
    assert found == dict.fromkeys(errors.__all__, "errors.py")


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_has_the_common_base_and_is_importable_from_the_top(kind):
    base = iop.ImplicitopsWarning if issubclass(kind, Warning) else iop.ImplicitopsError
    assert issubclass(kind, base)
    assert getattr(iop, kind.__name__) is kind
    assert kind.__name__ in iop.__all__


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_says_what_it_means_and_what_to_do(kind):
    meaning, remedy = (kind.__doc__ or "").split("\n\n")[:2]
    assert meaning.strip().endswith(".")
    assert remedy.strip()
    assert not remedy.strip().startswith("Parameters\n")


def test_the_api_page_lists_every_error():
    page = ROOT / "docs" / "api.md"
    if not page.exists():
        pytest.skip("the documentation is not beside the package")
    listed = re.findall(r"^   (\w+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(name for name in listed if name in vars(errors)) == sorted(errors.__all__)


@pytest.mark.parametrize("kind", [k for k in CLASSES if not issubclass(k, iop.UnsupportedExpressionError)])
def test_an_error_survives_the_way_between_processes(kind):
    error = pickle.loads(pickle.dumps(kind("what came, and what to do")))
    assert type(error) is kind
    assert str(error) == "what came, and what to do"


def test_an_unsupported_derivative_survives_the_way_between_processes():
    x = sp.Symbol("x")
    error = iop.UnsupportedDerivativeError(sp.zeta(x), 0, "Leave it out.")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert "zeta(x)" in str(error)
