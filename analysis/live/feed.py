"""The page of one store, kept up to date: what is new is read, and told as changes of what the page holds.

A change comes in two speeds: curves and numbers of the runs that wrote, at once; law, tables and text, when reckoned.
"""

import json
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dit_grid.analysis.figures.material import Material
from dit_grid.analysis.live.rows import Rows
from dit_grid.analysis.report.curves import (
    Curve,
    curves,
    interned,
    main_protocols,
    main_rows,
    points_each,
    quantities,
    travelling,
)
from dit_grid.analysis.report.head import name_of
from dit_grid.analysis.report.history import read_history
from dit_grid.analysis.report.next_runs import NextRuns, next_html
from dit_grid.analysis.report.page import page_html
from dit_grid.analysis.report.page_data import frame_of
from dit_grid.analysis.report.run_facts import plain, run_facts
from dit_grid.analysis.report.run_pages import run_page
from dit_grid.analysis.report.sections import sections, titled
from dit_grid.analysis.results.frames import Results
from dit_grid.analysis.results.sample_sheets import load_sheets
from dit_grid.analysis.results.tables import results_table
from dit_grid.experiments.store import Store

Change = dict[str, Any]
Advice = Callable[[Results], NextRuns]

KEPT = 200
"""Changes that a page which was away can catch up on; one that was away for longer loads itself again."""

NEXT = "What to run next"

PROGRESS = ("state", "step", "loss", "steps_per_s")
"""What of a run changes with every row that it writes."""


