"""What to run next, as the page shows it: candidates with what each is expected to teach and its price.

Which these are is decided by whoever asks for the page; nothing is ranked here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape


@dataclass(frozen=True)
class NextRuns:
    """`rows` of texts under `titles`, the best first; `said` in a sentence before them, `notes` after, `command`."""

    said: str
    titles: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = field(default=())
    command: str = ""


def next_html(found: NextRuns | None) -> str:
    """The section's body; of none, what would give one."""
    if found is None:
        return "<p>Not asked for. <code>dit-grid suggest WHERE</code> ranks runs by what they teach.</p>"
    kinds = ["", *[" class=num"] * (len(found.titles) - 1)]
    heads = "".join(
        f"<th scope=col{kind}>{escape(title)}</th>" for title, kind in zip(found.titles, kinds, strict=False)
    )
    rows = "".join(f"<tr>{_cells(found.titles, row, kinds)}</tr>" for row in found.rows)
    table = f"<table class=listed><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
    boxed = f'<div class=scroll tabindex=0 role=region aria-label="What to run next">{table}</div>' if table else ""
    command = f"<pre>{escape(found.command)}</pre>" if found.command else ""
    notes = "".join(f"<p class=hint>{escape(note)}</p>" for note in found.notes)
    return f"<p>{escape(found.said)}</p>{boxed}{notes}{command}"


def _cells(titles: Sequence[str], row: Sequence[str], kinds: Sequence[str]) -> str:
    cells = zip(titles, row, kinds, strict=True)
    return "".join(f'<td{kind} data-t="{escape(title)}">{escape(cell)}</td>' for title, cell, kind in cells)
