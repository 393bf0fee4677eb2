"""All figures that a store can give, written to a folder with a gallery page that shows them.

What is here is files; what is drawn is `catalog`.
"""

import base64
import html
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from dit_grid.analysis.figures.catalog import HEADLINE, Entry, drawn
from dit_grid.analysis.figures.chart import Chart, save
from dit_grid.analysis.results.families import family_ties, specs_of, whole_family
from dit_grid.analysis.results.frames import Results, load
from dit_grid.analysis.results.metric_names import main_metric
from dit_grid.analysis.results.sample_sheets import load_samples
from dit_grid.analysis.results.sweeps import sweeps

GALLERY = "index.html"


AT_HOME = "~/dit-grid-figures"
"""Where figures of a store in a bucket go that nobody gave a folder; never the working folder, which may be sources."""


def figures_folder(where: str) -> str:
    """The folder for a store's figures when none is named: in the store, or for one in a bucket below AT_HOME."""
    name = where.rstrip("/").rpartition("/")[2]
    return str(Path(AT_HOME).expanduser() / name) if "://" in where else f"{where}/figures"


def write_figures(where: str | Results, out: str | Path | None = None, headline_only: bool = False) -> list[Path]:
    """The files written to `out`: PNG, SVG and data as CSV of every figure that the store at `where` can give.

    `where` may be what `load` read of it. By default `out` is `figures_folder(where)`.

    `index.html` shows them all, in the paper's order, and says of each missing one what it needs. Figures of an earlier
    call that cannot be drawn now are left as they are. With `headline_only` it draws the law, the way there and the
    samples, which a launch ends with, because all of them take ten seconds.
    """
    results = where if isinstance(where, Results) else load(where)
    folder = Path(out or figures_folder(results.where))
    found = list(drawn(results, load_samples(results.where, results), HEADLINE if headline_only else None))
    written = [path for entry, chart in found if isinstance(chart, Chart) for path in save(chart, folder, entry.name)]
    if not written:
        return []
    page = folder / GALLERY
    about = " ".join([FROM_RUNS, *_choices(results)])
    page.write_text(gallery(results, found, folder, about), encoding="utf-8")
    return [*written, page]


def _choices(results: Results) -> Iterator[str]:
    """Sentences on which runs the figures show, where those are not all."""
    if results.runs.empty:
        return
    family, left_out = whole_family(results)
    yield from (f"Tie: {line}." for line in family_ties(results.runs, specs_of(results)))
    found = sweeps(family, main_metric(set(family.evals["metric"])) or "")
    yield from (f"Of each model the {sweep.over}." for sweep in found[:1])
    if left_out:
        more = f" and {len(left_out) - 6} more" if len(left_out) > 6 else ""
        yield f"Left out, as of another family or recipe: {'; '.join(left_out[:6])}{more}."


FROM_RUNS = "The paper's result figures, from these runs. Each has its data beside it as CSV."


def gallery(
    results: Results,
    found: list[tuple[Entry, Chart | str]],
    folder: Path,
    about: str = FROM_RUNS,
    not_drawn: str = "Not drawn",
) -> str:
    """One HTML page with the pictures in it, a link to each one's vector form and data, and what is missing.

    `about` is its first line, `not_drawn` the heading over what is missing.
    """
    body = [_drawn(entry, chart, folder) for entry, chart in found if isinstance(chart, Chart)]
    absent = [(entry, reason) for entry, reason in found if isinstance(reason, str)]
    rows = [f"<li>{_numbered(entry)}{html.escape(entry.title)}: {html.escape(reason)}</li>" for entry, reason in absent]
    missing = f"<section><h2>{html.escape(not_drawn)}</h2><ul>{''.join(rows)}</ul></section>" if rows else ""
    template = (files("dit_grid.analysis.figures") / "gallery.html").read_text(encoding="utf-8")
    filled = {"where": html.escape(results.where or "these results"), "figures": "".join(body), "missing": missing}
    filled["about"] = html.escape(about)
    for name, text in filled.items():
        template = template.replace(f"{{{{{name}}}}}", text)
    return template


def _numbered(entry: Entry) -> str:
    return f"<b>Figure {entry.number}</b>, " if entry.number else ""


def _drawn(entry: Entry, chart: Chart, folder: Path) -> str:
    picture = base64.b64encode((folder / f"{entry.name}.png").read_bytes()).decode()
    title = html.escape(entry.title)
    notes = f"<p class=notes>Not in it: {html.escape(', '.join(chart.notes))}.</p>" if chart.notes else ""
    links = " · ".join(f'<a href="{entry.name}.{end}">{end.upper()}</a>' for end in ("png", "svg", "csv"))
    paper = f" <small>Figure {entry.number} of the paper</small>" if entry.number else ""
    return (
        f'<section id="{entry.name}"><h2>{title}{paper}</h2>'
        f'<img alt="{title}" src="data:image/png;base64,{picture}">{notes}'
        f"<p class=links>{links} · {len(chart.data):,} rows</p></section>"
    )
