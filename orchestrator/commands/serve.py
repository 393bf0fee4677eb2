"""`dit-grid serve`: the report as a page that changes while runs go on.

What is here reads arguments; the page and its server are `dit_grid.analysis.live`.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from dit_grid.orchestrator.commands.options import WHERE, store_named

if TYPE_CHECKING:
    from dit_grid.analysis import Results
    from dit_grid.analysis.report.next_runs import NextRuns

PORT = 8642
"""Where the page is unless another port is asked for."""

LOOPBACK = "127.0.0.1"


@click.command()
@WHERE
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 takes a free one.")
@click.option("--host", default=LOOPBACK, show_default=True, metavar="ADDRESS",
              help="Listen there; beyond this machine whoever looks needs the token that is printed.")  # fmt: skip
@click.option("--spec", "spec_file", type=click.Path(dir_okay=False), metavar="FILE",
              help="The spec whose runs and prices 'what to run next' is about, where WHERE is a store.")  # fmt: skip
@click.option("--beside", type=int, hidden=True, help="Of a launch: the number of the socket that it holds open.")
def serve(where: str | None, port: int, host: str, spec_file: str | None, beside: int | None) -> None:
    """Serve the report as a web page that follows the runs: what is flushed is seen within two seconds.

    \b
    dit-grid serve
    dit-grid serve results/digits --port 0
    dit-grid serve experiments/grid.yaml --host 0.0.0.0

    Only this machine can look unless --host says otherwise. Nothing is ever written. Ctrl-C ends it. Needs the extra
    `serve`; `dit-grid report` writes the same page as one file.
    """
    check_extra()
    from dit_grid.analysis.live import serve as served, serve_beside

    store = store_named(where)
    if beside is not None:
        serve_beside(store, beside, advice_for(spec_file))
        return
    served(store, host, port, advice_for(spec_file or where), lambda address: click.echo(f"{store}: {address}"))


@contextmanager
def page_of(store: str, spec_file: str, port: int) -> Iterator[None]:
    """Serve the page of a store, made if there is none, from a process of its own, which ends with this one.

    It can die without hurting a launch, and a law reckoned there takes nothing from the driver's own thread. Raises
    CannotServeError where the port cannot be had, before anything is made.
    """
    check_extra()
    from dit_grid.analysis.live import address_of, bound
    from dit_grid.experiments.store import Store

    with bound(LOOPBACK, port) as taken:
        Store.create(store)
        program = [sys.executable, "-m", "dit_grid.orchestrator", "serve", store, "--spec", spec_file]
        child = subprocess.Popen(
            [*program, "--beside", str(taken.fileno())], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            pass_fds=[taken.fileno()], start_new_session=True,
        )  # fmt: skip
        click.echo(f"The page of this launch: {address_of(LOOPBACK, taken.getsockname()[1], None)}")
    try:
        yield
    finally:
        child.terminate()
        child.wait()


def check_extra() -> None:
    """Raise RequestError with the line that installs what a server needs, where it is not there."""
    from importlib.util import find_spec

    from dit_grid.orchestrator.control.errors import RequestError

    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise RequestError(f"serving needs {' and '.join(missing)}: pip install 'dit-grid[serve]'")


def advice_for(where: str | None) -> "Callable[[Results], NextRuns]":
    """What says what to run next: of the spec at `where`, or of the runs that a store records."""
    from dit_grid.experiments.spec import load_spec
    from dit_grid.orchestrator.advice.next_runs import next_runs

    spec = load_spec(where) if where is not None and where.endswith((".yaml", ".yml")) else None
    return lambda results: next_runs(results, spec)


COMMANDS = (serve,)
