"""What a reader gets of many runs has each column in one piece: whoever works on it pays for each piece, each time."""

from dit_grid.experiments.store.compaction import compact


def filled(store, runs):
    for number in range(runs):
        store.add_run({"run_id": f"r-{number}", "spec": "{}", "steps": 20})
        with store.writer(store.begin_attempt(f"r-{number}", 0), rows_per_flush=5) as writer:
            for step in range(1, 21):
                writer.train({"step": step, "loss": 1 / step})
                writer.eval({"step": step, "metric": "fid", "protocol": "p", "value": 1.0})
        with store.journal(f"j-{number}") as journal:
            journal.event("began", f"r-{number}")


def pieces(table):
    return max(column.num_chunks for column in table.columns)


def test_each_column_is_one_piece_however_many_runs_and_segments(store):
    filled(store, 3)
    compact(store, ["r-1"])
    polled = store.watch().poll()
    tables = (
        store.runs(), store.train(), store.evals(), store.events(), store.latest_train(), polled.train, polled.evals,
    )  # fmt: skip
    assert [len(table) for table in tables] == [3, 60, 60, 3, 3, 60, 60]
    assert [pieces(table) for table in tables] == [1] * len(tables)


def test_rows_by_run_are_those_of_all_runs(store):
    filled(store, 3)
    store.add_run({"run_id": "waits", "spec": "{}"})
    parts = store.train_by_run(columns=["loss"])
    assert list(parts) == ["r-0", "r-1", "r-2"]
    whole = store.train(columns=["loss"])
    assert [row for rows in parts.values() for row in rows.to_pylist()] == whole.to_pylist()
    assert list(store.train_by_run(["r-2", "waits"])) == ["r-2"]
