"""The served page: what it answers and to whom, what is new while it is looked at, and that it ends at once."""

import http.client
import json
import time

import pytest
from click.testing import CliRunner

from dit_grid.analysis.live.listening import CannotServeError, address_of, bound, is_loopback
from dit_grid.experiments.store import NotAStoreError, Store
from dit_grid.orchestrator.commands.cli import cli
from dit_grid.orchestrator.control.errors import RequestError


def ask(port, path, method="GET", **headers):
    """Status, headers and text of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read().decode()


def data_of(text):
    return json.loads(text.split("id=data>")[1].split("</script>")[0])


def stream(port, version):
    """The stream of changes after a version, as lines."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", f"/events?version={version}")
    return connection.getresponse()


def next_change(answer, until=lambda change: True):
    while True:
        line = answer.readline().decode()
        assert line, "the stream ended"
        if line.startswith("data: {") and until(change := json.loads(line[6:])):
            return change


def test_a_flush_is_told_within_two_seconds_and_a_page_loaded_then_has_it(half_done, served, goes_on, planted):
    with served(half_done) as server:
        status, headers, text = ask(server.port, "/")
        data = data_of(text)
        assert (status, data["live"], len(data["runs"])) == (200, True, 4)
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'nonce-")
        answer = stream(server.port, data["version"])
        answer.readline()
        began = time.monotonic()
        goes_on(half_done, "xl-2-000000", range(1100, 1600, 100))
        change = next_change(answer)
        assert time.monotonic() - began < 2.0
        steps, losses = change["curves"]["train/loss"]["xl-2-000000"]
        assert (steps[-1], losses[-1]) == (1500, 0.111)
        assert change["runs"] == [{"id": "xl-2-000000", "state": "started", "step": 1500, "loss": 0.111}]
        assert change["after"] == data["version"]
        assert data_of(ask(server.port, "/")[2])["version"] == change["version"]


def test_of_many_runs_what_is_logged_in_training_comes_when_it_is_asked_for(half_done, served, monkeypatch):
    monkeypatch.setattr("dit_grid.analysis.report.curves.MANY_RUNS", 3)
    log_norms(half_done, [1100])
    with served(half_done) as server:
        data = data_of(ask(server.port, "/")[2])
        assert {"train/loss", "train/grad_norm"} <= data["quantities"].keys()
        assert "train/grad_norm" not in data["curves"]
        assert json.loads(ask(server.port, "/curves?key=train/grad_norm")[2]) == {
            "curves": {"xl-2-000000": [[1100], [2.5]]}
        }
        answer = stream(server.port, data["version"])
        answer.readline()
        log_norms(half_done, [1200])
        change = next_change(answer, lambda change: change.get("curves"))
        assert change["curves"]["train/grad_norm"]["xl-2-000000"] == [[1100, 1200], [2.5, 2.5]]
        assert "train/grad_norm" not in data_of(ask(server.port, "/")[2])["curves"], "a page loaded then stays small"
        assert ask(server.port, "/curves?key=train/nothing")[0] == 404


def log_norms(where, steps):
    """Write rows of XL/2 with the norm of its gradient."""
    store = Store.open(where)
    with store.writer(store.attempts("xl-2-000000")[-1].attempt) as writer:
        for step in steps:
            writer.train({"step": step, "loss": 0.1, "grad_norm": 2.5})


def test_a_last_value_makes_another_law_and_its_text_is_told(half_done, served, goes_on, planted):
    with served(half_done) as server:
        data = data_of(ask(server.port, "/")[2])
        answer = stream(server.port, data["version"])
        answer.readline()
        row = planted.eval_row({"run_id": "xl-2-000000"}, "fd_conv", 0.02, 2000)
        goes_on(half_done, "xl-2-000000", [2000], {k: v for k, v in row.items() if v is not None})
        change = next_change(answer, lambda change: "head" in change.get("sections", {}))
        assert "<dt>Models in it</dt><dd>4</dd>" in change["sections"]["head"]
        (run,) = [run for run in change["runs"] if run["id"] == "xl-2-000000"]
        assert "fd_conv" in run["laws"]


