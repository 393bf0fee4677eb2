"""A mirror brings every number once, whenever it is killed, and stops for nobody; seen through TensorBoard's reader."""

import contextlib
import json
import shutil

import pytest

from dit_grid.experiments.spec.track import TrackSpec
from dit_grid.experiments.store import Store
from dit_grid.experiments.tracking import Mirror, TrackingError, address, destinations, mlflow_tracker, trackers_of
from dit_grid.experiments.tracking.cursor import Cursor
from dit_grid.experiments.tracking.tensorboard_events import read_tensorboard
from dit_grid.experiments.tracking.tensorboard_tracker import TensorboardTracker

EXPECTED_STEPS = {"train/loss": [10, 20, 30, 40], "evals/fid/1234abcd": [40]}


class Killed(BaseException):
    """Not an Exception, so that no clean-up catches it."""


class Dying(TensorboardTracker):
    """Dies after so many numbers reached the disk, in the middle of what it was sent."""

    def __init__(self, folder, numbers):
        super().__init__(folder)
        self.left = numbers

    def send(self, run, rows):
        for row in rows:
            for name, value in row.values.items():
                if self.left == 0:
                    raise Killed
                self.left -= 1
                super().send(run, [row._replace(values={name: value})])


def mirror(store, folder, tracker=None):
    return Mirror(store, {"tb": tracker or TensorboardTracker(folder / "tb")}, folder / "cursors", print)


def mirrored(store, folder, tracker=None):
    made = mirror(store, folder, tracker)
    with made.alone(lambda: False):
        made.poll()
    return made


def test_killed_after_any_number_each_is_there_once(store, filled, curves, tmp_path):
    filled(store)
    for killed_after in range(14):
        folder = tmp_path / str(killed_after)
        with contextlib.suppress(Killed):
            mirrored(store, folder, Dying(folder / "tb", killed_after))
        mirrored(store, folder)
        found = curves(folder / "tb" / "demo-*" / "b-4-0")
        assert {tag: [step for step, _ in found[tag]] for tag in EXPECTED_STEPS} == EXPECTED_STEPS, killed_after


def test_a_lost_cursor_doubles_nothing(store, filled, curves, tmp_path):
    filled(store)
    mirrored(store, tmp_path)
    (cursor,) = (tmp_path / "cursors" / "tb").glob("b-4-0-*.json")
    cursor.unlink()
    again = mirrored(store, tmp_path)
    assert again.summary() == ["tb: 0 numbers sent"]
    assert [step for step, _ in curves(tmp_path / "tb" / "demo-*" / "b-4-0")["train/loss"]] == [10, 20, 30, 40]


def test_two_stores_of_one_run_in_one_folder_are_two_and_each_goes_on_where_it_was(store, filled, curves, tmp_path):
    filled(store)
    other = Store.create(str(tmp_path / "other"))
    filled(other, again=1.0)
    for one in (store, other, other):
        mirrored(one, tmp_path)
    homes = sorted(path.parent for path in (tmp_path / "tb").glob("demo-*/b-4-0/*tfevents*"))
    assert len(homes) == 2
    losses = [curves(home)["train/loss"] for home in homes]
    assert sorted(dict(points)[30] for points in losses) == pytest.approx([1 / 30, 1 / 30 + 20])
    assert [one.rows.keys() for one in read_tensorboard(tmp_path / "tb")] == [{10, 20, 30, 40}] * 2


def test_what_an_older_mirror_wrote_beside_its_run_id_alone_goes_on_there(store, filled, curves, tmp_path):
    filled(store)
    mirrored(store, tmp_path)
    (written,) = (tmp_path / "tb").glob("demo-*/b-4-0")
    written.rename(tmp_path / "tb" / "b-4-0")
    shutil.rmtree(tmp_path / "cursors")
    assert mirrored(store, tmp_path).summary() == ["tb: 0 numbers sent"]
    other = Store.create(str(tmp_path / "other"))
    filled(other)
    mirrored(other, tmp_path)
    assert (
        len(curves(tmp_path / "tb" / "b-4-0")["train/loss"])
        == len(curves(tmp_path / "tb/demo-*/b-4-0")["train/loss"])
        == 4
    )


def test_a_tracker_that_failed_is_asked_once_more_at_the_end(store, filled, curves, tmp_path, monkeypatch):
    filled(store)
    tracker = TensorboardTracker(tmp_path / "tb")
    made = mirror(store, tmp_path, tracker)
    with made.alone(lambda: False):
        with monkeypatch.context() as broken:
            broken.setattr(tracker, "send", lambda run, rows: 1 / 0)
            made.poll()
        made.poll()
        assert made.is_behind, "it is left alone for a while"
        made.poll(last=True)
        assert not made.is_behind


def test_rows_come_as_they_are_flushed_and_once_though_an_attempt_makes_some_again(store, curves, tmp_path):
    store.add_run({"run_id": "r", "spec": "{}"})
    made = mirror(store, tmp_path)
    with made.alone(lambda: False):
        for resume, steps in ((0, (1, 2, 3)), (1, (2, 3, 4))):
            attempt = store.begin_attempt("r", resume)
            with store.writer(attempt) as writer:
                for step in steps:
                    writer.train({"step": step, "loss": step + 100.0 * resume, "steps_per_s": resume + 1.0})
                    writer.flush()
                    made.poll()
                    assert curves(tmp_path / "tb" / "runs-*" / "r")["train/loss"][-1][0] == max(step, 3 * resume)
    assert [step for step, _ in curves(tmp_path / "tb" / "runs-*" / "r")["train/loss"]] == [1, 2, 3, 4]
    assert made.summary()[1].startswith("tb: r: 2 numbers were made again by a later attempt")


