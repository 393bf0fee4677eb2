"""Which checkpoints of a run are whole: each has a mark, made once, after everything in it was written.

A mark names the checkpoint's files with their sizes and digests, so that one that was lost, cut or changed later, by a
single bit, is found before a number is made of it. Marks of earlier programs have sizes only. Which checkpoints still
count is not known here.
"""

import errno
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dit_grid.experiments.store.digests import algorithm_of
from dit_grid.experiments.store.errors import DamagedFileError, StorageError
from dit_grid.experiments.store.files import Files
from dit_grid.experiments.store.json_records import json_object
from dit_grid.experiments.store.paths import (
    CHECKPOINT_MARK_PREFIX,
    StorePaths,
    parse_checkpoint,
    parse_checkpoint_file,
    parse_checkpoint_mark,
)

_COMMITTED = "commit_success.txt"
"""What orbax writes last into a checkpoint, once every process has written its part."""


def mark_whole(files: Files, run_id: str, attempt: int, step: int, facts: Mapping[str, Any]) -> None:
    """Make the checkpoint exist for readers; every file of it must have been written."""
    folder = StorePaths.checkpoint(run_id, attempt, step)
    sizes = {name.removeprefix(f"{folder}/"): size for name, size in sorted(files.sizes(folder).items())}
    if not sizes:
        raise StorageError(f"cannot mark checkpoint {folder}: none of its files is in {files.root}; was it moved?")
    digests = {name.removeprefix(f"{folder}/"): digest for name, digest in files.digests(folder, {}).items()}
    record = {**facts, "files": sizes, "digests": digests, "written_unix_s": time.time()}
    files.create(StorePaths.checkpoint_mark(run_id, attempt, step), json.dumps(record, sort_keys=True).encode())


def marked(files: Files, run_id: str) -> list[tuple[int, int]]:
    """(step, attempt) of every checkpoint of the run that was written whole, oldest first."""
    names = files.walk(StorePaths.checkpoints(run_id), CHECKPOINT_MARK_PREFIX)
    return sorted((step, attempt) for _, attempt, step in filter(None, map(parse_checkpoint_mark, names)))


def whole(files: Files, run_id: str) -> list[tuple[int, int]]:
    """(step, attempt) of every checkpoint of the run that was written whole, oldest first: marked, or older than marks.

    Programs before the first with marks wrote to disks alone. They counted what orbax had published by one rename, in
    which orbax's last act is its commit file; and they left no `begun.json`, which every attempt since has left before
    its first checkpoint. So what a newer program was writing, or deleting, when it died is never taken for theirs.
    """
    if files.root.startswith("gs://"):
        return marked(files, run_id)
    names = set(files.walk(StorePaths.checkpoints(run_id)))
    found = {(step, attempt) for _, attempt, step in filter(None, map(parse_checkpoint_mark, names))}
    for name in names:
        folder, slash, file = name.rpartition("/")
        if file == _COMMITTED and slash and (parsed := parse_checkpoint(folder)):
            _, attempt, step = parsed
            if StorePaths.checkpoints_begun(run_id, attempt) not in names:
                found.add((step, attempt))
    return sorted(found)


def damage(files: Files, run_id: str, attempt: int, step: int) -> str | None:
    """What is wrong with the files of a whole checkpoint, each read to the end; None if nothing.

    Of one older than marks nobody knows which files it had; reading it will tell.
    """
    name = StorePaths.checkpoint_mark(run_id, attempt, step)
    try:
        mark = json_object(name, files.read(name))
    except FileNotFoundError:
        return None if (step, attempt) in whole(files, run_id) else "it was deleted"
    except DamagedFileError as error:
        return f"its mark cannot be read ({error})"
    promised, digests = mark.get("files"), mark.get("digests") or {}
    if not isinstance(promised, dict) or not isinstance(digests, dict):
        return f"its mark {name} does not say which files it has"
    folder = StorePaths.checkpoint(run_id, attempt, step)
    there = {found.removeprefix(f"{folder}/"): size for found, size in files.sizes(folder).items()}
    for file, size in promised.items():
        if there.get(file) != size:
            found = f"has {there[file]} bytes" if file in there else "is missing"
            return f"its file {file} {found}, {size} bytes were written"
    return _changed(files, folder, digests)


def _changed(files: Files, folder: str, digests: Mapping[str, str]) -> str | None:
    """Which file does not hold what was written, by its digest; None if all do."""
    known = {f"{folder}/{file}": digest for file, digest in digests.items() if algorithm_of(str(digest))}
    if not known:
        return None
    try:
        found = files.digests(folder, known)
    except FileNotFoundError as error:
        return f"its file {error.filename} is missing"
    except StorageError as error:
        if getattr(error.__cause__, "errno", None) != errno.EIO:
            raise
        return str(error)  # a sector that cannot be read: no other day will bring it back
    for name, digest in known.items():
        if found.get(name) != digest:
            return f"its file {name.removeprefix(f'{folder}/')} is not what was written ({digest.partition(':')[0]})"
    return None


def delete_checkpoint(files: Files, run_id: str, attempt: int, step: int) -> None:
    """Delete a checkpoint: its mark first, or what stands for one, so that a half-deleted one never counts."""
    folder = StorePaths.checkpoint(run_id, attempt, step)
    files.delete(StorePaths.checkpoint_mark(run_id, attempt, step))
    files.delete(f"{folder}/{_COMMITTED}")
    files.delete_folder(folder)


def unmarked_folders(files: Files, run_id: str, before_attempt: int) -> Iterator[str]:
    """Folders of checkpoints that earlier attempts left half-written or half-deleted; nobody will finish them."""
    kept = {StorePaths.checkpoint(run_id, attempt, step) for step, attempt in whole(files, run_id)}
    found = map(parse_checkpoint_file, files.sizes(StorePaths.checkpoints(run_id)))
    yield from sorted({f[0] for f in found if f and f[2] < before_attempt and f[0] not in kept})


def damaged(files: Files, run_ids: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(name, problem) of every marked checkpoint of the runs whose files are not what was written."""
    for run_id in run_ids:
        for step, attempt in marked(files, run_id):
            if problem := damage(files, run_id, attempt, step):
                yield StorePaths.checkpoint(run_id, attempt, step), problem
