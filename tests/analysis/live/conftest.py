"""A planted store in which some runs are half done, and its page served from a thread on a free port."""

import contextlib
import threading
from types import SimpleNamespace

import pytest

from dit_grid.analysis.live.feed import Feed
from dit_grid.analysis.live.listening import bound
from dit_grid.analysis.live.serving import Server
from dit_grid.experiments.store import Store


@pytest.fixture
def half_done(tmp_path, planted):
    """The path of a store of four models, XL/2 of which goes on."""
    return planted.store(
        tmp_path / "store", sizes={"S": (32, 2), "XL": (80, 5)}, patches=(4, 2), stop=("XL/2",), noise=0.1
    )


@pytest.fixture
def goes_on():
    """Writes rows of a run as its own process would, and returns when they are flushed."""

    def write(where, run_id, steps, metric=None):
        store = Store.open(where)
        attempt = store.attempts(run_id)[-1].attempt
        with store.writer(attempt) as writer:
            for step in steps:
                writer.train({"run_id": run_id, "attempt": attempt.number, "step": step, "loss": 0.111})
            if metric:
                writer.eval(metric | {"attempt": attempt.number})

    return write


@pytest.fixture
def served():
    """A context manager: the page of a store, served until the end; `stop()` is what Ctrl-C does."""

    @contextlib.contextmanager
    def serving(where, token=None, advice=None):
        with bound("127.0.0.1", 0) as taken:
            server = Server(Feed(where, advice), token)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
            thread.start()
            try:
                yield SimpleNamespace(
                    port=taken.getsockname()[1], thread=thread, feed=server.feed,
                    stop=lambda: server.handle_exit(2, None),
                )  # fmt: skip
            finally:  # a test that fails must not leave a thread that the process waits for
                server.handle_exit(2, None)
                thread.join(10)

    return serving
