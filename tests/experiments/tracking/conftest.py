"""A store with an interrupted run, and TensorBoard's own reader."""

from pathlib import Path

import pytest

from dit_grid.experiments.store import Store


def fill(store, run_id="b-4-0", again=0.0, seed=0):
    """A run of two attempts: steps 10 to 30, and from step 20 on to 40; `again` is added to what is made again."""
    row = {"run_id": run_id, "model": "B/4", "spec": '{"a": {"b": 1}}', "experiment": "demo", "batch": 32}
    store.add_run(row | {"seed": seed, "steps": 40})
    for resume, steps, outcome in ((0, (10, 20, 30), "preempted"), (20, (30, 40), "done")):
        attempt = store.begin_attempt(run_id, resume)
        with store.writer(attempt) as writer:
            for step in steps:
                writer.train({"step": step, "loss": 1 / step + again * resume, "mse": float("nan"), "vb": float("inf")})
            writer.eval({"step": steps[-1], "metric": "fid", "protocol": "1234abcd", "value": 12.5})
        store.end_attempt(attempt, outcome)


@pytest.fixture
def store(tmp_path):
    return Store.create(str(tmp_path / "store"))


@pytest.fixture
def filled():
    return fill


@pytest.fixture
def curves():
    """Tag -> [(step, value)] of the one folder at a path or pattern, as TensorBoard's own reader has them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(folder):
        (folder,) = Path("/").glob(str(folder).lstrip("/"))
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
        return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}

    return read


@pytest.fixture
def numbers():
    """What a store holds of a run, as (table, step, name) -> value, without times and attempts."""

    def of(store, run_id):
        found = {}
        for row in store.train([run_id]).to_pylist():
            for name in ("loss", "mse", "vb"):
                found["train", row["step"], name] = row[name]
        for row in store.evals([run_id]).to_pylist():
            found["evals", row["step"], f"{row['metric']} {row['protocol']}"] = row["value"]
        return found

    return of
