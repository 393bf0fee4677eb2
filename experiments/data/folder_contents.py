"""What lies in a folder of images: the images, and what is left out, apart from what systems leave everywhere.

Which class an image belongs to is `image_folder`; nothing is decoded here.
"""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = frozenset({".jpeg", ".jpg", ".png", ".webp", ".bmp"})

LITTER = frozenset({
    "__MACOSX", "@eaDir", "#recycle", "@Recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found",
    "__pycache__", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r",
})  # fmt: skip
"""Files and folders that macOS, Synology, QNAP, Windows and Linux leave, besides names that begin with a dot."""

NAMED = 3
"""Files that are named of those left out."""


@dataclass(frozen=True)
class Contents:
    """Files below a folder, each in the order of names: images, and whatever else lies there."""

    images: tuple[Path, ...]
    left_out: tuple[Path, ...]


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is a system's own: hidden, or one of `LITTER`."""
    return name.startswith(".") or name in LITTER


def contents(folder: Path) -> Contents:
    """The files below a folder at every depth. Links to folders are not followed; dead ones are left out by name."""
    images: list[Path] = []
    others: list[Path] = []
    for path, folders, names in os.walk(folder):
        linked = [name for name in folders if os.path.islink(os.path.join(path, name))]
        folders[:] = [name for name in folders if not is_litter(name)]
        for file in (Path(path, name) for name in (*names, *linked) if not is_litter(name)):
            (images if file.suffix.lower() in SUFFIXES and file.is_file() else others).append(file)
    return Contents(tuple(sorted(images)), tuple(sorted(others)))


def described(folder: Path, files: Iterable[Path]) -> str:
    """How many files of which kinds, and the first names, as `3 files left out (.tif 2, dead links 1): a.tif, …`."""
    listed = list(files)
    some = ", ".join(ascii(str(file.relative_to(folder)))[1:-1] for file in listed[:NAMED])
    more = ", …" if len(listed) > NAMED else ""
    return f"{folder}: {len(listed):,} files left out ({counted(listed)}): {some}{more}"


def counted(files: Iterable[Path]) -> str:
    """How many files of which kinds, the five most frequent."""
    return ", ".join(f"{kind} {count:,}" for kind, count in Counter(map(_kind, files)).most_common(5))


def _kind(file: Path) -> str:
    if file.is_symlink() and not file.exists():
        return "dead links"
    if file.is_dir():
        return "links to folders"
    return (ascii(file.suffix.lower())[1:-1] or "no suffix") if file.suffix.lower() not in SUFFIXES else "pictures"
