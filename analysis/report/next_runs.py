"""What to run next, as the page shows it: candidates with what each is expected to teach and its price.

Which these are is decided by whoever asks for the page; nothing is ranked here.
"""

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
    heads = "".join(f"<th scope=col>{escape(title)}</th>" for title in found.titles)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in found.rows)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
    boxed = f'<div class=scroll tabindex=0 role=region aria-label="What to run next">{table}</div>' if table else ""
    command = f"<pre>{escape(found.command)}</pre>" if found.command else ""
    notes = "".join(f"<p class=hint>{escape(note)}</p>" for note in found.notes)
    return f"<p>{escape(found.said)}</p>{boxed}{notes}{command}"
