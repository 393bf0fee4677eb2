"""The sections below the first screen: what to run next, samples, metrics, forms, refit, settings and what failed.

What is here is markup, and every text from a store is escaped.
"""

from collections.abc import Mapping
from html import escape

from dit_grid.analysis.figures.material import Material
from dit_grid.analysis.laws.scaling import ScalingLaw
from dit_grid.analysis.report.alarm_section import alarm_html
from dit_grid.analysis.report.cells import table_html
from dit_grid.analysis.report.curves import not_drawn
from dit_grid.analysis.report.head import head
from dit_grid.analysis.report.history import History
from dit_grid.analysis.report.next_runs import NextRuns, next_html
from dit_grid.analysis.report.pictures import sheets_table
from dit_grid.analysis.report.settings import settings
from dit_grid.analysis.report.sweep_section import sweep_html
from dit_grid.analysis.report.tables import coefficient_table, forms_table, metrics_table
from dit_grid.analysis.report.words import checklist
from dit_grid.analysis.results.frames import NotMeasuredError, Results
from dit_grid.analysis.results.sample_sheets import Sheet

NOT_YET = "<p>Not before there is a law.</p>"


def sections(
    material: Material, sheets: Mapping[str, Sheet], history: History, next_runs: NextRuns | None
) -> dict[str, str]:
    """Id -> the markup inside each section, in the page's order; the script fills `plots` and `runs`."""
    law, why = law_or_why(material)
    swept = sweep_html(material)
    return {
        "head": head(material, law, why),
        "plots": titled(
            "Plots", _lacking(material.everything) + "<div id=filters></div><div id=figures class=plots></div>"
        ),
        **({"sweep": titled("What was swept", swept)} if swept else {}),
        "next": titled("What to run next", next_html(next_runs)),
        "runs": titled("Runs", "<div id=runs-table></div>"),
        "samples": titled("Samples", _samples(sheets)),
        "metrics": titled("Every metric against compute", _metrics(material, law)),
        "forms": titled("Other forms of the law", _forms(law)),
        "refit": titled("To fit it again", _refit(law)),
        "alarm": titled("Early alarm", alarm_html(material.everything)),
        "spec": titled("Settings", _settings(material.everything)),
        "history": titled("What ran, and what failed", _history(history)),
    }


def law_or_why(material: Material) -> tuple[ScalingLaw | None, str]:
    """The law, or why there is none."""
    try:
        return material.law, ""
    except NotMeasuredError as reason:
        return None, str(reason)


def titled(title: str, body: str) -> str:
    """A section's inside: its heading and its body."""
    return f"<h2>{escape(title)}</h2>{body}"


def _lacking(results: Results) -> str:
    return "".join(
        f"<p class=hint>Not drawn, because it is no number: {escape(said)}.</p>" for said in not_drawn(results)
    )


def _samples(sheets: Mapping[str, Sheet]) -> str:
    if not sheets:
        return "<p>No run has left samples yet.</p>"
    known = any(sheet.labels for sheet in sheets.values())
    below = " Below each picture: the class that was asked for." if known else ""
    return (
        f"<p class=hint>Every model from the same noise and labels, newest pictures.{below}</p>"
        f'<div class=scroll tabindex=0 role=region aria-label="Samples">{sheets_table(sheets)}</div>'
    )


def _metrics(material: Material, law: ScalingLaw | None) -> str:
    return NOT_YET if law is None else table_html(metrics_table(material.laws), "metrics-table")


def _forms(law: ScalingLaw | None) -> str:
    found = forms_table(law) if law is not None else None
    if found is None:
        return "<p>Forms are compared once four models have a final value.</p>"
    note = (
        "<p>Each form is scored by predicting every model from the others, and the more expensive half from the "
        "cheaper models. <strong>Whoever picks a form here has looked at the same points, so its score flatters "
        "it.</strong></p>"
    )
    return note + table_html(found, "forms-table")


def _refit(law: ScalingLaw | None) -> str:
    if law is None:
        return NOT_YET
    coefficients = coefficient_table(law)
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in checklist(law))
    table = table_html(coefficients, "coefficients-table") if coefficients is not None else ""
    return f"{table}<dl class=checklist>{rows}</dl>"


def _settings(results: Results) -> str:
    shared, varied = settings(results)
    text = f"<pre>{escape(shared)}</pre>" if shared else "<p>No specs are recorded.</p>"
    vary = f"<h3>What the runs differ in</h3><ul class=varied>{''.join(f'<li>{escape(v)}</li>' for v in varied)}</ul>"
    return f"<h3>What all runs share</h3>{text}{vary if varied else ''}"


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
