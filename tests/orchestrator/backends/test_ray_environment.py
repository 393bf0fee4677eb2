"""Where our own Ray starts and what it says if it does not; `test_launch` has a launch in unkind surroundings."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from dit_grid.experiments.data.remote import user_cache
from dit_grid.orchestrator.backends.ray import local
from dit_grid.orchestrator.backends.ray.local import FOLDER_BYTES, short_folder
from dit_grid.orchestrator.control.errors import RequestError

DIED = "A worker died or was killed while executing a task by an unexpected system error."
SAYS = """
import dit_grid.orchestrator.backends.ray
from ray._private.worker import print_to_stdstream
for line in ("{died} More of it.", "Cannot schedule."):
    print_to_stdstream({{"lines": [line], "pid": "raylet", "is_err": False}}, ignore_prefix=True)
"""

JOINS = "import os, dit_grid.orchestrator.backends.ray; print(os.environ.get('RAY_AUTH_MODE'))"


@pytest.mark.parametrize(
    ("has_token", "given", "joins_with"),
    [(True, {}, "token"), (False, {}, "None"), (False, {"RAY_AUTH_TOKEN": "0" * 64}, "token"),
     (True, {"RAY_AUTH_MODE": "disabled"}, "disabled")],
)  # fmt: skip
def test_who_has_a_token_shows_it_to_the_cluster_as_ray_start_asks_for_it(has_token, given, joins_with, tmp_path):
    if has_token:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    around = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    done = subprocess.run(
        [sys.executable, "-c", JOINS], env={**around, "HOME": str(tmp_path), **given}, capture_output=True, text=True
    )
    assert done.stdout.strip() == joins_with, done.stderr


def test_of_processes_that_were_ended_ray_says_nothing_and_of_all_else_what_it_has_to_say():
    done = subprocess.run([sys.executable, "-c", SAYS.format(died=DIED)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Cannot schedule."
    raylet = Path(ray.__file__).parent / "core/src/ray/raylet/raylet"
    with raylet.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as words:
        assert words.find(DIED.encode()) > 0  # Ray's own words still


def test_ray_gets_the_first_folder_that_is_short_and_can_be_written(tmp_path, monkeypatch):
    long = tmp_path / ("x" * FOLDER_BYTES)
    long.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(long))
    monkeypatch.setenv("TMPDIR", "/dev/null/nobody")
    assert short_folder() == "/tmp"
    monkeypatch.setattr(local, "FOLDERS", ("/dev/null",))
    with pytest.raises(RequestError, match=r"at most 32 characters; none of .*nobody.* set RAY_TMPDIR") as caught:
        short_folder()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("When connecting to an existing cluster, num_cpus must not be provided.\nmore"),
        OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /tmp/x"),
        PermissionError(13, "Permission denied", "/home/nobody/.ray"),
        Exception(""),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_ray_raises_when_it_starts_is_one_line(error, monkeypatch):
    def failing(**_):
        raise error

    monkeypatch.setattr(ray, "init", failing)
    with pytest.raises(RequestError, match=r"^Ray did not start on this machine: .*; its folder is ") as caught:
        local._start_ray(1, "test")
    assert "\n" not in str(caught.value)


def test_programs_are_kept_elsewhere_where_the_home_takes_no_files(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "dit-grid"
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/nobody")
    assert str(user_cache()).startswith(os.environ.get("TMPDIR", "/tmp"))
