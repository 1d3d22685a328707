"""The package is built in layers: what lies below imports nothing that lies above it."""

import ast
from collections.abc import Iterator
from pathlib import Path

from conftest import ROOT

LAYERS = (
    {"types", "errors", "extras", "files", "geometry"},
    {"media", "models"},
    {"inference", "convert"},
    {"gallery"},
    {"album", "watch"},
    {"serve"},
    {"client", "training", "evaluation"},
    {"__init__"},
    {"cli"},
    {"__main__"},
)
"""The rooms, from the ground up: a room is a folder or a module directly under oneshot/."""

MOST = 100
"""Imports from one room to another, each pair of rooms counted once."""

FLOOR = {room: floor for floor, rooms in enumerate(LAYERS) for room in rooms}


def modules(package: Path) -> dict[str, Path]:
    """Each module's file by its dotted name, a package's own being the package."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room_of(module: str) -> str:
    """The room that a module of the package is in; the package's own file is one of its own."""
    return [*module.split("."), "__init__"][1]


def imports(package: Path) -> Iterator[tuple[str, str]]:
    """(module, module that it imports) for all in the package, those within functions too."""
    known = modules(package)
    for module, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}: a relative import"
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                named = [name if name in known else str(node.module) for name in inner]
            else:
                continue
            yield from ((module, name) for name in named if name.split(".")[0] == package.name)


def climbing(package: Path) -> list[str]:
    """The imports that run from a lower layer to a higher one."""
    return [
        f"{module} imports {other}"
        for module, other in imports(package)
        if FLOOR[room_of(module)] < FLOOR[room_of(other)]
    ]


def arrows(package: Path) -> set[tuple[str, str]]:
    """The pairs of rooms one of which imports the other."""
    pairs = {(room_of(module), room_of(other)) for module, other in imports(package)}
    return {(room, other) for room, other in pairs if room != other}


def test_every_room_has_its_layer() -> None:
    rooms = {room_of(module) for module in modules(ROOT / "oneshot")}
    assert rooms - FLOOR.keys() == set()


def test_no_import_climbs() -> None:
    assert climbing(ROOT / "oneshot") == []


def test_only_the_command_line_imports_what_measures() -> None:
    users = {room for room, other in arrows(ROOT / "oneshot") if other == "evaluation"}
    assert users <= {"cli"}


def test_no_rooms_import_each_other_in_a_circle() -> None:
    left = arrows(ROOT / "oneshot")
    while left:
        importing = {room for room, _ in left}
        fewer = {(room, other) for room, other in left if other in importing}
        assert len(fewer) < len(left), f"a circle among {sorted(left)}"
        left = fewer


def test_few_rooms_import_each_other() -> None:
    assert 40 < len(arrows(ROOT / "oneshot")) <= MOST


def test_imports_that_climb_are_seen_wherever_they_stand(tmp_path: Path) -> None:
    package = tmp_path / "oneshot"
    (package / "models").mkdir(parents=True)
    (package / "training").mkdir()
    for name in ("__init__", "types", "models/__init__", "training/__init__", "training/loop"):
        (package / f"{name}.py").write_text("")
    (package / "models" / "weights.py").write_text("def load():\n    from oneshot.training import loop\n")
    (package / "types.py").write_text("from oneshot import Faces\nimport oneshot.models\n")
    (package / "training" / "loop.py").write_text("import oneshot.models.weights\nimport torch\n")
    assert sorted(climbing(package)) == [
        "oneshot.models.weights imports oneshot.training.loop",
        "oneshot.types imports oneshot",
        "oneshot.types imports oneshot.models",
    ]
    assert arrows(package) == {
        ("models", "training"),
        ("training", "models"),
        ("types", "__init__"),
        ("types", "models"),
    }
