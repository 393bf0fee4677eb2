"""A store on a disk: nothing torn is ever visible, and every refusal of the disk is one clear line."""

import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from dit_grid.experiments.store import NotAStoreError, StorageError, Store, StoreError, SupersededError
from dit_grid.experiments.store.compaction import collect, compact
from dit_grid.experiments.store.local import LocalFiles

RUN = "b-4-3f9c2a"

WRITER = """
import sys
from dit_grid.experiments.store import Store
store = Store.open(sys.argv[1])
attempt = store.begin_attempt("b-4-3f9c2a", int(sys.argv[2]))
writer = store.writer(attempt, rows_per_flush=20)
print("begun", flush=True)
for step in range(attempt.resume_step + 1, 10**9):
    writer.train({"step": step, "loss": 1.0 / step})
"""


def test_killed_at_any_moment_a_writer_leaves_a_prefix_of_its_rows(store):
    """No gap, no torn file and no reader error over many `kill -9`; each attempt goes on where the last one got to."""
    reached = 0
    for segments in (0, 3, 1, 6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, store.paths.root, str(reached)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        target = len(store.files.walk("train")) + segments
        while len(store.files.walk("train")) < target:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        steps = store.train()["step"].to_pylist()
        assert steps == list(range(1, len(steps) + 1))
        assert len(steps) >= reached
        reached = len(steps)
    assert reached >= 10 * 20
    assert len(pd.read_parquet(f"{store.paths.root}/train")) >= reached
    assert {name.rpartition("/")[2][:5] for name in store.files.leftovers()} <= {".tmp-"}


def test_half_made_files_are_invisible_and_cleaned_up_after_the_grace(store, tmp_path):
    left = tmp_path / "store" / "train" / RUN / ".tmp-0123"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"PAR1 half a file")
    assert store.train().num_rows == 0
    assert collect(store) == []
    os.utime(left, (0, 0))
    assert [removal.name for removal in collect(store, dry_run=False)] == [f"train/{RUN}/.tmp-0123"]
    assert not left.exists()


def test_a_clean_up_with_a_clock_far_ahead_harms_no_writer(store, monkeypatch):
    """It takes the temporary file of a writer at work for one left behind."""
    link = os.link

    def robbed(temporary, path):
        monkeypatch.setattr(os, "link", link)
        assert len(collect(store, dry_run=False, grace_s=-7200)) == 1
        link(temporary, path)

    writer = store.writer(store.begin_attempt(RUN, 0))
    writer.train({"step": 1, "loss": 1.0})
    monkeypatch.setattr(os, "link", robbed)
    writer.flush()
    assert store.train().num_rows == 1


def test_racing_starters_each_get_their_own_number(store):
    """Even those whose fences would say the same, as of two processes of one host at one moment."""

    def begin(_: int):
        return Store(LocalFiles(store.paths.root), clock=lambda: 0.0).begin_attempt(RUN, 0)

    with ThreadPoolExecutor(12) as pool:
        attempts = list(pool.map(begin, range(24)))
    assert sorted(attempt.number for attempt in attempts) == list(range(1, 25))
    assert [store.superseded(attempt) for attempt in sorted(attempts, key=lambda a: a.number)] == [True] * 23 + [False]


def test_racing_compactions_make_one_file_and_nothing_is_doubled(store):
    with store.writer(store.begin_attempt(RUN, 0), rows_per_flush=2) as writer:
        for step in range(1, 41):
            writer.train({"step": step, "loss": 1 / step})
    expected = store.train()
    with ThreadPoolExecutor(12) as pool:
        written = list(pool.map(lambda _: compact(Store.open(store.paths.root)), range(12)))
    assert {name for names in written for name in names} == {f"train/{RUN}/c000001.parquet"}
    assert store.train().equals(expected)
    assert collect(store, dry_run=False) == [], "within the grace a slow reader still finds the segments"
    assert len(collect(store, grace_s=-60)) == 20


