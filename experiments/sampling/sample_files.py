"""Many samples in one file of ADM's form, drawn in parts that survive an interruption and may come from several hosts.

The file holds `arr_0` uint8 (N, H, W, C), `arr_1` int64 labels (N,), and as text how it was made. Until it is whole,
its parts lie in a folder beside it.
"""

import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.remote import exists, opened, saved
from dit_grid.experiments.store.arrays import opened_arrays
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
    place: str, job: Job, draw: Draw, *, host: int = 0, hosts: int = 1, drawn: Callable[[int, bool], None]
) -> bool:
    """Draw the parts of this host that are not there yet, and put all together if none is missing; True once whole.

    `place` is a path or a gs:// URL. `drawn` hears of each part: how many samples, and whether they are new. Raises
    DataError when the file, or parts of it, are there already and were made otherwise.
    """
    if exists(place):
        _check_same(place, made_how(place), job.text)
        drawn(len(job.labels), False)
        return True
    files, parts = _parts(place)
    files.prepare()
    try:
        files.create(f"{parts}/{JOB}", job.text.encode())
    except FileExistsError:
        _check_same(f"{place}.parts", files.read(f"{parts}/{JOB}").decode(), job.text)
    before = set(files.walk(parts))
    for index in range(host, job.parts, hosts):
        places = job.places(index)
        there = _name(parts, index) in before
        if not there:
            chunks = list(draw(job.labels[places.start : places.stop], np.arange(places.start, places.stop)))
            files.create(f"{parts}/{SHAPE}", json.dumps(chunks[0].shape[1:]).encode())
            files.create(_name(parts, index), np.concatenate(chunks).tobytes())
        drawn(len(places), not there)
    return _assemble(place, job, files, parts)


def made_how(place: str) -> str | None:
    """What a file of samples says of its making; None for one of another program. Raises DataError if unreadable."""
    with opened(place) as file, opened_arrays(file, place, DataError) as arrays:
        return arrays.text(MADE_BY) if MADE_BY in arrays else None


def _parts(place: str) -> tuple[Files, str]:
    """Where the parts lie until the file is whole: the folder that it will be in, and theirs in that."""
    folder, slash, name = place.rpartition("/")
    return open_files(folder or slash or "."), f"{name}.parts"


def _assemble(place: str, job: Job, files: Files, parts: str) -> bool:
    names = [_name(parts, index) for index in range(job.parts)]
    if not set(names) <= set(files.walk(parts)):
        return False
    try:
        with saved(place) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            shape = tuple(json.loads(files.read(f"{parts}/{SHAPE}")))
            with archive.open("arr_0.npy", "w", force_zip64=True) as member:
                header = {"descr": "|u1", "fortran_order": False, "shape": (len(job.labels), *shape)}
                npy.write_array_header_1_0(member, header)
                for name in names:
                    member.write(files.read(name))
            for name, array in (("arr_1", job.labels.astype(np.int64)), (MADE_BY, np.array(job.text))):
                with archive.open(f"{name}.npy", "w") as member:
                    npy.write_array(member, array, allow_pickle=False)
    except FileNotFoundError:
        if not exists(place):  # else another host was faster and has cleared the parts away
            raise
    files.delete_folder(parts)
    return True


def _said(where: str, text: str) -> dict[str, Any]:
    """What a file or a folder of parts says of its making. Raises DataError where it is no such record."""
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        held = None
    if not isinstance(held, dict):
        raise DataError(f"{where}: is there already, and its {MADE_BY} is damaged; remove it or choose another name")
    return held


def _name(parts: str, index: int) -> str:
    return f"{parts}/{index:06}.u8"


def _check_same(where: str, there: str | None, now: str) -> None:
    if there == now:
        return
    if there is None:
        raise DataError(f"{where}: is there already and was made by another program; choose another name")
    old, new = _said(where, there), json.loads(now)
    differing = [
        f"{name} is {old.get(name)} there and {new.get(name)} now"
        for name in sorted(old | new)
        if old.get(name) != new.get(name)
    ]
    raise DataError(f"{where}: is there already, made otherwise: {'; '.join(differing)}; choose another name")