def test_the_first_page_after_a_while_has_what_was_written_while_nobody_looked(half_done, served, goes_on, planted):
    with served(half_done) as server:
        row = planted.eval_row({"run_id": "xl-2-000000"}, "fd_conv", 0.02, 2000)
        goes_on(half_done, "xl-2-000000", [2000], {k: v for k, v in row.items() if v is not None})
        text = ask(server.port, "/")[2]
        (run,) = [run for run in data_of(text)["runs"] if run["id"] == "xl-2-000000"]
        assert (run["step"], "fd_conv" in run["laws"]) == (2000, True)
        assert "<dt>Models in it</dt><dd>4</dd>" in text


def test_a_page_that_was_away_catches_up_and_one_of_another_server_loads_again(half_done, served, goes_on):
    with served(half_done) as server:
        before = server.feed.version
        goes_on(half_done, "xl-2-000000", [1100])
        server.feed.poll()
        assert next_change(stream(server.port, before))["after"] == before
        assert stream(server.port, "other-3").read() == b"event: reload\ndata: 0\n\n"


def test_only_this_machine_by_its_own_name_and_only_to_read(half_done, served):
    with served(half_done) as server:
        for name in ("evil.example", "evil.example:80", "localhost.evil.example", "", "127.0.0.1.evil.example"):
            assert ask(server.port, "/", host=name)[0] == 421, name
        for name in ("localhost:1", "LOCALHOST", "[::1]:8642", "127.0.0.1"):
            assert ask(server.port, "/run?id=x", host=name)[0] == 404, name
        assert ask(server.port, "/", method="POST")[0] == 405
        assert ask(server.port, "/run?id=../../etc/passwd")[2] == "no such run\n"


def test_beyond_this_machine_a_token_is_asked_of_every_answer(half_done, served):
    with served(half_done, token="tökén") as server:
        for path in ("/", "/events", "/run?id=xl-2-000000", "/?token=", "/?token=t", "/nowhere"):
            assert ask(server.port, path)[::2] == (
                403, "wrong or missing token; open the address that dit-grid serve printed\n"
            )  # fmt: skip
        assert ask(server.port, "/?token=t%C3%B6k%C3%A9n", host="box.example")[0] == 200
        assert ask(server.port, "/run?id=xl-2-000000", authorization="Bearer nothing")[0] == 403


def test_the_page_of_a_run_tells_its_attempts_and_samples(half_done, served):
    with served(half_done) as server:
        found = json.loads(ask(server.port, "/run?id=xl-2-000000")[2])
        assert found["attempts"] == [["1", "0", "not ended", "1 × unknown device", ""]]
        assert [step for step, _ in found["samples"]] == [2000]


def test_it_ends_at_once_with_a_page_open(half_done, served):
    with served(half_done) as server:
        answer = stream(server.port, server.feed.version)
        answer.readline()
        began = time.monotonic()
        server.stop()
        server.thread.join(10)
        assert time.monotonic() - began < 2.0
        answer.read()


def test_what_cannot_be_served_is_one_line(half_done, tmp_path, monkeypatch):
    def serve(*arguments):
        return CliRunner().invoke(cli, ["serve", *map(str, arguments)], catch_exceptions=False)

    with bound("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        words = f"cannot listen at 127.0.0.1 port {port} .*; --port 0 takes a free one"
        with pytest.raises(CannotServeError, match=words) as said:
            serve(half_done, "--port", port)
        assert "\n" not in str(said.value)
    with pytest.raises(NotAStoreError, match="no results store here"):
        serve(tmp_path, "--port", 0)
    with pytest.raises(CannotServeError, match="give an address of this machine"):
        serve(half_done, "--host", "no.such.host.invalid")
    assert "99999 is not in the range 0<=x<=65535" in serve(half_done, "--port", 99999).output
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"serving needs starlette and uvicorn: pip install 'dit-grid\[serve\]'"):
        serve(half_done)


def test_the_token_is_in_the_address_of_what_others_reach():
    assert address_of("127.0.0.1", 80, None) == "http://127.0.0.1:80/"
    assert address_of("::1", 80, None) == "http://[::1]:80/"
    assert address_of("10.0.0.7", 80, "abc") == "http://10.0.0.7:80/?token=abc"
    assert [is_loopback(host) for host in ("localhost", "127.8.0.1", "::1", "0.0.0.0", "10.0.0.7", "box")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
