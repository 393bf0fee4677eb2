"""The page as one text: the first screen and sections, with style, script and data inside.

What is here puts together. Every text from a store is escaped; what is drawn travels as JSON.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from dit_grid.analysis.figures.material import Material
from dit_grid.analysis.report.head import name_of
from dit_grid.analysis.report.history import History, read_history
from dit_grid.analysis.report.next_runs import NextRuns
from dit_grid.analysis.report.page_data import page_data
from dit_grid.analysis.report.run_pages import run_pages
from dit_grid.analysis.report.sections import sections
from dit_grid.analysis.report.web_files import filled, script, style
from dit_grid.analysis.results.frames import Results, load
from dit_grid.analysis.results.sample_sheets import Sheet, load_sheets


@dataclass(frozen=True)
class Besides:
    """What a page shows that is not in the results' frames: sheets by model, attempts, pages of runs, advice."""

    sheets: Mapping[str, Sheet] | None = None
    history: History | None = None
    pages: Mapping[str, Any] | None = None
    next_runs: NextRuns | None = None


def write_report(where: str, out: str | Path, advice: Callable[[Results], NextRuns] | None = None) -> Path:
    """The path of the report of the store at `where`, written to `out`; raises what `load` raises.

    `advice` says what to run next.
    """
    results = load(where)
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    history = read_history(where, results.runs["run_id"])
    besides = Besides(
        load_sheets(where, results), history, run_pages(where, history.by_run), advice and advice(results)
    )
    path.write_text(report_html(results, besides), encoding="utf-8")
    return path


def report_html(results: Results, besides: Besides | None = None) -> str:
    """The whole page as text. Sections of what is not given say that there is none."""
    besides = besides or Besides()
    material = Material(results, {model: sheet.pictures for model, sheet in (besides.sheets or {}).items()})
    parts = sections(material, besides.sheets or {}, besides.history or History(), besides.next_runs)
    data = page_data(material) | {"live": False, "details": besides.pages or {}}
    return page_html(name_of(results), parts, data)


def page_html(name: str, parts: Mapping[str, str], data: Mapping[str, Any], nonce: str = "") -> str:
    """The page of these sections and data; a `nonce` is that of the answer's content security policy."""
    payload = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    said = f' nonce="{escape(nonce)}"' if nonce else ""
    fields = {"title": escape(f"Report of {name}"), "body": _body(parts), "data": payload, "script": script()}
    return filled(fields | {"style": style(), "nonce": said})


def _body(parts: Mapping[str, str]) -> str:
    first, *others = parts.items()
    rest = "".join(f'<section id="{name}">{body}</section>' for name, body in others)
    return f'<header id="{first[0]}">{first[1]}</header>{rest}'
