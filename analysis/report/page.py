"""The page: sections of HTML filled from the results, with its style, script and data inside.

What is here is markup. Every text from a store is escaped; numbers for the plots travel as JSON.
"""

import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_grid.analysis.curves.collapse import FALSE_ALARMS
from dit_grid.analysis.curves.results_alarm import departed
from dit_grid.analysis.figures.catalog import Material
from dit_grid.analysis.figures.style import size_colours
from dit_grid.analysis.laws.scaling import ScalingLaw
from dit_grid.analysis.laws.tuning_words import capital
from dit_grid.analysis.report.cells import Cells, table_html
from dit_grid.analysis.report.history import History, read_history
from dit_grid.analysis.report.pictures import sample_grid
from dit_grid.analysis.report.plots import not_drawn, plots
from dit_grid.analysis.report.settings import settings
from dit_grid.analysis.report.tables import coefficient_table, forms_table, metrics_table, runs_table
from dit_grid.analysis.report.words import checklist, facts, headline
from dit_grid.analysis.results.frames import NotMeasuredError, Results, load
from dit_grid.analysis.results.sample_sheets import load_samples

ON_DARK = ("#b8652c", "#cf6d4d", "#d97a6c", "#da84a0", "#d493cf", "#bfa9ea", "#c9d6ff")
"""Colours of sizes on a dark page, dark to light with size: the order of the light page, mirrored."""


def write_report(where: str, out: str | Path) -> Path:
    """The path of the report of the store at `where`, written to `out`; raises what `load` raises."""
    results = load(where)
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    history = read_history(where, results.runs["run_id"])
    path.write_text(report_html(results, load_samples(where, results), history), encoding="utf-8")
    return path


def report_html(
    results: Results, samples: dict[str, NDArray[np.floating]] | None = None, history: History | None = None
) -> str:
    """The whole page as text. Without samples or history those sections say that there are none."""
    material = Material(results, samples or {})
    law, why = _law(material)
    drawn = plots(material)
    parts = [
        _head(results, law, why),
        _plots(drawn, not_drawn(results)),
        _section("samples", "Samples", _samples(samples or {})),
        _section("runs", "Runs", _filterable(runs_table(results))),
        *_analysis(results, material, law),
        _section("alarm", "Early alarm", _alarm(results)),
        _section("spec", "Settings", _settings(results)),
        _section("history", "What ran, and what failed", _history(history or History())),
    ]
    data = {"plots": drawn, "sizes": list(dict.fromkeys(results.runs["size"].dropna()))}
    return _filled(results, "\n".join(parts), data)


def _law(material: Material) -> tuple[ScalingLaw | None, str]:
    """The law, or why there is none."""
    try:
        return material.law, ""
    except NotMeasuredError as reason:
        return None, str(reason)


def _filled(results: Results, body: str, data: dict[str, Any]) -> str:
    folder = files("dit_grid.analysis.report")
    page, style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js"))
    payload = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    fields = {
        "title": escape(f"Report of {_name(results)}"),
        "style": style.replace("/* colours */", _colours(data["sizes"])),
        "body": body,
        "data": payload,
        "script": script,
    }
    # In one pass: what is filled in is never searched again, so a run called {{data}} stays a name.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: fields[place[1]], page)


def _colours(sizes: Sequence[str]) -> str:
    """One style variable a size for each theme."""
    light = size_colours(sizes)
    last = len(ON_DARK) - 1
    dark = [ON_DARK[round(i * last / max(len(sizes) - 1, 1))] for i in range(len(sizes))]
    on_light = "".join(f"--s{i}:{light[size]};" for i, size in enumerate(sizes))
    on_dark = "".join(f"--s{i}:{colour};" for i, colour in enumerate(dark))
    return f":root{{{on_light}}} @media screen and (prefers-color-scheme: dark){{:root{{{on_dark}}}}}"


def _name(results: Results) -> str:
    names = list(dict.fromkeys(str(name) for name in results.runs["experiment"].dropna()))
    return ", ".join(names[:3]) or results.where or "these results"


def _head(results: Results, law: ScalingLaw | None, why: str) -> str:
    states = results.runs["state"].value_counts()
    counts = ", ".join(f"{count:,} {state}" for state, count in states.items()) or "no runs"
    numbers = [] if law is None else [f"<div><dt>{escape(n)}</dt><dd>{escape(v)}</dd></div>" for n, v in facts(law)]
    text = (
        f"<details><summary>The law in words, as the launch printed it</summary><pre>{escape(str(law))}</pre></details>"
    )
    title = f"No law yet: {why}" if law is None and len(results.evals) else headline(law)
    equation = f"<p class=equation>{escape(_equation(law))}</p>" if law is not None and law.fit is not None else ""
    return (
        f"<header><p class=where>{escape(_name(results))} · {escape(results.where or '')} · {escape(counts)}</p>"
        f"<h1>{escape(title)}</h1>{equation}<dl class=facts>{''.join(numbers)}</dl>{_cautions(law)}"
        f"{text if law else ''}</header>"
    )


def _cautions(law: ScalingLaw | None) -> str:
    """What a reader has to know before believing the headline, on the first screen."""
    lines = "".join(f"<li>{escape(capital(line))}.</li>" for line in law.cautions) if law is not None else ""
    return f"<ul class=cautions>{lines}</ul>" if lines else ""


def _equation(law: ScalingLaw) -> str:
    assert law.fit is not None
    return law.fit.law.equation(law.fit.theta).replace("gmacs", "GMACs").replace("value", law.metric)


