"""Every name inside a results store, built and parsed in one place; other rooms ask `StorePaths` and spell none.

Names are relative to the root and use forward slashes. What the files hold is not known here.

    FORMAT.json                                  which format this store has
    runs/<run_id>.parquet                        one row: the run's spec and facts
    train/<run_id>/a000003-n00000042.parquet     segment 42 that attempt 3 wrote; evals/ likewise
    train/<run_id>/c000002.parquet               second compaction of the run's segments; evals/ likewise
    events/<journal>-n00000042.parquet           segment 42 of a journal; <journal>-c000002.parquet compacted
    attempts/<run_id>.a000003.start.json         attempt 3 began: the fence
    attempts/<run_id>.a000003.<outcome>.json     attempt 3 ended
    checkpoints/<run_id>/a000003/s000000500/     attempt 3's checkpoint after 500 updates (the trainer's)
    checkpoints/<run_id>/whole.a000003.s000000500.json   that it is whole: files, sizes, digests
    logs/<run_id>/a000003.log                    attempt 3's log on a disk; a000003.r0005.log of its process 5
    logs/<run_id>/a000003-n00000042.log          piece 42 of attempt 3's log in a bucket
    samples/<run_id>/…, figures/…                pictures
    samples/<run_id>/a000003-s000000500.….partial          state of an evaluation under way
    programs/…                                   what XLA compiled for accelerators, JAX's own files; may be deleted
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from dit_grid.experiments.store.errors import StoreError

FORMAT = "FORMAT.json"
PROGRAMS = "programs"
START = "start"

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_ID = re.compile(_NAME)
_OUTCOME = re.compile(r"[a-z]{1,32}")
_ATTEMPT_FILE = re.compile(r"attempts/(.+)\.a(\d{6})\.([a-z]+)\.json")
_RUN_FILE = re.compile(r"runs/(.+)\.parquet")
_ROWS_FILE = re.compile(rf"(train|evals)/({_NAME})/(?:a(\d{{6}})-n(\d{{8}})|c(\d{{6}}))\.parquet")
_EVENTS_FILE = re.compile(rf"(events)/({_NAME})-(?:n(\d{{8}})|c(\d{{6}}))\.parquet")
_CHECKPOINT = re.compile(r"checkpoints/([^/]+)/a(\d{6})/s(\d{9})")
_CHECKPOINT_FILE = re.compile(r"(checkpoints/([^/]+)/a(\d{6})/s[^/]+)/.+")
_CHECKPOINT_MARK = re.compile(r"checkpoints/([^/]+)/whole\.a(\d{6})\.s(\d{9})\.json")
_PARTIAL = re.compile(r"samples/([^/]+)/a(\d{6})-s(\d{9})\.([0-9a-f]{8})-([0-9a-f]{8})\.r(\d{4})-n(\d{8})\.partial")

CHECKPOINT_MARK_PREFIX = "whole."
"""How the names of marks begin, so that a listing of them need not list the checkpoints' own files."""


class Segment(NamedTuple):
    """One flush: `owner` is a run, or a journal, whose segments all carry attempt 0.

    A tuple, for listings make tens of thousands, which takes a frozen dataclass four times as long; an owner's sort by
    precedence.
    """

    table: str
    owner: str
    attempt: int
    sequence: int


class Compacted(NamedTuple):
    """One compaction of all of an owner's rows in a table; the highest generation replaces those before it."""

    table: str
    owner: str
    generation: int


@dataclass(frozen=True)
class AttemptFile:
    """A fence (`what` is "start") or the end of an attempt (`what` is the outcome)."""

    run_id: str
    attempt: int
    what: str


@dataclass(frozen=True)
class Partial:
    """The state of an evaluation of a checkpoint after so many chunks of samples, of the process of that rank.

    `asked` and `made_by` are hashes of what is measured, and of what else can change a bit of it.
    """

    name: str
    run_id: str
    attempt: int
    step: int
    asked: str
    made_by: str
    rank: int
    chunks: int


