"""Compaction of many segments into one file, and removal of what it replaced; both safe beside writers and readers.

A compaction is committed by the one create-once PUT of its file, which itself records which segments it covers: the
first n of each attempt. There is no moment at which a killed process leaves a reader with less or more than the view
had before: until the file exists the segments count, from then on it counts instead of them. Rows that are dead, and
losers of a key, are left out for good, which the liveness rule allows (it is monotone).

Clean-up deletes only what a readable, older compaction covers. A reader that listed a file before it went away lists
again and finds the compaction (`reading.undisturbed`).
"""

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from dit_grid.experiments.store.attempts import Fences
from dit_grid.experiments.store.checkpoint_marks import unmarked_folders
from dit_grid.experiments.store.encoding import encode
from dit_grid.experiments.store.files import Files
from dit_grid.experiments.store.partials import abandoned
from dit_grid.experiments.store.paths import Compacted, Segment, StorePaths
from dit_grid.experiments.store.reading import Listing, covered_by, fetch, listings, undisturbed
from dit_grid.experiments.store.records import EVALS, EVENTS, TRAIN, Table
from dit_grid.experiments.store.store import Store
from dit_grid.experiments.store.views import exactly_once

GRACE_S = 3600.0
"""How long clean-up leaves replaced files: longer than any one read takes, so readers rarely have to list again."""


@dataclass(frozen=True)
class Removal:
    """A file that clean-up removes, and why it is of no use any more."""

    name: str
    reason: str


def compact(store: Store, owners: Collection[str] | None = None, least_segments: int = 2) -> list[str]:
    """Names of the files written: one for each run (or journal) and table with `least_segments` loose segments or more.

    Any process may do it at any time; of two that race for one file the loser writes nothing.
    """
    fences = Fences(store.files)
    # Fences that appear later only make more rows dead; those the compaction keeps then die in the view.
    limits = fences.resume_steps(fences.ends(owners))
    written = []
    for table in (TRAIN, EVALS, EVENTS):
        for owner in sorted(listings(store.files, table, owners)):
            one = partial(_compact_one, store.files, table, owner, limits.get(owner, {}), least_segments)
            name = undisturbed(one)
            written += [name] if name else []
    return written


def _compact_one(
    files: Files, table: Table, owner: str, resume_steps: Mapping[int, int], least_segments: int
) -> str | None:
    listing = listings(files, table, [owner]).get(owner, Listing())
    covers = covered_by(files, table, listing.newest)
    taken, after = _without_gaps(listing, covers)
    if len(taken.segments) < least_segments:
        return None
    limits = {} if table is EVENTS else resume_steps
    rows = exactly_once(table, fetch(files, table, {owner: taken})[owner].parts, limits)
    name = StorePaths.rows(listing.following(table.name, owner))
    try:
        files.create(name, encode(rows, covers=after))
    except FileExistsError:
        return None
    return name


def _without_gaps(listing: Listing, covers: dict[int, int]) -> tuple[Listing, dict[int, int]]:
    """The loose segments that follow one another without a gap, and what a compaction of them covers.

    A listing on a disk may show a new file and not the one made just before it.
    """
    after = dict(covers)
    taken = []
    for segment in listing.uncovered(covers):
        if segment.sequence == after.get(segment.attempt, 0):
            taken.append(segment)
            after[segment.attempt] = segment.sequence + 1
    return Listing(taken, listing.compacted), after


def collect(store: Store, dry_run: bool = True, grace_s: float = GRACE_S) -> list[Removal]:
    """The files that are of no use any more: replaced by a compaction, or half-made, for `grace_s` or longer.

    They are deleted unless it is a dry run. Rows are never lost by it, whatever the clocks say: age only spares slow
    readers a second listing.
    """
    before = time.time() - grace_s
    removals: list[Removal] = []
    for table in (TRAIN, EVALS, EVENTS):
        for _, listing in sorted(listings(store.files, table).items()):
            # Gone since it was listed: somebody else is cleaning up, what stays is found the next time.
            with contextlib.suppress(FileNotFoundError):
                removals += _replaced(store.files, table, listing, before)
    removals += _unfinished_checkpoints(store, before)
    removals += [Removal(name, reason) for name, reason in abandoned(store.files, before)]
    for name in store.files.leftovers():
        with contextlib.suppress(FileNotFoundError):
            if store.files.modified(name) <= before:
                removals.append(Removal(name, "left half-made by a writer that was killed"))
    if not dry_run:
        for removal in removals:
            store.files.delete(removal.name)
    return removals


def _replaced(files: Files, table: Table, listing: Listing, before: float) -> Iterator[Removal]:
    newest = listing.newest
    if newest is None or files.modified(StorePaths.rows(newest)) > before:
        return
    loose = set(listing.uncovered(covered_by(files, table, newest)))
    old: list[Segment | Compacted] = [part for part in listing.segments if part not in loose]
    old += [part for part in listing.compacted if part != newest]
    for part in old:
        yield Removal(StorePaths.rows(part), f"replaced by {StorePaths.rows(newest)}")


def _unfinished_checkpoints(store: Store, before: float) -> Iterator[Removal]:
    """Files of checkpoints that are not whole and whose attempt was replaced, so that nobody will finish them."""
    for run_id, state in sorted(store.states().items()):
        for folder in unmarked_folders(store.files, run_id, before_attempt=state.attempt):
            for name in sorted(store.files.sizes(folder)):
                with contextlib.suppress(FileNotFoundError):
                    if store.files.modified(name) <= before:
                        yield Removal(name, "part of a checkpoint that its attempt never finished")