def _section(name: str, title: str, body: str) -> str:
    return f'<section id="{name}" aria-labelledby="h-{name}"><h2 id="h-{name}">{escape(title)}</h2>{body}</section>'


def _plots(drawn: list[dict[str, Any]], left_out: list[str]) -> str:
    lacking = "".join(f"<p class=hint>Not drawn, because it is no number: {escape(line)}.</p>" for line in left_out)
    if not drawn:
        return _section("plots", "Plots", f"<p>Nothing to draw yet.</p>{lacking}")
    figures = [
        f"<figure><figcaption><h3>{escape(plot['title'])}</h3><p>{escape(plot['note'])}</p></figcaption>"
        f'<div class=plot id="plot-{plot["id"]}" data-plot="{i}"></div></figure>'
        for i, plot in enumerate(drawn)
    ]
    hint = "<p class=hint>Point at a mark, or focus a plot and use the arrow keys, to see the run behind it.</p>"
    return _section(
        "plots", "Plots", f"<div id=legend class=legend></div>{hint}{lacking}<div class=plots>{''.join(figures)}</div>"
    )


def _samples(samples: dict[str, NDArray[np.floating]]) -> str:
    if not samples:
        return "<p>No run has left samples yet.</p>"
    sizes, rows = sample_grid(samples)
    head = "".join(f"<th scope=col>{escape(size)}</th>" for size in sizes)
    body = "".join(_patch_row(patch, sizes, uris) for patch, uris in rows)
    return (
        "<p class=hint>Every model from the same noise and labels, newest pictures.</p>"
        '<div class=scroll tabindex=0 role=region aria-label="Samples">'
        f"<table class=sheet><tr><td></td>{head}</tr>{body}</table></div>"
    )


def _patch_row(patch: int, sizes: list[str], uris: list[str | None]) -> str:
    cells = "".join(_picture(f"{size}/{patch}", uri) for size, uri in zip(sizes, uris, strict=True))
    return f"<tr><th scope=row>patch {patch}</th>{cells}</tr>"


def _picture(model: str, uri: str | None) -> str:
    return f'<td><img alt="samples of {escape(model)}" src="{uri}"></td>' if uri else "<td class=gap>not yet</td>"


def _filterable(table: Cells) -> str:
    box = '<input type=search id=filter autocomplete=off placeholder="XL/2, failed, …">'
    return f"<label class=filter>Show runs with {box}</label>" + table_html(table, "runs-table")


def _analysis(results: Results, material: Material, law: ScalingLaw | None) -> Iterable[str]:
    if law is None:
        return
    yield _section("metrics", "Every metric against compute", table_html(metrics_table(results), "metrics-table"))
    forms = forms_table(law)
    if forms is not None:
        note = (
            "<p>Each form is scored by predicting every model from the others, and the more expensive half from the "
            "cheaper models. <strong>Whoever picks a form here has looked at the same points, so its score flatters "
            "it.</strong></p>"
        )
        yield _section("forms", "Other forms of the law", note + table_html(forms, "forms-table"))
    coefficients = coefficient_table(law)
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in checklist(law))
    table = table_html(coefficients, "coefficients-table") if coefficients is not None else ""
    yield _section("refit", "To fit it again", f"{table}<dl class=checklist>{rows}</dl>")


def _settings(results: Results) -> str:
    shared, varied = settings(results)
    text = f"<pre>{escape(shared)}</pre>" if shared else "<p>No specs are recorded.</p>"
    vary = f"<h3>What the runs differ in</h3><ul class=varied>{''.join(f'<li>{escape(v)}</li>' for v in varied)}</ul>"
    return f"<h3>What all runs share</h3>{text}{vary if varied else ''}"


def _alarm(results: Results) -> str:
    """The runs whose training loss left the curve of their peers, and what cannot be told."""
    looked = departed(results)
    items = "".join(f"<li>{escape(str(one))}</li>" for one in looked.left)
    rate = f"{FALSE_ALARMS:.0%} of healthy runs are flagged"
    none = f"<p>No training loss left the curve of its peers, of {looked.looked_at} that have some; {rate}.</p>"
    text = f"<p>Mis-tuned or broken, or one of the healthy: {rate}.</p><ul class=troubles>{items}</ul>"
    silence = f"<p class=hint>{escape(looked.silence)}</p>" if looked.silence else ""
    return (text if items else none if looked.looked_at else "") + silence


def _history(history: History) -> str:
    if not history.attempts:
        return "<p>No attempts are recorded.</p>"
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(history.outcomes.items()))
    machines = "; ".join(f"{count} on {name}" for name, count in history.machines.items())
    rows = [("Attempts", f"{history.attempts}: {counts}"), ("Machines", machines), *history.versions.items()]
    body = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in rows)
    return f"<dl class=checklist>{body}</dl>{_troubles(history)}"


def _troubles(history: History) -> str:
    if not history.troubles:
        return "<p>No attempt failed or was stopped.</p>"
    items = []
    for trouble in history.troubles[:200]:
        text = escape(f", attempt {trouble.attempt}, {trouble.outcome}: {trouble.message}")
        what = f"<b>{escape(trouble.run_id)}</b>{text}"
        trace = f"<pre>{escape(trouble.traceback[-4000:])}</pre>" if trouble.traceback else ""
        items.append(f"<li>{f'<details><summary>{what}</summary>{trace}</details>' if trace else what}</li>")
    more = f"<p>… and {len(history.troubles) - 200} more.</p>" if len(history.troubles) > 200 else ""
    return f"<h3>Attempts that did not end well</h3><ul class=troubles>{''.join(items)}</ul>{more}"
