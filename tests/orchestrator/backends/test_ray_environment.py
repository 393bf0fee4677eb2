"""Our own Ray starts whatever is around it: another's address, the leavings of a crashed one, a home without room."""

import os
import subprocess
import sys

import pytest
import ray

from dit_grid.experiments.data.remote import user_cache
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.backends.ray import local
from dit_grid.orchestrator.backends.ray.local import FOLDER_BYTES, short_folder
from dit_grid.orchestrator.control.errors import RequestError

HOW = """
train: {steps: 20, batch: 8, log_every: 10}
evaluate: {every: 20, settings: [{metrics: [heldout_loss], samples: 32}]}
execution: {resources: {cpus: 1}, checkpoint_every: 10, steps_per_call: 10, flush_s: 0.2}
"""


def test_a_launch_starts_its_own_ray_whatever_the_environment_says(ray_folder, small_spec, tmp_path):
    os.makedirs(f"{ray_folder}/ray", exist_ok=True)
    with open(f"{ray_folder}/ray/ray_current_cluster", "w") as file:
        file.write("127.0.0.1:1")  # as a Ray that crashed leaves it
    long = tmp_path / ("x" * 100)
    long.mkdir()
    around = {"RAY_ADDRESS": "127.0.0.1:1", "TMPDIR": str(long), "HOME": "/dev/null/nobody", "XDG_CACHE_HOME": ""}
    spec = small_spec(tmp_path / "small.yaml", tmp_path / "store", HOW)
    spec.write_text(spec.read_text().replace("[S, B]", "[S]"))
    command = [sys.executable, "-m", "dit_grid.orchestrator", "launch", str(spec)]
    done = subprocess.run(command, env={**os.environ, **around}, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert {state.outcome for state in Store.open(tmp_path / "store").states().values()} == {"done"}


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