def test_two_writers_under_one_attempt_are_told_apart(store):
    attempt = store.begin_attempt(RUN, 0)
    one, two = (store.writer(attempt, rows_per_flush=1) for _ in range(2))
    one.train({"step": 1, "loss": 1.0})
    two.train({"step": 2, "loss": 2.0})
    with pytest.raises(SupersededError, match="another process writes under the same attempt"):
        one.train({"step": 3, "loss": 1.0})
    assert store.train()["loss"].to_pylist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "read-only for this user"),
    ],
)
def test_a_disk_that_refuses_is_named_and_the_flush_can_be_repeated(store, monkeypatch, number, says):
    writer = store.writer(store.begin_attempt(RUN, 0))
    writer.train({"step": 1, "loss": 1.0})
    with monkeypatch.context() as patched:
        patched.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(number, os.strerror(number))))
        with pytest.raises(StorageError, match=says):
            writer.flush()
    writer.train({"step": 2, "loss": 2.0})
    writer.flush()
    assert store.train()["loss"].to_pylist() == [1.0, 2.0]
    assert list(store.files.leftovers()) == []


def test_a_file_size_limit_leaves_nothing_half_written(store):
    writer = store.writer(store.begin_attempt(RUN, 0))
    writer.train({"step": 1, "loss": 1.0})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(StorageError, match="file size limit"):
            writer.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert store.train().num_rows == 0
    writer.flush()
    assert store.train().num_rows == 1


def test_an_unmounted_store_is_not_written_into_the_folder_below(store, tmp_path):
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="is its disk mounted"):
        store.begin_attempt(RUN, 0)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("/proc/no/store", "cannot make the folder"),
        ("", "give a folder or a gs:// URL"),
        ("s3://bucket/store", "only a local path or a gs:// URL"),
    ],
)
def test_a_place_that_cannot_hold_a_store(where, says):
    with pytest.raises(StoreError, match=says):
        Store.create(where)


def test_a_file_in_the_place_of_the_store(tmp_path):
    (tmp_path / "store").write_text("")
    with pytest.raises(StorageError, match="a file stands there"):
        Store.create(str(tmp_path / "store"))
    with pytest.raises(StoreError):
        Store.open(str(tmp_path / "store"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no results store here"),
        ("not json", "not one of dit-grid"),
        ("[]", "not one of dit-grid"),
        ('{"format": 1}', "not one of dit-grid"),
        ('{"kind": "dit-grid results store", "format": 99}', "store format 99, this program knows up to 1; upgrade"),
    ],
)
def test_a_folder_that_is_no_store_of_ours(tmp_path, content, says):
    if content is not None:
        (tmp_path / "FORMAT.json").write_text(content)
    with pytest.raises(StoreError, match=says) as error:
        Store.open(str(tmp_path))
    assert "\n" not in str(error.value)
    if content is None:
        assert isinstance(error.value, NotAStoreError)


def test_an_exception_in_a_writers_block_commits_nothing_more(store):
    """What was flushed before a checkpoint stays; the rest belongs to work that the next attempt does again."""
    with contextlib.suppress(ZeroDivisionError), store.writer(store.begin_attempt(RUN, 0)) as writer:
        writer.train({"step": 1, "loss": 1.0})
        writer.flush()
        writer.train({"step": 2, "loss": 2.0})
        raise ZeroDivisionError
    assert store.train()["step"].to_pylist() == [1]


def test_importing_the_store_is_light():
    """A notebook or a login node that only reads must not wait for, or even have, what trains."""
    heavy = "jax ray pandas fsspec gcsfs dit_grid.model"
    program = f"import sys, dit_grid.experiments.store; print(*(set({heavy.split()}) & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "\n"


def test_reading_writes_nothing(store, tmp_path):
    with store.writer(store.begin_attempt(RUN, 0)) as writer:
        writer.train({"step": 1, "loss": 1.0})
    before = sorted(path for path in tmp_path.rglob("*"))
    opened = Store.open(tmp_path / "store")
    opened.train(), opened.watch().poll(), opened.latest_train(), collect(opened)
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_creating_twice_changes_nothing(store, tmp_path):
    before = (tmp_path / "store" / "FORMAT.json").read_bytes()
    Store.create(store.paths.root)
    assert (tmp_path / "store" / "FORMAT.json").read_bytes() == before
