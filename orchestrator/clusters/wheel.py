"""This program as a wheel, made from what runs here with no build tool, for hosts that lack it or have another version.

Shipping it to workers is `backends.ray.shipping`'s, writing it beside a cluster's files `files`'.
"""

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

ROOMS = ("model", "experiments", "orchestrator", "analysis")
PICTURES = frozenset({".png", ".svg", ".pdf", ".jpg", ".jpeg"})

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Every file's time, so that the same code makes the same wheel."""


@dataclass(frozen=True)
class Wheel:
    """A built wheel and the SHA-256 of its bytes."""

    path: Path
    sha256: str


def build_wheel(folder: Path) -> Wheel:
    """Return a wheel of the installed dit-grid, written into the folder; the same code gives the same bytes."""
    about = metadata.distribution("dit-grid")
    info = f"dit_grid-{about.version}.dist-info"
    files = dict(_sources())
    files[f"{info}/METADATA"] = (about.read_text("METADATA") or "").encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: dit-grid\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = (about.read_text("entry_points.txt") or "").encode()
    record = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    path = folder / f"dit_grid-{about.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            wheel.writestr(zipfile.ZipInfo(name, EPOCH), data, zipfile.ZIP_DEFLATED)
    return Wheel(path, hashlib.sha256(path.read_bytes()).hexdigest())


def _is_source(file: Path, room: Path) -> bool:
    """Whether a file is part of the program: in a package, or a notebook; not what a run of it left among them.

    Pictures are never sources, nor is what lies in a folder that is no package, as figures drawn beside a notebook.
    """
    inside = file.relative_to(room).parts
    if any(part.startswith(".") or part == "__pycache__" for part in inside) or file.suffix in PICTURES:
        return False
    return (file.parent / "__init__.py").is_file() or (file.parent.name == "notebooks" and file.suffix == ".ipynb")


def _sources() -> Iterator[tuple[str, bytes]]:
    for room in ROOMS:
        folder = Path(str(resources.files(f"dit_grid.{room}"))).resolve()
        for file in sorted(folder.rglob("*")):
            if file.is_file() and _is_source(file, folder):
                yield f"dit_grid/{room}/{file.relative_to(folder).as_posix()}", file.read_bytes()


def _digest(data: bytes) -> str:
    """Return a hash as a wheel's RECORD has it (PEP 376: urlsafe base64 without padding)."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
