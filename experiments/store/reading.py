"""Which files make up each owner's rows in a table, and their rows, beside writers, compaction and clean-up.

Nothing is written here, and which rows count is decided in `views`.
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pyarrow as pa

from dit_grid.experiments.store.encoding import decode, decode_together
from dit_grid.experiments.store.errors import StorageError
from dit_grid.experiments.store.files import Files
from dit_grid.experiments.store.paths import Compacted, Segment, StorePaths, checked_id, parse_rows
from dit_grid.experiments.store.records import Table

_Found = TypeVar("_Found")
_TRIES = 5

_AT_ONCE = 256
"""Files read before their rows are decoded: enough for a bucket to answer many at a time, without holding all bytes."""


@dataclass
class Listing:
    """The files of one owner in one table, as listed: segments in order of precedence."""

    segments: list[Segment] = field(default_factory=list)
    compacted: list[Compacted] = field(default_factory=list)

    @property
    def newest(self) -> Compacted | None:
        return max(self.compacted, default=None)

    def following(self, table: str, owner: str) -> Compacted:
        """The name that the next compaction takes."""
        return Compacted(table, owner, self.newest.generation + 1 if self.newest else 1)

    def uncovered(self, covers: Mapping[int, int]) -> list[Segment]:
        """The segments that a compaction with these `covers` does not replace."""
        return [s for s in self.segments if s.sequence >= covers.get(s.attempt, 0)]


def listings(files: Files, table: Table, owners: Collection[str] | None = None) -> dict[str, Listing]:
    """Owner -> its files, for the given owners or all; files whose names are not the store's are ignored."""
    kind = "journal" if table.name == "events" else "run id"
    ids = {checked_id(kind, owner) for owner in owners or ()}
    names = files.walk(table.name) if owners is None else [n for owner in ids for n in _names(files, table, owner)]
    found: dict[str, Listing] = {}
    for name in names:
        part = parse_rows(name)
        if part is None or (owners is not None and part.owner not in ids):
            continue
        listing = found.setdefault(part.owner, Listing())
        if isinstance(part, Segment):
            listing.segments.append(part)
        else:
            listing.compacted.append(part)
    for listing in found.values():
        listing.segments.sort()
    return found


def _names(files: Files, table: Table, owner: str) -> list[str]:
    prefix = f"{owner}-" if table.name == "events" else ""
    return files.walk(StorePaths.folder(table.name, owner), prefix)


@dataclass(frozen=True)
class Rows:
    """One owner's rows as stored, in order of precedence within each attempt, and how much its compaction covers."""

    parts: list[pa.Table]
    covers: dict[int, int]


def fetch(files: Files, table: Table, found: Mapping[str, Listing], tail: bool = False) -> dict[str, Rows]:
    """Owner -> its rows; with `tail` only the last row group of each file.

    Raises FileNotFoundError when a file went away since the listing; see `undisturbed`.
    """
    heads = {owner: listing.newest for owner, listing in found.items()}
    compacted = _compacted(files, table, [head for head in heads.values() if head], tail)
    covers = {owner: compacted[head][1] if head else {} for owner, head in heads.items()}
    loose = {owner: listing.uncovered(covers[owner]) for owner, listing in found.items()}
    segments = [segment for uncovered in loose.values() for segment in uncovered]
    names = [StorePaths.rows(segment) for segment in segments]
    data = zip(names, _bytes(files, names), map(_constants, segments), strict=True)
    result = {}
    for owner, head in heads.items():
        parts = [compacted[head][0]] if head else []
        for _, same in itertools.groupby(loose[owner], key=lambda segment: segment.attempt):
            parts += decode_together(table, itertools.islice(data, len(list(same))), tail)
        result[owner] = Rows(parts, covers[owner])
    return result


def _compacted(
    files: Files, table: Table, parts: Sequence[Compacted], tail: bool = False
) -> dict[Compacted, tuple[pa.Table, dict[int, int]]]:
    names = [StorePaths.rows(part) for part in parts]
    return {
        part: decode(table, data, name, _constants(part), tail)
        for part, name, data in zip(parts, names, _bytes(files, names), strict=True)
    }


def _bytes(files: Files, names: Sequence[str]) -> Iterator[bytes]:
    for start in range(0, len(names), _AT_ONCE):
        yield from files.read_many(names[start : start + _AT_ONCE])


def _constants(part: Segment | Compacted) -> dict[str, str | int]:
    """What the name of a file says about all rows in it."""
    if part.table == "events":
        return {"journal": part.owner}
    return {"run_id": part.owner, "attempt": part.attempt} if isinstance(part, Segment) else {"run_id": part.owner}


def undisturbed(read: Callable[[], _Found]) -> _Found:
    """What `read` returns, called again if a file that it listed was cleaned up before it was read.

    Clean-up removes only files that a committed compaction replaces, so the next listing shows the compaction.
    """
    for _ in range(_TRIES - 1):
        try:
            return read()
        except FileNotFoundError:
            continue
    try:
        return read()
    except FileNotFoundError as error:
        raise StorageError(f"{error}: listed but cannot be read; is somebody deleting files of the store?") from error


def covered_by(files: Files, table: Table, compacted: Compacted | None) -> dict[int, int]:
    """Attempt -> how many of its segments the compaction replaces; the whole file is read, so known to be sound."""
    return _compacted(files, table, [compacted])[compacted][1] if compacted else {}


def next_sequence(files: Files, table: Table, owner: str, attempt: int) -> int:
    """The first unused segment number of a writer, past all that exist or were compacted away."""

    def read() -> int:
        found = listings(files, table, [owner]).get(owner, Listing())
        covers = covered_by(files, table, found.newest)
        used = [segment.sequence + 1 for segment in found.segments if segment.attempt == attempt]
        return max([covers.get(attempt, 0), *used])

    return undisturbed(read)
