"""Compaction and clean-up change no number, whenever the process that does them dies and whoever reads meanwhile."""

import pytest

from dit_grid.experiments.store import Store
from dit_grid.experiments.store.compaction import collect, compact

RUN = "s-2-0a1b2c"


def fill(store: Store) -> None:
    """A run with a rewind, a zombie's late rows and a journal, some of it compacted before."""
    first = store.begin_attempt(RUN, 0)
    with store.writer(first, rows_per_flush=2) as writer:
        for step in range(1, 9):
            writer.train({"step": step, "loss": step / 7})
            writer.eval({"step": step, "metric": "fid", "protocol": "p", "value": step / 3})
    compact(store)
    second = store.begin_attempt(RUN, 5, resumed_attempt=1)
    with store.writer(second, rows_per_flush=2) as writer, store.writer(first, rows_per_flush=1) as zombie:
        for step in range(5, 12):
            writer.train({"step": step, "loss": step / 11})
            zombie.train({"step": step - 3, "loss": step / 13})
    with store.journal("scheduler-1", rows_per_flush=1) as journal:
        for tick in range(4):
            journal.event("tick", number=tick)


def view(store: Store) -> list:
    return [store.train(), store.evals(), store.events()]


@pytest.fixture
def filled(memory_files):
    files = memory_files()
    fill(Store(files, clock=lambda: 0.0))
    return files


def same(files, expected) -> bool:
    return all(a.equals(b) for a, b in zip(view(Store(files)), expected, strict=True))


def test_the_view_is_the_same_after_compaction_and_clean_up(filled):
    expected = view(Store(filled))
    assert len(compact(Store(filled))) == 2  # train and events; evals gained nothing since the last time
    assert same(filled, expected)
    kept = set(filled.content)
    planned = collect(Store(filled))
    assert set(filled.content) == kept, "a dry run deletes nothing"
    assert collect(Store(filled), dry_run=False) == planned
    assert kept - set(filled.content) == {removal.name for removal in planned}
    assert same(filled, expected)
    compacted = {name for name in filled.content if name.endswith(("c000001.parquet", "c000002.parquet"))}
    segments = {name for name in filled.content if name.endswith(".parquet")} - compacted
    assert (len(compacted), segments) == (3, set())
    assert compact(Store(filled)) == collect(Store(filled)) == [], "there is nothing left to do"


@pytest.mark.parametrize("after_effect", [False, True])
def test_killed_at_each_call_in_turn_it_leaves_the_view_and_finishes_next_time(
    filled, memory_files, killed, after_effect
):
    expected = view(Store(filled))
    for calls in range(1000):
        files = memory_files()
        files.content = dict(filled.content)
        files.calls_left, files.die_after_effect = calls, after_effect
        try:
            compact(Store(files))
            collect(Store(files), dry_run=False)
            finished = True
        except killed:
            finished = False
        files.calls_left = None
        assert same(files, expected)
        compact(Store(files))
        collect(Store(files), dry_run=False)
        assert same(files, expected)
        if finished:
            break
    assert calls > 10


def test_writers_go_on_after_their_segments_were_cleaned_up(filled):
    """A segment number that was compacted away must not be used again: its rows would be taken for covered."""
    store = Store(filled)
    compact(store, least_segments=1)
    collect(store, dry_run=False)
    with store.journal("scheduler-1") as journal:
        journal.event("again")
    assert store.events()["sequence"].to_pylist() == [0, 1, 2, 3, 4]
    attempt = store.attempts(RUN)[-1].attempt
    with store.writer(attempt) as writer:
        writer.train({"step": 12, "loss": 0.5})
    assert store.train()["step"].to_pylist() == list(range(1, 13))


def test_a_gap_in_a_listing_is_given_by_a_later_poll(memory_files):
    files = memory_files()
    store = Store(files)
    with store.writer(store.begin_attempt(RUN, 0), rows_per_flush=1) as writer:
        for step in (1, 2, 3):
            writer.train({"step": step, "loss": 1.0})
    watch = store.watch()
    name = f"train/{RUN}/a000001-n00000001.parquet"
    data = files.content.pop(name)
    given = set(watch.poll().train["step"].to_pylist())
    files.content[name] = data
    assert given | set(watch.poll().train["step"].to_pylist()) == {1, 2, 3}
    assert watch.poll().train.num_rows == 0


def test_a_late_row_of_an_old_attempt_does_not_win_over_a_compacted_one(memory_files):
    store = Store(memory_files())
    first = store.begin_attempt(RUN, 0)
    second = store.begin_attempt(RUN, 6)
    for attempt, value in ((second, 2.0), (first, 1.0)):
        with store.writer(attempt) as writer:
            writer.eval({"step": 6, "metric": "fid", "protocol": "p", "value": value})
        compact(store, least_segments=1)
        assert store.evals()["value"].to_pylist() == [2.0]


def test_a_reader_that_listed_before_a_clean_up_lists_again(filled, monkeypatch):
    store, other = Store(filled), Store(filled)
    expected = view(other)
    listing = filled.walk

    def disturbed(folder: str, prefix: str = "") -> list[str]:
        names = listing(folder, prefix)
        if folder == "train":
            monkeypatch.setattr(filled, "walk", listing)
            compact(other)
            collect(other, dry_run=False)
        return names

    monkeypatch.setattr(filled, "walk", disturbed)
    assert store.train().equals(expected[0])


def test_a_gap_in_a_listing_is_not_compacted_over(filled):
    """A folder listing may show a file and not the one made just before it."""
    store = Store(filled)
    expected = view(store)
    hidden = f"train/{RUN}/a000002-n00000001.parquet"
    data = filled.content.pop(hidden)
    compact(store, least_segments=1)
    filled.content[hidden] = data
    assert same(filled, expected)
