"""The page's section on runs whose training loss left their peers' curve; what that means is `curves.collapse`."""

from html import escape

from dit_grid.analysis.curves.collapse import FALSE_ALARMS
from dit_grid.analysis.curves.results_alarm import departed
from dit_grid.analysis.results.frames import Results


def alarm_html(results: Results) -> str:
    """The inside of the section: which runs left, and what cannot be told."""
    looked = departed(results)
    items = "".join(f"<li>{escape(str(one))}</li>" for one in looked.left)
    rate = f"{FALSE_ALARMS:.0%} of healthy runs are flagged"
    none = f"<p>No training loss left the curve of its peers, of {looked.looked_at} that have some; {rate}.</p>"
    text = f"<p>Mis-tuned or broken, or one of the healthy: {rate}.</p><ul class=troubles>{items}</ul>"
    silence = f"<p class=hint>{escape(looked.silence)}</p>" if looked.silence else ""
    return (text if items else none if looked.looked_at else "") + silence
