"""Whatever crashes, resumes, races and zombies do, each number is read once, and as in a run that nothing disturbed."""

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from dit_grid.experiments.store import Store, SupersededError, is_live, newest_live
from dit_grid.experiments.store.compaction import collect, compact
from dit_grid.experiments.store.liveness import live_limit

RUN = "b-4-3f9c2a"
LAST = 20
EVAL_EVERY = 3


def loss_at(step: int) -> float:
    """Training is a function of the step alone, as a resumed run's must be."""
    return 1.0 / (1 + step)


class Process:
    """One attempt as its trainer runs it: rows for each update, flushed before each checkpoint."""

    def __init__(self, world: "World", attempt, rows_per_flush: int) -> None:
        self.world, self.attempt, self.step = world, attempt, attempt.resume_step
        self.writer = world.store.writer(attempt, rows_per_flush=rows_per_flush, flush_s=1e9)
        self.unflushed: list[tuple[str, int]] = []
        self.rows_per_flush = rows_per_flush
        if self.step and self.step % EVAL_EVERY == 0:
            # The evaluation at the restored step may have been lost, so a trainer does it again.
            self._write("evals", self.step)

    def update(self, times: int) -> None:
        for _ in range(min(2 * times, LAST - self.step)):
            self.step += 1
            self._write("train", self.step)
            if self.step % EVAL_EVERY == 0:
                self._write("evals", self.step)

    def _write(self, table: str, step: int) -> None:
        self.unflushed.append((table, step))
        if table == "train":
            self.writer.train({"step": step, "loss": loss_at(step)})
        else:
            self.writer.eval({"step": step, "metric": "fid", "protocol": "p", "value": loss_at(step)})
        if len(self.unflushed) >= self.rows_per_flush:
            self.unflushed = self.world.model_flush(self.attempt, self.unflushed)

    def flush(self) -> None:
        self.writer.flush()
        self.unflushed = self.world.model_flush(self.attempt, self.unflushed)

    def checkpoint(self) -> None:
        self.flush()
        self.world.checkpoints.append((self.attempt.number, self.step))


class World:
    """A store beside a model of it that applies the rule in the order of events, row by row."""

    def __init__(self, files) -> None:
        self.store = Store(files, clock=lambda: 0.0)
        self.checkpoints: list[tuple[int, int]] = []
        self.chosen: tuple[int, int] | None = None
        self.fences: list[tuple[int, int]] = []
        self.truth: dict[tuple[str, int], int] = {}
        self.processes: list[Process] = []
        self.watch = self.store.watch()
        self.watched: dict[tuple[str, int], int] = {}

    def choose(self, older: int = 0) -> None:
        """The newest live checkpoint, or, as if that could not be read, an older one."""
        steps = self.store.resume_steps(RUN)
        found = self.checkpoints
        for _ in range(older + 1):
            self.chosen = newest_live(found, steps)
            found = [checkpoint for checkpoint in found if checkpoint != self.chosen]

    def begin(self, rows_per_flush: int) -> None:
        """Start from the checkpoint chosen, perhaps long ago, and choose again if it is refused."""
        try:
            attempt = self._begin()
        except SupersededError:
            self.choose()
            attempt = self._begin()
        self.fences.append((attempt.number, attempt.resume_step))
        self.truth = {key: a for key, a in self.truth.items() if key[1] <= attempt.resume_step}
        self.processes.append(Process(self, attempt, rows_per_flush))

    def _begin(self):
        source, step = self.chosen or (None, 0)
        return self.store.begin_attempt(RUN, step, resumed_attempt=source)

    def model_flush(self, attempt, rows: list[tuple[str, int]]) -> list:
        for key in rows:
            fenced = any(key[1] > step for number, step in self.fences if number > attempt.number)
            if not fenced:
                self.truth[key] = max(attempt.number, self.truth.get(key, 0))
        return []

    def view(self) -> dict[tuple[str, int], int]:
        found = {}
        for table, rows in (("train", self.store.train()), ("evals", self.store.evals())):
            for row in rows.to_pylist():
                assert (table, row["step"]) not in found, "a key was read twice"
                assert row["loss" if table == "train" else "value"] == loss_at(row["step"])
                found[table, row["step"]] = row["attempt"]
        return found

    def poll(self) -> dict[tuple[str, int], int]:
        """What a reader knows that keeps the latest attempt's row of each key and drops what is dead."""
        update = self.watch.poll()
        self.watched = {key: a for key, a in self.watched.items() if update.is_live(RUN, a, key[1])}
        for table, rows in (("train", update.train), ("evals", update.evals)):
            for row in rows.to_pylist():
                key = (table, row["step"])
                self.watched[key] = max(row["attempt"], self.watched.get(key, 0))
        return self.watched

    def latest(self) -> list[int]:
        return self.store.latest_train()["step"].to_pylist()


