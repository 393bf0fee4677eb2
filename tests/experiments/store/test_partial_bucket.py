"""The state of an evaluation in a bucket, against the emulator: the next process goes on from it; then it is gone."""

import numpy as np
import pytest

from dit_grid.experiments.evaluation.partial_state import Measured, PartialEvaluation, StoppedError
from dit_grid.experiments.metrics.stopwatch import Stopwatch
from dit_grid.experiments.store import Store
from dit_grid.experiments.store.partials import partials_of

SAMPLES = np.random.default_rng(0).standard_normal((50, 3))


class Sum:
    """A sum that depends on the order in its last bits."""

    def __init__(self):
        self.sum, self.drawn = np.zeros(3), 0

    def state(self):
        return {"sum": self.sum}

    def go_on(self, state):
        self.sum = state["sum"]

    def over(self, partial):
        def draw(start):
            for i in range(start, 50, 7):
                self.drawn += 1
                yield SAMPLES[i : i + 7]

        for _, chunk in partial.drawn(draw, self, Stopwatch()):
            self.sum = self.sum + chunk.sum(axis=0)
        return self.sum


def test_an_evaluation_goes_on_from_the_bucket(emulator):
    store = Store.create("gs://bucket/partial-evaluation")
    measured = Measured(store, "s-4-00000000", 1, 400)
    asked: list = []

    def stop():
        asked.append(None)
        return len(asked) == 4

    partial = PartialEvaluation(measured, stop, every_s=0.0)
    partial.take_up({"settings": []})
    with pytest.raises(StoppedError):
        Sum().over(partial)
    assert sorted(part.chunks for part in partials_of(store.files, "s-4-00000000")) == [3, 4]

    again, whole = Sum(), Sum()
    partial = PartialEvaluation(measured)
    partial.take_up({"settings": []})
    assert again.over(partial).tobytes() == whole.over(PartialEvaluation()).tobytes()
    assert (again.drawn, whole.drawn) == (4, 8)
    partial.clear()
    assert partials_of(store.files, "s-4-00000000") == []
