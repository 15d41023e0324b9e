"""Imports go one way: from each room of the package only to rooms below it, inside functions too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "implicitops"

#: From the ground up. What stands on one floor may import what stands below it, and its own room.
FLOORS = (
    {"errors", "tables", "legacy_stack"},
    {"status", "real_arrays"},
    {"functions", "codegen"},  # a function of statements and the table of what is known of it
    {"problems"},
    {"symbolic"},
    {"calculus"},
    {"kernels"},
    {"external"},
    {"backends"},
    {"verify", "sampling"},
    {"__init__", "testing"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
#: Rooms on one floor that know each other.
NEIGHBOURS = ({"functions", "codegen"},)


def room_of(module):
    """Room of a module's dotted name: the second part of it."""
    return [*module.split("."), "__init__"][1]


def statements_of(tree):
    """All nodes but those that only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING":
            continue
        yield node
        yield from statements_of(node)


def modules_imported_by(source):
    """Dotted names of what a file of the package imports, wherever the import stands."""
    for node in statements_of(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: imports inside the package are absolute"
            if node.module == "implicitops":
                yield from (f"implicitops.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize("room", sorted(FLOOR_OF))
def test_a_room_imports_only_from_below(room):
    path = PACKAGE / room
    sources = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    upwards = [
        f"{source.relative_to(PACKAGE)} imports {module}"
        for source in sources
        for module in modules_imported_by(source)
        if module.split(".")[0] == "implicitops"
        and room_of(module) != room
        and {room, room_of(module)} not in NEIGHBOURS
        and FLOOR_OF.get(room_of(module), len(FLOORS)) >= FLOOR_OF[room]
    ]
    assert upwards == []


def test_every_room_has_a_floor():
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms == set(FLOOR_OF)
