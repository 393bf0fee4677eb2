"""What is asked stands in order: nothing is lost among many askers, and the latest word on a run counts."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from dit_grid.experiments.store import Store
from dit_grid.orchestrator.control.requests import CANCEL, PAUSE, RESUME, RETRY, ask, asked, standing


@pytest.fixture
def files(tmp_path):
    return Store.create(tmp_path / "store").files


def test_no_request_is_lost_among_many_askers(files):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: ask(files, CANCEL, [f"run-{i}"]), range(40)))
    found = asked(files)
    assert [request.number for request in found] == list(range(1, 41))
    assert {request.run_ids[0] for request in found} == {f"run-{i}" for i in range(40)}


def test_the_latest_request_about_a_run_stands(files):
    ask(files, CANCEL, ["a", "b"])
    ask(files, PAUSE, ["c", "d"])
    ask(files, RETRY, ["a"])
    ask(files, RESUME, ["d"])
    assert standing(asked(files)) == {"b": CANCEL, "c": PAUSE}


def test_only_what_is_new_is_read(files):
    first = ask(files, CANCEL, ["a"])
    second = ask(files, CANCEL, ["a"])
    assert asked(files, after=first.number) == [second]
    assert asked(files, after=second.number) == []


def test_an_unknown_request_is_refused(files):
    with pytest.raises(ValueError, match="allowed are cancel, pause, resume, retry"):
        ask(files, "stop", ["a"])
    assert asked(files) == []
