"""The house in order: no file beside the rooms, tests beside what they test, and a picture that shows the imports."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("experiments", "orchestrator", "analysis")
DOORS = {"__init__.py", "__main__.py", "py.typed"}


def rooms(folder):
    """Its folders that hold files; one that only a cache is left of is none."""
    inside = (path for path in (ROOT / folder).iterdir() if path.is_dir() and not path.name.startswith("_"))
    return sorted(path for path in inside if any(entry.is_file() for entry in path.iterdir()))


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_stands_beside_the_rooms_but_the_door_and_the_specs(folder):
    loose = {path.name for path in (ROOT / folder).iterdir() if path.is_file() and path.suffix != ".yaml"}
    assert loose <= DOORS


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_room_of_code_has_a_door_that_says_what_is_here_and_what_is_not(folder):
    for room in rooms(folder):
        if list(room.glob("*.py")):
            said = (room / "__init__.py").read_text(encoding="utf-8").split('"""')[1]
            assert len(said.strip().split("\n\n")) >= 2, room


@pytest.mark.parametrize("folder", FOLDERS)
def test_tests_stand_in_rooms_of_the_same_names(folder):
    names = {path.name for path in rooms(folder)}
    assert {path.name for path in rooms(f"tests/{folder}")} <= names
    assert not list((ROOT / "tests" / folder).glob("test_*.py"))


def test_the_picture_of_the_architecture_shows_the_imports_as_they_are():
    done = subprocess.run([sys.executable, ROOT / "docs" / "draw_architecture.py", "--check"], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_a_door_names_only_what_is_there():
    doors = sorted(
        "dit_grid." + ".".join(door.relative_to(ROOT).parent.parts)
        for folder in (*FOLDERS, "model")
        for door in (ROOT / folder).rglob("__init__.py")
    )
    for door in map(importlib.import_module, doors):
        for name in dir(door):
            getattr(door, name)