MEANWHILE = st.sampled_from(["nothing", "zombies work", "compact", "collect", "poll", "choose"])
LIVES = st.fixed_dictionaries(
    {
        "older": st.integers(0, 2),
        "stale": st.booleans(),
        "rows_per_flush": st.integers(1, 4),
        "before": st.integers(0, 3),
        "after": st.integers(0, 3),
        "flushes": st.booleans(),
        "meanwhile": st.lists(MEANWHILE, min_size=4, max_size=4),
    }
)


def live(world: World, life: dict) -> None:
    """One attempt from its fence to its crash: updates, a checkpoint, more updates, and what others do between."""
    if not life["stale"]:
        world.choose(life["older"])
    world.begin(life["rows_per_flush"])
    process, meanwhile = world.processes[-1], life["meanwhile"]
    happen(world, meanwhile[0])
    process.update(life["before"])
    happen(world, meanwhile[1])
    process.checkpoint()
    happen(world, meanwhile[2])
    process.update(life["after"])
    if life["flushes"]:
        process.flush()
    happen(world, meanwhile[3])


def happen(world: World, meanwhile: str) -> None:
    if meanwhile == "zombies work":
        for zombie in world.processes[:-1]:
            zombie.update(1)
            zombie.checkpoint()
    elif meanwhile == "compact":
        compact(world.store, least_segments=1)
    elif meanwhile == "collect":
        collect(world.store, dry_run=False)
    elif meanwhile == "poll":
        assert world.poll() == world.truth
    elif meanwhile == "choose":
        world.choose()
    assert world.view() == world.truth
    assert world.latest() == sorted(step for table, step in world.truth if table == "train")[-1:]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lives=st.lists(LIVES, min_size=1, max_size=5))
def test_view_is_what_the_rule_says_and_ends_as_if_nothing_had_happened(memory_files, lives):
    world = World(memory_files())
    for life in lives:
        live(world, life)
    world.choose()
    world.begin(3)
    survivor = world.processes[-1]
    survivor.update(LAST)
    survivor.flush()
    updates = {("train", step) for step in range(1, LAST + 1)}
    evaluations = {("evals", step) for step in range(EVAL_EVERY, LAST + 1, EVAL_EVERY)}
    assert world.view().keys() == updates | evaluations
    assert world.poll() == world.view()


def test_a_rewound_run_reads_as_the_new_values_only(store):
    """The case in which MLflow and TensorBoard keep 20 rows: log 0-9, restart at 5, log 5-14."""
    first = store.begin_attempt(RUN, 0)
    with store.writer(first) as writer:
        for step in range(10):
            writer.train({"step": step, "loss": 1.0})
    second = store.begin_attempt(RUN, 4, resumed_attempt=first.number)
    with store.writer(second) as writer:
        for step in range(5, 15):
            writer.train({"step": step, "loss": 2.0})
    rows = store.train()
    assert rows["step"].to_pylist() == list(range(15))
    assert rows["loss"].to_pylist() == [1.0] * 5 + [2.0] * 10
    with store.writer(first) as zombie:
        zombie.train({"step": 9, "loss": 3.0})
    assert store.train().equals(rows)


def test_a_limit_is_the_lowest_step_that_any_later_attempt_resumed_from():
    steps = {2: 500, 3: 300, 4: 400}
    assert [live_limit(steps, attempt) for attempt in (1, 2, 3, 4)] == [300, 300, 400, None]
    assert [is_live(steps, 1, step) for step in (299, 300, 301)] == [True, True, False]
    assert newest_live([(1, 300), (2, 500), (3, 200), (4, 450)], steps) == (4, 450)
    assert newest_live([(1, 300), (1, 310), (3, 300), (2, 600)], steps) == (3, 300)
    assert newest_live([(1, 301), (2, 301)], steps) is None


def test_a_checkpoint_that_somebody_resumed_before_is_refused(store):
    """Resuming from it would leave updates 6 to 10 out of the history."""
    store.begin_attempt(RUN, 0)
    store.begin_attempt(RUN, 5, resumed_attempt=1)
    with pytest.raises(SupersededError, match="attempt 1 at step 10 is dead"):
        store.begin_attempt(RUN, 10, resumed_attempt=1)
    assert newest_live([(1, 5), (1, 10), (2, 5)], store.resume_steps(RUN)) == (2, 5)
    assert store.live_limit(RUN, 1) == 5
    assert store.live_limit(RUN, 2) is None


def test_evaluations_added_to_a_finished_run_drop_nothing(store):
    with store.writer(store.begin_attempt(RUN, 0)) as writer:
        writer.train({"step": 10, "loss": 1.0})
        writer.eval({"step": 5, "metric": "fid", "protocol": "p", "value": 1.0})
    with store.writer(store.begin_attempt(RUN, 10)) as writer:
        writer.eval({"step": 5, "metric": "accuracy", "protocol": "p", "value": 0.5})
    assert store.train().num_rows == 1
    assert store.evals()["metric"].to_pylist() == ["accuracy", "fid"]
