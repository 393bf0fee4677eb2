"""Rows of training and of evaluations that are jobs of their own: over random histories neither makes the other die."""

import math

from hypothesis import HealthCheck, given, settings, strategies as st

from dit_grid.experiments.store import Attempt, Store, is_live
from dit_grid.experiments.store.check import check

RUN = "s-4-00000000"

MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("train"), st.integers(1, 3)),
        st.tuples(st.just("die"), st.integers(0, 2)),
        st.tuples(st.just("measure"), st.integers(0, 5)),
    ),
    min_size=1, max_size=14,
)  # fmt: skip


class History:
    """A run's training, one checkpoint a step, and processes that measure its checkpoints, each in its own time."""

    def __init__(self, store):
        self.store, self.resumed, self.checkpoints, self.measured = store, {}, [], set()
        self.begin(0)

    def begin(self, step):
        self.attempt = self.store.begin_attempt(RUN, step)
        self.resumed[self.attempt.number], self.step = step, step
        self.writer = self.store.writer(self.attempt, rows_per_flush=1)

    def train(self, steps):
        for _ in range(steps):
            self.step += 1
            self.writer.train({"step": self.step, "loss": 1 / self.step})
            self.checkpoints.append((self.step, self.attempt.number))

    def die(self, back):
        """Begin again from a live checkpoint, or from one before it where that cannot be read."""
        live = [0, *sorted({step for step, number in self.checkpoints if self.lives(step, number)})]
        self.begin(live[max(len(live) - 1 - back, 0)])

    def measure(self, which):
        """Measure some checkpoint that was there once: a slow process may write when it counts no more."""
        if self.checkpoints:
            step, number = self.checkpoints[-1 - which % len(self.checkpoints)]
            with self.store.writer(Attempt(RUN, number, 0), rows_per_flush=99, flush_s=math.inf) as writer:
                for metric in ("fid", "is"):
                    writer.eval({"step": step, "metric": metric, "protocol": "p", "value": float(step)})
            self.measured.add((step, number))

    def lives(self, step, number):
        return is_live(self.resumed, number, step)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(moves=MOVES)
def test_a_measurement_counts_once_and_exactly_as_long_as_its_checkpoint(moves, tmp_path_factory):
    store = Store.create(tmp_path_factory.mktemp("store"))
    history = History(store)
    for name, number in moves:
        getattr(history, name)(number)
        live = {(step, a) for step, a in history.measured if history.lives(step, a)}
        found = store.evals().to_pylist()
        assert [(row["step"], row["metric"]) for row in found] == [
            (step, metric) for step in sorted({step for step, _ in live}) for metric in ("fid", "is")
        ]
        assert all((row["step"], row["attempt"]) in live for row in found)
        assert store.train()["step"].to_pylist() == list(range(1, history.step + 1)), "a measurement cost the training"
        assert store.states()[RUN].attempt == history.attempt.number, "a measurement fenced the training"
    assert not [finding for finding in check(store) if finding.name.startswith(("evals", "attempts"))]
