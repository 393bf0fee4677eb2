"""Asking the TPU compiler: a process of its own for each program, ended when it takes too long, a line for each fault.

What the answers mean for a run is `verdicts`; that they are kept is `kept`.
"""

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from dit_grid.orchestrator.compiling import child
from dit_grid.orchestrator.compiling.questions import DECODE, FEATURES, Question
from dit_grid.orchestrator.control.errors import RequestError

PATIENCE_S = 600.0
"""A compiler that has not answered by then is ended: XL/2 takes it half a minute for v3, and 3 minutes for v6e."""

PATIENCE_TIMES = {DECODE: 3, FEATURES: 3}
"""Convolutions in float32 take the compiler two minutes of one core for v3, and six for v5e."""

PROGRAM = "dit_grid.orchestrator.compiling.process"

ANSWERS = (child.FITS, child.TOO_LARGE, child.REFUSED)
"""Kinds of answer that say something of the run; any other is a fault of the compiler or its installation."""


class CompilerError(RequestError):
    """The compiler is not there, or could not answer; one line that says what to do."""


def check_compiler() -> dict[str, str]:
    """Return the versions that an answer depends on. Raises CompilerError where the wheel is missing or too old."""
    if not is_installed():
        raise CompilerError(
            "--compile needs the TPU compiler, a wheel of 200 MB for Linux on x86-64 that needs no TPU: "
            "`uv pip install 'dit-grid[tpu]'` (in a clone `uv sync --extra tpu`)"
        )
    versions = {name: metadata.version(name) for name in ("jax", "jaxlib", "libtpu")}
    oldest = oldest_libtpu()
    if _numbers(versions["libtpu"]) < _numbers(oldest):
        raise CompilerError(
            f"libtpu {versions['libtpu']} is older than jax {versions['jax']} asks for, {oldest}: "
            "`uv pip install --upgrade 'dit-grid[tpu]'` takes one that fits"
        )
    return versions


def is_installed() -> bool:
    """Return whether the compiler is there; nothing of it is loaded."""
    return importlib.util.find_spec("libtpu") is not None


def oldest_libtpu() -> str:
    """Return the libtpu that the installed jax names in its own extra; older ones crash under it."""
    named = [re.search(r"^libtpu[=>]=([\d.]+)", text) for text in metadata.requires("jax") or []]
    return next((found[1].strip(".") for found in named if found), "0")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def ask(question: Question, patience_s: float = PATIENCE_S) -> dict[str, Any]:
    """Return the compiler's answer, of one of the kinds in ANSWERS, on the program for its topology.

    Raises CompilerError when it crashes, does not answer within `patience_s`, or cannot be used.
    """
    topology = question.topology
    request = {"program": question.program, "what": question.what, "topology": topology.name, "host": topology.host,
               "config": topology.config}  # fmt: skip
    answer = _answered(request, question.said, patience_s * PATIENCE_TIMES.get(question.program, 1))
    if answer["kind"] in ANSWERS:
        return answer
    versions = check_compiler()
    pair = f"libtpu {versions['libtpu']} does not work with jax {versions['jax']}"
    what = {
        child.NO_TOPOLOGY: f"the compiler knows no topology {topology.name} for {question.slice}",
        child.MISMATCH: f"{pair} (`uv pip install --upgrade 'dit-grid[tpu]'` takes one that does)",
    }.get(answer["kind"], f"the TPU compiler could not compile {question.said}")
    raise CompilerError(f"{what}: {answer['message']}")


def _answered(request: dict[str, Any], what: str, patience_s: float) -> dict[str, Any]:
    """Run the compiler's process in a folder of its own, which goes with everything that libtpu left there."""
    with tempfile.TemporaryDirectory(prefix="dit-grid-compile-") as folder:
        asked, answer, said = (Path(folder) / name for name in ("request.json", "answer.json", "said.txt"))
        asked.write_text(json.dumps(request))
        environment = os.environ | child.ENVIRONMENT | {"TPU_LOG_DIR": folder, "TMPDIR": folder}
        environment.pop("XLA_FLAGS", None)  # those of a CPU are not the TPU compiler's
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)  # written and never read without a TPU
        command = [sys.executable, "-m", PROGRAM, str(asked), str(answer), str(os.getpid())]
        with said.open("wb") as output, _started(command, environment, output) as process:
            try:
                process.wait(patience_s)
            except subprocess.TimeoutExpired:
                raise CompilerError(
                    f"the TPU compiler did not answer within {patience_s:g} s for {what} and was ended; a smaller "
                    "slice or network compiles sooner, and other work on this machine slows it"
                ) from None
        if not answer.exists():
            raise CompilerError(_crash(process.returncode, said, what))
        return json.loads(answer.read_text())


@contextlib.contextmanager
def _started(command: list[str], environment: dict[str, str], output: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Yield the process in a group of its own; none of the group is left, however this ends."""
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _crash(status: int, said: Path, what: str) -> str:
    how = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
    lines = [line for line in said.read_text(errors="replace").splitlines() if line.strip() and "://" not in line]
    last = f": {lines[-1][:200]}" if lines else ""
    memory = "; the machine may lack memory" if status == -signal.SIGKILL else ""
    return f"the TPU compiler ended {how} while compiling {what}{memory}{last}"
