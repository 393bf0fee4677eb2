"""Every second is one part's: parts that nest, and iterators that work while they are waited for, add to the whole."""

import pytest

from dit_grid.experiments.metrics import stopwatch
from dit_grid.experiments.metrics.stopwatch import Stopwatch


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves when it is told to."""

    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(stopwatch, "time", clock)
    return clock


def test_time_inside_an_inner_part_or_an_iterator_is_not_the_outer_parts(clock):
    watch = Stopwatch()

    def items():
        for item in range(2):
            clock.now += 1
            with watch.part("inner"):
                clock.now += 10
            yield item

    for _ in watch.timed("items", items()):
        with watch.part("body"):
            clock.now += 100
        clock.now += 1000  # nobody's
    assert watch.seconds == {"items": 2, "inner": 20, "body": 200}


def test_an_error_ends_its_part_and_leaves_the_watch_usable(clock):
    watch = Stopwatch()

    def fail():
        clock.now += 1
        raise KeyError

    with pytest.raises(KeyError), watch.part("a"):
        fail()
    with watch.part("b"):
        clock.now += 2
    assert watch.seconds == {"a": 1, "b": 2}
