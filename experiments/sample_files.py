"""Many samples in one file of ADM's form, drawn in parts that survive an interruption and may come from several hosts.

The file holds `arr_0` uint8 (N, H, W, C), `arr_1` int64 labels (N,), and as text how it was made. Until it is whole,
its parts lie in a folder beside it.
"""

import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.store.files import Files, open_files

MADE_BY = "dit_grid_samples"
JOB, SHAPE = "job.json", "shape.json"


@dataclass(frozen=True)
class Job:
    """A set of samples: which labels, in parts of so many, made how (`made`, all JSON values)."""

    labels: NDArray[np.int32]
    part: int
    made: dict[str, Any]

    @property
    def parts(self) -> int:
        return -(-len(self.labels) // self.part)

    def places(self, index: int) -> range:
        """Which samples part `index` holds."""
        return range(index * self.part, min((index + 1) * self.part, len(self.labels)))

    @property
    def text(self) -> str:
        """What is recorded of the job, the same for every host and repetition."""
        return json.dumps(self.made | {"samples": len(self.labels), "part": self.part}, sort_keys=True)


Draw = Callable[[NDArray[np.int32], NDArray[np.int64]], Iterator[NDArray[np.uint8]]]
"""From labels and numbers of samples to images (n, H, W, C), uint8, in order, in chunks of any length."""


def write_samples(
    path: Path, job: Job, draw: Draw, *, host: int = 0, hosts: int = 1, drawn: Callable[[int, bool], None]
) -> bool:
    """Draw the parts of this host that are not there yet, and put all together if none is missing; True once whole.

    `drawn` hears of each part: how many samples, and whether they are new. Raises DataError when the file, or parts of
    it, are there already and were made otherwise.
    """
    if path.exists():
        _check_same(path, made_how(path), job.text)
        drawn(len(job.labels), False)
        return True
    files = open_files(str(parts_folder(path)))
    files.prepare()
    try:
        files.create(JOB, job.text.encode())
    except FileExistsError:
        _check_same(parts_folder(path), files.read(JOB).decode(), job.text)
    for index in range(host, job.parts, hosts):
        places = job.places(index)
        exists = _exists(files, index)
        if not exists:
            chunks = list(draw(job.labels[places.start : places.stop], np.arange(places.start, places.stop)))
            files.create(SHAPE, json.dumps(chunks[0].shape[1:]).encode())
            files.create(_name(index), np.concatenate(chunks).tobytes())
        drawn(len(places), not exists)
    return _assemble(path, job, files)


def made_how(path: Path) -> str | None:
    """What a file of samples says of its making; None for one of another program. Raises DataError if unreadable."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return str(arrays[MADE_BY]) if MADE_BY in arrays else None
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a complete .npz file ({error})") from error


def parts_folder(path: Path) -> Path:
    """Where the parts lie until the file is whole."""
    return path.with_name(f"{path.name}.parts")


def _assemble(path: Path, job: Job, files: Files) -> bool:
    if not all(_exists(files, index) for index in range(job.parts)):
        return False
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(temporary, "w") as archive:
            shape = tuple(json.loads(files.read(SHAPE)))
            with archive.open("arr_0.npy", "w", force_zip64=True) as member:
                header = {"descr": "|u1", "fortran_order": False, "shape": (len(job.labels), *shape)}
                npy.write_array_header_1_0(member, header)
                for index in range(job.parts):
                    member.write(files.read(_name(index)))
            for name, array in (("arr_1", job.labels.astype(np.int64)), (MADE_BY, np.array(job.text))):
                with archive.open(f"{name}.npy", "w") as member:
                    npy.write_array(member, array, allow_pickle=False)
        os.replace(temporary, path)
    except FileNotFoundError:
        if not path.exists():  # else another host was faster and has cleared the parts away
            raise
    finally:
        temporary.unlink(missing_ok=True)
    shutil.rmtree(parts_folder(path), ignore_errors=True)
    return True


def _exists(files: Files, index: int) -> bool:
    return (Path(files.root) / _name(index)).is_file()


def _name(index: int) -> str:
    return f"{index:06}.u8"


def _check_same(where: Path, there: str | None, now: str) -> None:
    if there == now:
        return
    if there is None:
        raise DataError(f"{where}: is there already and was made by another program; choose another name")
    old, new = json.loads(there), json.loads(now)
    differing = [
        f"{name} is {old.get(name)} there and {new.get(name)} now"
        for name in sorted(old | new)
        if old.get(name) != new.get(name)
    ]
    raise DataError(f"{where}: is there already, made otherwise: {'; '.join(differing)}; choose another name")