def checked_id(kind: str, name: str) -> str:
    """`name`, if it can be part of a file name on every system.

    Raises StoreError for anything but 1-128 ASCII letters, digits, '.', '_' and '-', a letter or digit first.
    """
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise StoreError(
            f"{kind} {name!r}: use 1 to 128 of the letters a-z A-Z, digits, '.', '_' and '-', a letter or digit first"
        )
    return name


def _checked_number(kind: str, number: int, digits: int) -> str:
    if not 0 <= number < 10**digits:
        raise StoreError(f"{kind} {number}: must be from 0 to {10**digits - 1}")
    return f"{number:0{digits}d}"


def _rank(rank: int) -> str:
    return f".r{_checked_number('rank', rank, 4)}" if rank else ""


class StorePaths:
    """Names in the store under `root`, a folder or a gs:// URL."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") or "/"

    def full(self, name: str) -> str:
        """The absolute path or URL of a name relative to the root."""
        return f"{self.root}/{name}"

    @staticmethod
    def run(run_id: str) -> str:
        return f"runs/{checked_id('run id', run_id)}.parquet"

    @staticmethod
    def attempt(run_id: str, attempt: int, what: str) -> str:
        """The fence of an attempt (`what` is "start") or its end (`what` is the outcome, lower-case letters)."""
        if not _OUTCOME.fullmatch(what):
            raise StoreError(f"outcome {what!r}: use 1 to 32 lower-case letters, such as done, failed or preempted")
        number = _checked_number("attempt", attempt, 6)
        return f"attempts/{checked_id('run id', run_id)}.a{number}.{what}.json"

    @staticmethod
    def folder(table: str, owner: str) -> str:
        """The folder that holds an owner's rows of a table; journals share one."""
        return "events" if table == "events" else f"{table}/{checked_id('run id', owner)}"

    @classmethod
    def rows(cls, part: Segment | Compacted) -> str:
        """The file of a segment or a compaction."""
        folder = cls.folder(part.table, part.owner)
        prefix = f"{folder}/{checked_id('journal', part.owner)}-" if part.table == "events" else f"{folder}/"
        if isinstance(part, Compacted):
            return f"{prefix}c{_checked_number('generation', part.generation, 6)}.parquet"
        sequence = _checked_number("segment", part.sequence, 8)
        if part.table == "events":
            return f"{prefix}n{sequence}.parquet"
        return f"{prefix}a{_checked_number('attempt', part.attempt, 6)}-n{sequence}.parquet"

    @staticmethod
    def checkpoints(run_id: str) -> str:
        return f"checkpoints/{checked_id('run id', run_id)}"

    @classmethod
    def checkpoint(cls, run_id: str, attempt: int, step: int) -> str:
        """The folder of the checkpoint that `attempt` wrote after `step` updates."""
        number, updates = _checked_number("attempt", attempt, 6), _checked_number("step", step, 9)
        return f"{cls.checkpoints(run_id)}/a{number}/s{updates}"

    @classmethod
    def checkpoints_begun(cls, run_id: str, attempt: int) -> str:
        """The file that an attempt leaves before its first checkpoint, which shows that the place takes files."""
        return f"{cls.checkpoints(run_id)}/a{_checked_number('attempt', attempt, 6)}/begun.json"

    @classmethod
    def checkpoint_mark(cls, run_id: str, attempt: int, step: int) -> str:
        """The file whose presence says that the checkpoint is whole."""
        number, updates = _checked_number("attempt", attempt, 6), _checked_number("step", step, 9)
        return f"{cls.checkpoints(run_id)}/{CHECKPOINT_MARK_PREFIX}a{number}.s{updates}.json"

    @staticmethod
    def logs(run_id: str) -> str:
        return f"logs/{checked_id('run id', run_id)}"

    @classmethod
    def log(cls, run_id: str, attempt: int, rank: int = 0) -> str:
        """The log of one process of an attempt; rank 0's, the only one of most runs, has no rank in its name."""
        return f"{cls.logs(run_id)}/a{_checked_number('attempt', attempt, 6)}{_rank(rank)}.log"

    @classmethod
    def log_piece(cls, run_id: str, attempt: int, sequence: int, rank: int = 0) -> str:
        """A part of the log where files cannot grow."""
        number, piece = _checked_number("attempt", attempt, 6), _checked_number("piece", sequence, 8)
        return f"{cls.logs(run_id)}/a{number}{_rank(rank)}-n{piece}.log"

    @staticmethod
    def samples(run_id: str) -> str:
        return f"samples/{checked_id('run id', run_id)}"

    @classmethod
    def sample_sheet(cls, run_id: str, attempt: int, step: int) -> str:
        """The pictures that `attempt` kept of the evaluation after `step` updates."""
        number, updates = _checked_number("attempt", attempt, 6), _checked_number("step", step, 9)
        return f"{cls.samples(run_id)}/a{number}-s{updates}.npz"

    @classmethod
    def partial(
        cls, run_id: str, attempt: int, step: int, asked: str, made_by: str, rank: int, chunks: int
    ) -> str:  # fmt: skip
        """The state of an evaluation under way; the arguments are those of `Partial`."""
        sheet = cls.sample_sheet(run_id, attempt, step).removesuffix(".npz")
        place = f"r{_checked_number('rank', rank, 4)}-n{_checked_number('chunks', chunks, 8)}"
        return f"{sheet}.{asked}-{made_by}.{place}.partial"

    @staticmethod
    def figures() -> str:
        return "figures"


