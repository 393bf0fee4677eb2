"""Draws `architecture.svg` from the imports of the four folders: rooms in their layers, and which room needs which.

    python docs/draw_architecture.py            # writes docs/architecture.svg
    python docs/draw_architecture.py --check    # exit status 1 if the picture is stale

Layers are those that `pyproject.toml` holds the code to. An arrow that follows from two others is left out.
"""

import ast
import html
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "architecture.svg"
FOLDERS = ("orchestrator", "experiments", "analysis")
WIDTH, ROOM_WIDTH, ROOM_HEIGHT, GAP, TOP = 1180, 150, 34, 30, 70
COLUMNS = {"orchestrator": 20, "experiments": 430, "analysis": 800}
"""Left edge of each folder's box; `model` lies under all of them."""
BOX = 360
COLOURS = {"orchestrator": "#e8eefc", "experiments": "#e9f6ec", "analysis": "#fdf1e3", "model": "#f3ecf9"}


class Place(NamedTuple):
    """The upper left corner of a room's box, and its width."""

    left: float
    top: float
    width: float = ROOM_WIDTH


def layers(folder: str) -> list[list[str]]:
    """The folder's rooms as its contract orders them, highest first; those of one layer do not import each other."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    found = next(one["layers"] for one in contracts if one.get("containers") == [f"dit_grid.{folder}"])
    return [rooms for row in found if (rooms := [r for r in row.split(" | ") if not r.startswith("_")])]


def needs() -> dict[str, set[str]]:
    """Room -> rooms that its files import, as "folder.room"; `model` is one room."""
    found: dict[str, set[str]] = defaultdict(set)
    for folder in (*FOLDERS, "model"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            here = room_of(f"dit_grid.{'.'.join(file.relative_to(ROOT).with_suffix('').parts)}")
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if here and isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dit_grid"):
                    found[here] |= {there for name in node.names if (there := target(node.module, name.name)) != here}
    return {room: {there for there in rooms if there} for room, rooms in found.items()}


def target(module: str, name: str) -> str:
    """The room that `from module import name` reaches, where the name may be a room itself; "" for a folder's door."""
    is_room = module.count(".") == 1 and (ROOT / path(module) / name).is_dir()
    return room_of(f"{module}.{name}" if is_room else module)


def path(module: str) -> str:
    """The path of a module of ours below the root."""
    return module.removeprefix("dit_grid.").replace(".", "/")


def room_of(module: str) -> str:
    """The room of a module's dotted name, as folder.room; "" for what belongs to a folder's door."""
    _, folder, *rest = module.split(".")
    if folder == "model":
        return "model"
    return f"{folder}.{rest[0]}" if rest and not rest[0].startswith("_") else ""


def reduced(edges: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The edges that do not follow from a longer way."""

    def reach(room: str) -> set[str]:
        seen: set[str] = set()
        stack = list(edges.get(room, ()))
        while stack:
            if (there := stack.pop()) not in seen:
                seen.add(there)
                stack += edges.get(there, ())
        return seen

    return sorted(
        (a, b) for a, direct in edges.items() for b in direct if not any(b in reach(c) for c in direct if c != b)
    )


def places() -> dict[str, Place]:
    """Where the box of each room is; where three share a layer they are narrower."""
    found: dict[str, Place] = {}
    for folder in FOLDERS:
        for row, rooms in enumerate(layers(folder)):
            width = min(ROOM_WIDTH, (BOX - 12 * (len(rooms) + 1)) / len(rooms))
            left = COLUMNS[folder] + (BOX - len(rooms) * width - 12 * (len(rooms) - 1)) / 2
            for column, room in enumerate(rooms):
                top = TOP + row * (ROOM_HEIGHT + GAP)
                found[f"{folder}.{room}"] = Place(left + column * (width + 12), top, width)
    return found


def drawn() -> str:
    """The picture as SVG."""
    at = places()
    rows = max(len(layers(folder)) for folder in FOLDERS)
    bottom = TOP + rows * (ROOM_HEIGHT + GAP)
    at["model"] = Place(COLUMNS["experiments"] + (BOX - ROOM_WIDTH) / 2, bottom + 34)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 100}" font-family="sans-serif">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#567"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{bottom + 100}" fill="white"/>',
    ]
    parts += [folder_box(folder, bottom - TOP + 40) for folder in FOLDERS]
    parts += [
        arrow(at[a], at[b], a.split(".")[0] == b.split(".")[0]) for a, b in reduced(needs()) if a in at and b in at
    ]
    parts += [room_box(room, place) for room, place in sorted(at.items())]
    return "\n".join([*parts, "</svg>", ""])


def folder_box(folder: str, height: float) -> str:
    """A folder's background with its name."""
    left = COLUMNS[folder]
    return (
        f'<rect x="{left}" y="{TOP - 46}" width="{BOX}" height="{height:g}" rx="10" fill="{COLOURS[folder]}"/>'
        f'<text x="{left + 14}" y="{TOP - 22}" font-size="17" font-weight="bold">{folder}/</text>'
    )


def room_box(room: str, place: Place) -> str:
    """One room: its name, and as a tooltip the first line of its door."""
    folder, _, name = room.partition(".")
    door = (ROOT / room.replace(".", "/") / "__init__.py").read_text("utf-8")
    says = html.escape((ast.get_docstring(ast.parse(door)) or "").partition("\n")[0])
    fill = COLOURS["model"] if folder == "model" else "white"
    return (
        f'<g><title>{says}</title><rect x="{place.left:g}" y="{place.top:g}" width="{place.width:g}" '
        f'height="{ROOM_HEIGHT}" rx="6" fill="{fill}" stroke="#345"/><text x="{place.left + place.width / 2:g}" '
        f'y="{place.top + 22:g}" font-size="14" text-anchor="middle">{name or folder + "/"}</text></g>'
    )


def arrow(start: Place, end: Place, same_folder: bool) -> str:
    """An arrow from below one room to above another, or from side to side where that lies as high; paler between
    folders."""
    x1, y1 = start.left + start.width / 2, start.top + ROOM_HEIGHT
    x2, y2 = end.left + end.width / 2, end.top
    near, far = (x1, y1 + (y2 - y1) / 2), (x2, y2 - (y2 - y1) / 2)
    if y2 <= y1:
        x1, y1, x2, y2 = start.left + start.width, start.top + ROOM_HEIGHT / 2, end.left, end.top + ROOM_HEIGHT / 2
        lift = ROOM_HEIGHT if x2 - x1 > BOX else 0  # over the rooms of a folder between
        near, far = (x1 + 90, y1 - 2 * lift), (x2 - 90, y2 - 2 * lift)
    colour, wide = ("#567", 1.4) if same_folder else ("#9ab", 1.0)
    bends = f"{near[0]:g} {near[1]:g} {far[0]:g} {far[1]:g}"
    return (
        f'<path d="M{x1:g} {y1:g}C{bends} {x2:g} {y2:g}" fill="none" '
        f'stroke="{colour}" stroke-width="{wide}" marker-end="url(#tip)"/>'
    )


def main() -> None:
    """Write the picture, or compare it with the one that is there."""
    if "--check" in sys.argv[1:]:
        if PICTURE.read_text("utf-8") != drawn():
            sys.exit("docs/architecture.svg is stale; run: python docs/draw_architecture.py")
        return
    PICTURE.write_text(drawn(), encoding="utf-8")


if __name__ == "__main__":
    main()
