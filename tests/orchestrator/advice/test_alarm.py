"""An alarm reads the losses of few runs of a large store, those that are not done first, and asks once who is done."""

import pytest

from dit_grid.experiments.store import Store
from dit_grid.orchestrator.advice import alarm


class Asked(list):
    """Run ids that count how often they are gone through: once a run would be a square of their number."""

    times = 0

    def __iter__(self):
        self.times += 1
        return super().__iter__()


@pytest.fixture
def store(tmp_path):
    store = Store.create(tmp_path / "store")
    for name in "abcdef":
        store.add_run({"run_id": name, "spec": "{}", "steps": 20})
        with store.writer(store.begin_attempt(name, 0)) as writer:
            writer.train({"step": 1, "loss": 1.0})
    return store


def test_those_that_are_not_done_come_first_and_are_asked_for_once(store, monkeypatch):
    read, unfinished = list[str](), Asked(["f", "c"])
    whole = store.train_by_run

    def noted(names):
        read.extend(names)
        return names

    monkeypatch.setattr(alarm, "MOST_READ", 4)
    monkeypatch.setattr(store, "train_by_run", lambda names, columns: whole(noted(names), columns))
    assert alarm.alarms(store, unfinished).unread == 0
    assert (read, unfinished.times) == (["c", "f", "a", "b"], 1)


def test_runs_at_work_that_are_not_looked_at_are_counted(store, monkeypatch):
    monkeypatch.setattr(alarm, "MOST_READ", 4)
    looked = alarm.alarms(store, list("abcdef"))
    assert looked.unread == 2
    assert "no early alarm for 2 runs more: so many curves are not read" in looked.silence