def parse_run(name: str) -> str | None:
    """The run of a file in runs/, or None for a foreign file."""
    found = _RUN_FILE.fullmatch(name)
    return found[1] if found and _ID.fullmatch(found[1]) else None


def parse_attempt(name: str) -> AttemptFile | None:
    """What a file in attempts/ records, or None for a foreign file."""
    found = _ATTEMPT_FILE.fullmatch(name)
    if not found or not _ID.fullmatch(found[1]):
        return None
    return AttemptFile(found[1], int(found[2]), found[3])


def parse_rows(name: str) -> Segment | Compacted | None:
    """Which segment or compaction a file in train/, evals/ or events/ is, or None for a foreign file."""
    if found := _ROWS_FILE.fullmatch(name):
        table, owner, attempt, sequence, generation = found.groups()
    elif found := _EVENTS_FILE.fullmatch(name):
        table, owner, sequence, generation = found.groups()
        attempt = "0"
    else:
        return None
    if generation is not None:
        return Compacted(table, owner, int(generation))
    return Segment(table, owner, int(attempt), int(sequence))


def parse_checkpoint(name: str) -> tuple[str, int, int] | None:
    """(run_id, attempt, step) of a checkpoint folder, or None for a foreign one."""
    found = _CHECKPOINT.fullmatch(name.rstrip("/"))
    return (found[1], int(found[2]), int(found[3])) if found else None


def parse_checkpoint_mark(name: str) -> tuple[str, int, int] | None:
    """(run_id, attempt, step) of the mark of a whole checkpoint, or None for another file."""
    found = _CHECKPOINT_MARK.fullmatch(name)
    return (found[1], int(found[2]), int(found[3])) if found and _ID.fullmatch(found[1]) else None


def parse_checkpoint_file(name: str) -> tuple[str, str, int] | None:
    """(folder, run_id, attempt) of a file of a checkpoint, whole, half-written or being deleted; None for another."""
    found = _CHECKPOINT_FILE.fullmatch(name)
    return (found[1], found[2], int(found[3])) if found and _ID.fullmatch(found[2]) else None


def parse_partial(name: str) -> Partial | None:
    """What a file in samples/ is the state of, or None for another file."""
    found = _PARTIAL.fullmatch(name)
    if not found or not _ID.fullmatch(found[1]):
        return None
    run_id, attempt, step, asked, made_by, rank, chunks = found.groups()
    return Partial(name, run_id, int(attempt), int(step), asked, made_by, int(rank), int(chunks))
