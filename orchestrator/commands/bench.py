"""`dit-grid bench`: this project beside its peers on the machine at hand.

What is compared and how it is timed is `orchestrator.bench`; here are the request and the table.
"""

from typing import TYPE_CHECKING, Any

import click

from dit_grid.orchestrator.commands.options import SOME_FAILED

BATCH = 8
"""Images of a network that is asked for without a batch."""

if TYPE_CHECKING:
    from dit_grid.orchestrator.bench import Comparison, Contest


@click.command()
@click.option("--only", "names", multiple=True, metavar="NAME", help="This comparison alone; may be given again.")
@click.option(
    "--cases", metavar="A,B", help="Networks for updates, forward and samples, at batch 8 or another: S/8,B/4@32."
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Cores, the last ones; from 2 by wall time.",
)
@click.option("--rounds", type=click.IntRange(min=1), help="Pieces of work of each, in turn; default by comparison.")
@click.option("--write", "page", metavar="PAGE", help="Put the table into this Markdown page, between its marks.")
@click.option("--list", "is_list", is_flag=True, help="Say what there is to compare and which peers are here.")
@click.option("--json", "as_json", is_flag=True, help="Print every figure as JSON.")
def bench(
    names: tuple[str, ...], cases: str | None, threads: int, rounds: int | None, page: str | None, is_list: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Time what this project does beside PyTorch, diffusers, Ray Tune, loggers and SciPy, in turn on the same cores.

    \b
    uv sync --group peers && uv pip install torch      # any peer may be missing: it is left out and named
    uv run --no-sync dit-grid bench                    # a quarter of an hour on two idle cores
    uv run --no-sync dit-grid bench --only updates --cases S/2,S/4@32 --threads 2

    A ratio above 1 says that dit-grid is faster; beside it stands the middle half of the paired ratios.
    """
    from pathlib import Path

    from dit_grid.orchestrator.bench import asked, check_page

    contests = asked(names)
    if is_list:
        _list(contests, as_json)
        return
    if page:
        check_page(Path(page))
    found = _measured([(contest, case) for contest in contests for case in _cases(contest, cases)], threads, rounds)
    _show(found, contests, threads, page, as_json)
    if any(one.ours_s is None for one in found):
        raise SystemExit(SOME_FAILED)


def _list(contests: "list[Contest]", as_json: bool) -> None:
    from dit_grid.orchestrator.screen.tables import print_json, print_rows

    rows = [
        {
            "name": one.name, "work": one.work, "cases": ", ".join(one.cases),
            "here": ", ".join(one.installed()) or "none", "missing": ", ".join(one.missing()),
        }
        for one in contests
    ]  # fmt: skip
    if as_json:
        print_json(rows)
    else:
        print_rows({name: name for name in ("name", "work", "cases", "here", "missing")}, rows)


def _measured(asked: "list[tuple[Contest, str]]", threads: int, rounds: int | None) -> "list[Comparison]":
    from dit_grid.orchestrator.bench import compared

    found: list[Comparison] = []
    for contest, case in asked:
        click.echo(f"{contest.name} {case}: {', '.join(['dit-grid', *contest.installed()])} …", err=True)
        answers = compared(contest, case, threads, rounds)
        for one in answers:
            click.echo(f"  {_said(one)}", err=True)
        found += answers
    return found


def _cases(contest: "Contest", cases: str | None) -> tuple[str, ...]:
    """The networks that were asked for with their batch; RequestError for one that is not one."""
    from dit_grid.model import SIZES
    from dit_grid.orchestrator.control.errors import RequestError

    if cases is None or not contest.has_networks:
        return contest.cases
    asked, known = [case.partition("@") for case in cases.split(",")], [f"{s}/{p}" for s in SIZES for p in (8, 4, 2)]
    for name, at, batch in asked:
        if name not in known:
            raise RequestError(f"--cases {name}: no such network; there are {', '.join(known)}")
        if at and not (batch.isdecimal() and int(batch)):
            raise RequestError(f"--cases {name}@{batch}: no batch; give a whole number of images, e.g. {name}@{BATCH}")
    return tuple(f"{name}@{int(batch or BATCH)}" for name, _, batch in asked)


def _said(one: "Comparison") -> str:
    if one.failed:
        return f"failed, {one.failed}"
    if one.ratio is None:
        return f"dit-grid {one.ours_s:.3g} s; no peer is installed"
    return (
        f"dit-grid {one.ours_s:.3g} s, {one.peer} {one.peer_s:.3g} s: {one.ratio:.2f} × "
        f"[{one.low:.2f}, {one.high:.2f}] in {one.rounds} rounds of {one.clock} seconds"
    )


def _show(found: "list[Comparison]", contests: "list[Contest]", threads: int, page: str | None, as_json: bool) -> None:
    from dataclasses import asdict
    from pathlib import Path

    from dit_grid.orchestrator.bench import described, markdown, rewritten
    from dit_grid.orchestrator.screen.tables import print_json

    machine = described(package for contest in contests for package in contest.peers.values())
    if page:
        rewritten(Path(page), markdown(found, machine, threads))
        click.echo(f"written: {page}", err=True)
    if as_json:
        answer: dict[str, Any] = {"machine": machine, "threads": threads, "comparisons": [asdict(o) for o in found]}
        print_json(answer)
    elif not page:
        click.echo(markdown(found, machine, threads))
    if missing := sorted({package for contest in contests for package in contest.missing()}):
        click.echo(
            f"not installed, so left out: {', '.join(missing)} (uv sync --group peers; torch by itself)", err=True
        )


COMMANDS = (bench,)