def test_a_later_attempt_that_logs_between_the_old_steps_is_shown(store, curves, tmp_path):
    store.add_run({"run_id": "r", "spec": "{}"})
    made = mirror(store, tmp_path)
    with made.alone(lambda: False):
        for resume, steps in ((0, (10, 20, 30)), (10, (15, 20, 25))):
            with store.writer(store.begin_attempt("r", resume)) as writer:
                for step in steps:
                    writer.train({"step": step, "loss": 1.0})
            made.poll()
    assert sorted(step for step, _ in curves(tmp_path / "tb" / "runs-*" / "r")["train/loss"]) == [10, 15, 20, 25, 30]


def test_a_tracker_that_fails_holds_up_no_other_and_gets_what_it_missed(store, filled, curves, tmp_path, monkeypatch):
    filled(store)
    failing = TensorboardTracker(tmp_path / "failing")
    said: list[str] = []
    made = Mirror(
        store, {"failing": failing, "fine": TensorboardTracker(tmp_path / "fine")}, tmp_path / "c", said.append
    )
    with made.alone(lambda: False):
        monkeypatch.setattr(failing, "send", lambda run, rows: 1 / 0)
        made.poll()
        assert made.summary()[0] == "failing: 0 numbers sent; behind with 1 run, which the same command brings"
        assert said == ["failing: ZeroDivisionError: division by zero; tried again every 15 s"]
        monkeypatch.undo()
        monkeypatch.setattr("dit_grid.experiments.tracking.mirror.RETRY_S", 0.0)
        made._places[0].asked_again = 0.0
        made.poll()
    assert not made.is_behind
    assert str(curves(tmp_path / "failing" / "*" / "b-4-0")) == str(curves(tmp_path / "fine" / "*" / "b-4-0"))


def test_a_run_that_is_never_taken_holds_up_no_other(store, filled, curves, tmp_path, monkeypatch):
    for run_id in ("a", "b"):
        filled(store, run_id)
    tracker = TensorboardTracker(tmp_path / "tb")
    begin = tracker.begin
    monkeypatch.setattr(tracker, "begin", lambda run: 1 / 0 if run.run_id == "a" else begin(run))
    monkeypatch.setattr("dit_grid.experiments.tracking.mirror.RETRY_S", 0.0)
    made = mirror(store, tmp_path, tracker)
    with made.alone(lambda: False):
        made.poll()
        made.poll()
    assert made.is_behind
    assert [step for step, _ in curves(tmp_path / "tb" / "*" / "b")["train/loss"]] == EXPECTED_STEPS["train/loss"]


def test_of_two_mirrors_to_one_place_one_is_refused(store, filled, tmp_path):
    filled(store)
    first, second = mirror(store, tmp_path), mirror(store, tmp_path)
    with first.alone(lambda: False), pytest.raises(TrackingError, match=r"process \d+ mirrors to it already"):
        second.alone(lambda: False).__enter__()
    with second.alone(lambda: False):
        second.poll()


def test_a_cursor_comes_back_as_it_was_and_a_damaged_one_is_none(tmp_path):
    file = tmp_path / "x.json"
    cursor = Cursor(3, 700, {"700 evals/fid/1"}, {"1": "preempted"}, "2 failed")
    cursor.write(file)
    assert Cursor.read(file) == cursor
    for text in ("", "[]", "{}", json.dumps({"attempt": 1, "train": None, "evals": [], "attempts": {}, "ended": ""})):
        file.write_text(text)
        assert Cursor.read(file) == Cursor()


@pytest.mark.parametrize(("to", "package"), [("tensorboard", "tensorboardX"), ("wandb", "wandb"), ("mlflow", "mlflow")])
def test_a_package_that_is_missing_is_named_with_its_extra(tmp_path, monkeypatch, to, package):
    place = "dit_grid.experiments.tracking.destinations.find_spec"
    monkeypatch.setattr(place, lambda name: None if name == package else 1)
    with pytest.raises(TrackingError, match=rf"tracking to {to} needs {package}: pip install 'dit-grid\[{to}\]'"):
        trackers_of([TrackSpec(to=to)], "x", tmp_path)


def test_what_is_said_of_a_place_holds_no_password_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:p@ss@host/x")
    assert address(TrackSpec(to="mlflow"), tmp_path) == "https://***@host/x"

    def refuse(uri, name):
        raise ValueError(f"no such scheme: {uri}")

    monkeypatch.setattr(destinations, "find_spec", lambda name: True)
    monkeypatch.setattr(mlflow_tracker, "MlflowTracker", refuse)
    with pytest.raises(TrackingError) as error:
        trackers_of([TrackSpec(to="mlflow")], "x", tmp_path)
    assert str(error.value).startswith("mlflow at https://***@host/x: no such scheme: https://***@host/x; name a")


def test_an_error_of_a_tracker_is_said_without_the_password_in_it(store, filled, tmp_path):
    class Refusing(TensorboardTracker):
        def begin(self, run):
            raise OSError("no answer from http://me:secret@host/api")

    filled(store)
    said: list[str] = []
    Mirror(store, {"tb": Refusing(tmp_path / "tb")}, tmp_path / "cursors", said.append).poll()
    assert said == ["tb: OSError: no answer from http://***@host/api; tried again every 15 s"]
