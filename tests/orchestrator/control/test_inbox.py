"""A driver hears what people asked once each, and first of all what still stands."""

from dit_grid.experiments.store import Store
from dit_grid.orchestrator.control.inbox import Inbox
from dit_grid.orchestrator.control.requests import CANCEL, PAUSE, RESUME, RETRY, ask
from dit_grid.orchestrator.core.events import Asked


def test_a_driver_hears_first_what_stands_and_then_what_is_new(tmp_path):
    files = Store.create(tmp_path / "store").files
    ask(files, CANCEL, ["a", "b"])
    ask(files, RETRY, ["a"])
    ask(files, PAUSE, ["c"])
    times = iter((0.0, 1.0, 3.0, 6.0))
    inbox = Inbox(files, look_every_s=2.0, clock=lambda: next(times))
    assert inbox.events() == [Asked(0.0, CANCEL, ("b",)), Asked(0.0, PAUSE, ("c",))]
    ask(files, RESUME, ["c"])
    assert inbox.events() == []  # not looked yet
    assert inbox.events() == [Asked(3.0, RESUME, ("c",))]
    assert inbox.events() == []
