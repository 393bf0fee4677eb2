"""The wheel that a launch ships: the same code gives the same bytes, and it holds all that an installed one has."""

import csv
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from dit_grid.orchestrator.clusters.wheel import _is_source, build_wheel


def test_the_same_code_gives_the_same_wheel(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = build_wheel(tmp_path / "a"), build_wheel(tmp_path / "b")
    assert first.sha256 == second.sha256 == hashlib.sha256(second.path.read_bytes()).hexdigest()


def test_it_holds_every_file_of_the_four_rooms_and_its_record(tmp_path):
    archive = zipfile.ZipFile(build_wheel(tmp_path).path)
    names = set(archive.namelist())
    root = Path(__file__).parents[3]
    for room in ("model", "experiments", "orchestrator", "analysis"):
        there = {f"dit_grid/{path.relative_to(root).as_posix()}" for path in (root / room).rglob("*.py")}
        assert there <= names
    record = next(name for name in names if name.endswith("RECORD"))
    assert {row[0] for row in csv.reader(archive.read(record).decode().splitlines())} == names


def test_python_runs_it_from_where_it_was_unpacked(tmp_path):
    zipfile.ZipFile(build_wheel(tmp_path).path).extractall(tmp_path / "there")
    code = "import dit_grid.experiments.spec as spec; print(spec.__file__)"
    environment = {"PYTHONPATH": str(tmp_path / "there"), "PATH": "/usr/bin:/bin"}
    output = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert output.stdout.startswith(str(tmp_path / "there")), output.stderr


def test_what_a_notebook_or_a_run_leaves_among_the_sources_is_not_shipped(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    names = {
        "package/tables.csv": True, "package/page.html": True, "notebooks/01.ipynb": True,
        "package/law.png": False, "package/law.svg": False, "notebooks/figures/law.csv": False,
        "notebooks/figures/index.html": False, "notebooks/.ipynb_checkpoints/01.ipynb": False, "results/a.py": False,
    }  # fmt: skip
    assert {name: _is_source(tmp_path / name, tmp_path) for name in names} == names