class Feed:
    """The state of the page of a store. `poll` and `render` may be called from threads of their own, one each."""

    def __init__(self, where: str, advice: Advice | None = None) -> None:
        self.where, self._advice = where, advice
        self._store = Store.open(where)
        self._watch, self._rows, self._lock = self._store.watch(), Rows(), threading.Lock()
        self._epoch, self._number = uuid.uuid4().hex[:8], 0
        self._name, self._facts, self._frame, self._sections = where, {}, {}, {}  # type: ignore[var-annotated]
        self._protocols: dict[str, str | None] = {}
        self._curves: dict[str, dict[str, Curve]] = {}
        self._wanted: set[str] = set()
        self._changes: deque[Change] = deque(maxlen=KEPT)
        self.is_behind = True
        self.poll()
        self.render()

    @property
    def version(self) -> str:
        """Of what the page holds now; another server's versions are never the same."""
        return f"{self._epoch}-{self._number}"

    @property
    def measured(self) -> str:
        """What the law stands on, in a word that changes with it."""
        with self._lock:
            return f"{sum(map(len, self._rows.evals.values()))} {sorted(self._rows.states.items())}"

    def poll(self) -> Change | None:
        """Read what is new in the store; the change for pages, None where there is nothing."""
        update = self._watch.poll()
        with self._lock:
            runs, more = self._rows.take(update, self._store)
            self.is_behind = self.is_behind or more
            if not runs or not self._frame:
                return None
            return self._told(self._quick(runs))

    def render(self) -> Change | None:
        """Reckon law, tables and text anew; the change, None where nothing of it is another than before."""
        with self._lock:
            rows, self.is_behind = self._rows.copy(), False
        results = rows.results(self.where)
        sheets = load_sheets(self.where, results)
        material = Material(results, {model: sheet.pictures for model, sheet in sheets.items()})
        history = read_history(self.where, results.runs["run_id"])
        found = sections(material, sheets, history, None)
        facts = run_facts(results, material.laws)
        frame = frame_of(material, facts, quantities(results))
        with self._lock:
            self._name = name_of(results)
            protocols = main_protocols(results.evals)
            change = self._newer_facts(facts) | self._newer_curves(frame, protocols)
            change |= self._newer_texts(found) | {k: v for k, v in frame.items() if self._frame.get(k) != v}
            is_first, self._frame, self._protocols = not self._frame, frame, protocols
            return self._told(change) if any(change.values()) and not is_first else None

    def advise(self) -> Change | None:
        """Ask what to run next; the change, None where that is as before or nobody is there to ask."""
        if self._advice is None:
            return None
        with self._lock:
            rows = self._rows.copy()
        body = titled(NEXT, next_html(self._advice(rows.results(self.where))))
        with self._lock:
            if self._sections.get("next") == body:
                return None
            self._sections["next"] = body
            return self._told({"sections": {"next": body}})

    def since(self, version: str) -> list[Change] | None:
        """The changes after a version, oldest first; None where they are no longer known."""
        with self._lock:
            if version == self.version:
                return []
            kept = list(self._changes)
        place = next((i for i, change in enumerate(kept) if change["after"] == version), None)
        return None if place is None else kept[place:]

    def page(self, nonce: str = "") -> str:
        """The page as it is now."""
        with self._lock:
            steps, packed = interned(self._curves)
            data = {
                **self._frame, "runs": list(self._facts.values()), "steps": steps, "curves": packed, "live": True,
                "version": self.version,
            }  # fmt: skip
            return page_html(self._name, self._sections, data, nonce)

    def curves(self, key: str) -> dict[str, Any] | None:
        """The curves of a quantity that a page of many runs asks for; from now on changes hold it. None: no such."""
        with self._lock:
            if key not in self._frame["quantities"]:
                return None
            self._wanted |= {key} - self._travelling().keys()
            return {"curves": self._drawn(self._rows.results(self.where), [key]).get(key, {})}

    def run(self, run_id: str) -> dict[str, Any] | None:
        """Attempts, log and samples of a run as they are now; None where there is no such run."""
        if run_id not in self._facts:
            return None
        return run_page(self._store, run_id, read_history(self.where, [run_id]).by_run.get(run_id, []))

    def _quick(self, runs: set[str]) -> Change:
        """What can be told at once of runs that changed: their curves, and how far they are."""
        results = self._rows.results(self.where, runs)
        drawn = self._drawn(results, [*self._travelling(), *self._wanted])
        known = {key: found for key, found in drawn.items() if key in self._frame["quantities"]}
        table = results_table(results).to_dict("records")
        facts = [_progress(row) for row in table if row["run_id"] in self._facts]
        for fact in facts:
            self._facts[fact["id"]] = self._facts[fact["id"]] | fact
        for key, found in known.items():
            if key in self._wanted:
                continue
            self._curves[key] = self._curves.get(key, {}) | found
        return {"runs": facts, "curves": known, "asked": sorted(self._wanted & known.keys())}

    def _travelling(self) -> dict[str, Any]:
        return travelling(self._frame["quantities"], len(self._rows.runs))

    def _drawn(self, results: Results, asked: Iterable[str]) -> dict[str, dict[str, Curve]]:
        most = points_each(len(self._rows.runs))
        return curves(results.train, main_rows(results, self._protocols), asked, most)

    def _newer_facts(self, facts: list[dict[str, Any]]) -> Change:
        """The runs that are told otherwise now; rows that came since these were reckoned stay told."""
        newest = {}
        for fact in facts:
            before = self._facts.get(fact["id"], {})
            further = before.get("step", 0) > fact["step"]
            newest[fact["id"]] = fact | ({key: before[key] for key in PROGRESS if key in before} if further else {})
        changed = [fact for run, fact in newest.items() if self._facts.get(run) != fact]
        self._facts = newest
        return {"runs": changed, "whole": True} if changed else {}

    def _newer_curves(self, frame: dict[str, Any], protocols: dict[str, str | None]) -> Change:
        """All curves, where other quantities are drawn or a metric under another protocol; else none: `poll` tells."""
        if protocols == self._protocols and frame["quantities"] == self._frame.get("quantities"):
            return {}
        self._protocols = protocols
        unasked = travelling(frame["quantities"], len(self._rows.runs))
        self._curves = self._drawn(self._rows.results(self.where), unasked)
        return {"curves": self._curves}

    def _newer_texts(self, found: dict[str, str]) -> Change:
        """The sections whose text is another; those that the script fills stay as they are, and so does the advice."""
        unasked = titled(NEXT, "<p>Being reckoned …</p>") if self._advice else found["next"]
        found = found | {"next": self._sections.get("next", unasked)}
        changed = {name: body for name, body in found.items() if self._sections.get(name) != body}
        self._sections = found
        told = {name: body for name, body in changed.items() if name not in ("plots", "runs")}
        return {"sections": told} if told else {}

    def _told(self, change: Change) -> Change:
        after = self.version
        self._number += 1
        numbered = {"after": after, "version": self.version, **change}
        self._changes.append(numbered)
        return numbered


def _progress(row: Mapping[Any, Any]) -> dict[str, Any]:
    known = {key: value for key in PROGRESS if (value := plain(row.get(key))) is not None}
    return known | {"id": row["run_id"]}


def as_json(change: Change) -> str:
    """The change in one line."""
    return json.dumps(change, allow_nan=False, separators=(",", ":"))
