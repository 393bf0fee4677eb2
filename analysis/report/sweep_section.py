"""The page's section on a sweep: what was chosen, how far it can be believed, and the figure of the metric over it.

What is said is `laws.tuning_words`; the picture is `figures.sensitivity`'s, as it lies beside the other figures.
"""

import base64
from contextlib import suppress
from html import escape

from dit_grid.analysis.figures.material import Material
from dit_grid.analysis.figures.sensitivity import metric_against_settings
from dit_grid.analysis.laws.tuning import Tuning
from dit_grid.analysis.laws.tuning_words import capital, tuning_lines
from dit_grid.analysis.results.frames import NotMeasuredError


def sweep_html(material: Material) -> str:
    """The inside of the section; empty where nothing was swept."""
    with suppress(NotMeasuredError):
        if found := material.tunings:
            return _picture(found) + "".join(_words(rule, tuning) for rule, tuning in found.items())
    return ""


def _picture(found: dict[str, Tuning]) -> str:
    chart = metric_against_settings(found)
    coded = base64.b64encode(chart._repr_png_()).decode()
    notes = "".join(f"<p class=hint>{escape(note)}</p>" for note in chart.notes)
    words = "The metric over each value that was swept, a line a model; stars mark the best"
    return f'<img class=drawn alt="{words}" src="data:image/png;base64,{coded}">{notes}'


def _words(rule: str, tuning: Tuning) -> str:
    items = "".join(f"<li>{escape(capital(line.strip()))}</li>" for line in tuning_lines(tuning))
    return f"{f'<h3>{escape(rule)}</h3>' if rule else ''}<ul class=varied>{items}</ul>"
