"""The file that a trainer imports: light, of the standard library alone, for Python 3.9 on; and its protocol."""

import ast
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dit_grid.experiments.trainers import client
from dit_grid.experiments.trainers.ending import ending, last_words
from dit_grid.experiments.trainers.protocol import Line

FILE = Path(client.__file__)


def test_the_printed_file_is_the_client_and_needs_python_3_9_alone():
    command = [sys.executable, "-m", "dit_grid.orchestrator", "trainer-client"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert text == FILE.read_text()
    tree = ast.parse(text, feature_version=(3, 9))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= set(sys.stdlib_module_names)


def test_importing_current_run_loads_nothing_of_weight():
    program = "import sys; from dit_grid.experiments import current_run; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.split())
    assert "dit_grid.experiments.trainers.client" in loaded
    assert not loaded & {"jax", "ray", "pandas", "numpy", "pyarrow", "pydantic", "yaml"}


def test_without_a_run_it_says_how_to_start_one(monkeypatch):
    monkeypatch.delenv("DIT_GRID_RUN", raising=False)
    with pytest.raises(client.RunError, match="no run is under way here; start it with `dit-grid launch SPEC`"):
        client.Run().log(1, loss=1.0)


GREETING = {"run": "toy-1", "attempt": 1, "config": {}, "seed": 0, "step": 5, "steps": 100, "log_every": 1,
            "checkpoint_every": 10, "columns": ["loss", "steps_per_s"], "settings": ["samples"]}  # fmt: skip


@pytest.fixture
def spoken(monkeypatch):
    """A run whose messages are only kept, and the line it speaks on."""
    heard = []

    def take(message):
        heard.append(message)
        if message.get("step") in (66, [66]):
            raise ValueError("not that one")
        return "/there"

    monkeypatch.delenv("RANK", raising=False)
    with Line(GREETING, take) as line:
        monkeypatch.setenv("DIT_GRID_RUN", line.address)
        yield client.Run(), heard, line


def test_rows_arrive_in_order_and_before_what_is_asked_after_them(spoken):
    run, heard, _ = spoken
    for step in range(6, 60):
        run.log(step, loss=step / 2)
    assert str(run.checkpoint_folder(60)) == "/there"
    assert [step for message in heard[:-1] for step in message["step"]] == [*range(6, 60)]
    assert [loss for message in heard[:-1] for loss in message["loss"]] == [step / 2 for step in range(6, 60)]
    assert heard[-1] == {"do": "folder", "step": 60}
    assert len(heard) < 40  # many rows a message
    assert [*heard[1]] == ["do", "step", "loss", "steps_per_s"]


def test_rows_of_other_columns_keep_their_order(spoken):
    run, heard, _ = spoken
    for step in range(6, 12):
        run.log(step, **({"loss": 1.0} if step % 3 else {"steps_per_s": 2.0}))
    run.evaluate(11, score=1.0)
    run.checkpoint_folder(12)
    rows = [step for message in heard if message["do"] == "log" for step in message["step"]]
    assert rows == [*range(6, 12)]
    assert [message["do"] for message in heard[-2:]] == ["evaluate", "folder"]
    assert [message["steps_per_s"] for message in heard if message["step"] == [9]] == [[2.0]]


def test_a_refused_row_is_said_at_the_next_call_and_a_refused_question_at_once(spoken):
    run, _, _ = spoken
    with pytest.raises(client.RunError, match="not that one"):
        run.commit(66)
    run.log(66, loss=1.0)
    run.checkpoint_folder(70)  # the refusal was written before this answer
    with pytest.raises(client.RunError, match="not that one"):
        run.log(71, loss=1.0)


def test_a_stop_is_heard(spoken):
    run, _, line = spoken
    assert run.stop_requested is False
    line.ask_to_stop()
    run.checkpoint_folder(6)
    assert run.stop_requested is True


def test_a_rank_that_is_not_the_first_writes_nothing(spoken, monkeypatch):
    run, heard, _ = spoken
    monkeypatch.setenv("RANK", "1")
    run.log(6, loss=1.0)
    run.evaluate(6, score=1.0)
    run.commit(6)
    assert run.rank == 1
    assert heard == []


def test_what_is_no_message_is_refused_and_the_line_goes_on(spoken):
    _, heard, line = spoken
    with socket.socket(socket.AF_UNIX) as speaker, speaker.makefile("rb") as answers:
        speaker.connect(line.address)
        assert json.loads(answers.readline())["protocol"] == 1
        speaker.sendall(b"nonsense\n[1]\n" + json.dumps({"do": "folder", "step": 1}).encode() + b"\n")
        told = [json.loads(answers.readline()) for _ in range(3)]
    assert "refused" in told[0]
    assert "a JSON object is expected" in told[1]["refused"]
    assert told[2] == {"answer": "/there"}
    assert len(heard) == 1


TRACEBACK = 'Traceback (most recent call last):\n  File "t.py", line 3, in <module>\n'


@pytest.mark.parametrize(
    ("code", "errors", "kind"),
    [
        (1, TRACEBACK + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "out-of-memory"),
        (1, TRACEBACK + "RuntimeError: [enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: "
         "you tried to allocate 800 bytes.", "out-of-memory"),
        (1, TRACEBACK + "jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate",
         "out-of-memory"),
        (1, TRACEBACK + "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 1 TiB", "out-of-memory"),
        (1, "caught CUDA out of memory, halving the batch\n" + TRACEBACK + "KeyError: 'width'", "error"),
        (137, "", "lost"),
        (139, "", "error"),
        (75, "the license server is busy", "storage"),
        (2, "usage: train.py [-h]\ntrain.py: error: unrecognized arguments: --widht", "error"),
    ],
)  # fmt: skip
def test_ends_have_their_class(code, errors, kind):
    found = ending(code, errors)
    assert found.failure_class == kind
    assert "\n" not in found.message


def test_last_words_keep_the_cause_of_a_chained_error():
    between = "\n\nDuring handling of the above exception, another exception occurred:\n\n"
    chained = f"{TRACEBACK}KeyError: 1{between}{TRACEBACK}ValueError: 2"
    assert last_words(f"noise\n{chained}") == chained
