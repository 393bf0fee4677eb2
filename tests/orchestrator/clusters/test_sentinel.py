"""The sentinel against a metadata server that answers as Google's does: hanging requests, ETags, outages."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dit_grid.orchestrator.clusters import sentinel
from dit_grid.orchestrator.clusters.sentinel import stand_guard


class Metadata:
    """The entries of a host, changed by the test; `broken` answers 503 to so many requests."""

    def __init__(self):
        self.values = {"preempted": "FALSE", "maintenance-event": "NONE"}
        self.changed = threading.Condition()
        self.broken = 0
        self.asked = []
        self.url = ""

    def set(self, entry, value):
        with self.changed:
            self.values[entry] = value
            self.changed.notify_all()


@pytest.fixture
def metadata():
    host = Metadata()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path, _, query = self.path.partition("?")
            entry = path.rpartition("/")[2]
            host.asked.append((entry, query, self.headers.get("Metadata-Flavor")))
            if host.broken:
                host.broken -= 1
                self.send_error(503)
                return
            if entry not in host.values:
                self.send_error(404)
                return
            known = dict(part.split("=") for part in query.split("&") if part).get("last_etag")
            with host.changed:
                host.changed.wait_for(lambda: etag(entry) != known, timeout=2)
                value = host.values[entry]
            self.send_response(200)
            self.send_header("ETag", etag(entry))
            self.end_headers()
            self.wfile.write(value.encode())

        def log_message(self, *arguments):
            pass

    def etag(entry):
        return f"tag{host.values[entry]}"

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host.url = f"http://127.0.0.1:{server.server_port}/computeMetadata/v1/instance"
    yield host
    server.shutdown()
    server.server_close()


def guarded(host, drain, stop=None):
    """Stand guard on a thread; returns the thread and the list that gets the notice."""
    heard = []
    thread = threading.Thread(target=lambda: heard.append(stand_guard(drain, host.url, stop)), daemon=True)
    thread.start()
    return thread, heard


@pytest.mark.parametrize(
    ("entry", "value", "seconds"),
    [("preempted", "TRUE", 30), ("maintenance-event", "TERMINATE_ON_HOST_MAINTENANCE", 60)],
)
def test_a_notice_drains_the_node_at_once_with_the_time_that_is_left(metadata, entry, value, seconds):
    drained = []
    thread, heard = guarded(metadata, lambda entry, left: drained.append((entry, left, time.monotonic())))
    time.sleep(0.3)
    assert not drained
    changed = time.monotonic()
    metadata.set(entry, value)
    thread.join(5)
    assert heard == [entry]
    ((name, left, at),) = drained
    assert name == entry
    assert seconds - 1 < left <= seconds
    assert at - changed < 1
    assert all(flavor == "Google" for _, _, flavor in metadata.asked)  # without it the real one refuses


def test_a_notice_that_came_before_the_sentinel_is_heard(metadata):
    metadata.set("preempted", "TRUE")
    thread, heard = guarded(metadata, lambda entry, left: None)
    thread.join(5)
    assert heard == ["preempted"]


def test_a_migration_is_no_end(metadata):
    stop = threading.Event()
    drained = []
    thread, heard = guarded(metadata, lambda *told: drained.append(told), stop)
    metadata.set("maintenance-event", "MIGRATE_ON_HOST_MAINTENANCE")
    time.sleep(0.5)
    stop.set()
    thread.join(5)
    assert (heard, drained) == ([None], [])


def test_an_outage_of_the_server_and_a_failing_drain_are_survived(metadata, monkeypatch):
    monkeypatch.setattr(sentinel, "AGAIN_S", 0.05)
    metadata.broken = 4
    tries = []

    def drain(entry, left):
        tries.append(entry)
        if len(tries) < 3:
            raise ConnectionError("the head does not answer")

    thread, heard = guarded(metadata, drain)
    metadata.set("preempted", "TRUE")
    thread.join(5)
    assert heard == ["preempted"]
    assert len(tries) == 3


def test_a_host_without_an_entry_is_watched_by_the_other(metadata):
    del metadata.values["maintenance-event"]
    thread, heard = guarded(metadata, lambda entry, left: None)
    metadata.set("preempted", "TRUE")
    thread.join(5)
    assert heard == ["preempted"]
