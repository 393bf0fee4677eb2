"""A store on gs://, over HTTP against an emulator that honours preconditions and fails on request."""

import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dit_grid.experiments.store import NotAStoreError, StorageError, Store, StoreError
from dit_grid.experiments.store.compaction import collect, compact

RUN = "b-4-3f9c2a"


@pytest.fixture
def where(request) -> str:
    return f"gs://bucket/{request.node.name.replace('[', '-').rstrip(']')}"


def test_a_store_in_a_bucket_does_all_that_one_in_a_folder_does(emulator, where):
    store = Store.create(where)
    assert store.add_run({"run_id": RUN, "spec": "{}"})
    assert not Store.create(where).add_run({"run_id": RUN, "spec": "{}"})
    first = store.begin_attempt(RUN, 0)
    with store.writer(first, rows_per_flush=2) as writer:
        for step in range(1, 8):
            writer.train({"step": step, "loss": step / 7})
    second = store.begin_attempt(RUN, 4, resumed_attempt=1)
    with store.writer(second) as writer:
        writer.train({"step": 5, "loss": 9.0})
        writer.eval({"step": 5, "metric": "fid", "protocol": "p", "value": 3.0})
    store.end_attempt(second, "done")
    with store.journal("scheduler-1") as journal:
        journal.event("launched")
    expected = store.train()
    assert expected["loss"].to_pylist() == [1 / 7, 2 / 7, 3 / 7, 4 / 7, 9.0]
    assert store.states()[RUN].outcome == "done"
    assert store.superseded(first)
    assert compact(store)
    assert collect(store, dry_run=False, grace_s=-60)
    reopened = Store.open(where)
    assert reopened.train().equals(expected)
    assert [table.num_rows for table in (reopened.runs(), reopened.evals(), reopened.events())] == [1, 1, 1]
    assert reopened.watch().poll().train.num_rows == 5


def test_an_emulator_that_is_not_ours_agrees(monkeypatch):
    """gcp-storage-emulator knows no preconditions and so cannot test races, but it did not grow up with this store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    program = [sys.executable, "-m", "gcp_storage_emulator", "start", "--host=127.0.0.1", f"--port={port}"]
    process = subprocess.Popen([*program, "--in-memory", "--default-bucket=bucket", "--quiet"])
    try:
        for _ in range(200):
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", int(port))) == 0:
                    break
            time.sleep(0.05)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        store = Store.create("gs://bucket/deep/store")
        with store.writer(store.begin_attempt(RUN, 0), rows_per_flush=2) as writer:
            for step in range(1, 8):
                writer.train({"step": step, "loss": step / 7})
        expected = store.train()
        assert expected["step"].to_pylist() == list(range(1, 8))
        assert compact(store)
        assert len(collect(store, dry_run=False, grace_s=-60)) == 4
        assert store.train().equals(expected)
    finally:
        process.kill()
        process.wait()


def test_an_operation_takes_far_less_than_a_tenth_of_a_second(emulator, where):
    """gcsfs's own probe for zonal buckets takes 27 s and more an operation; it must stay off."""
    store = Store.create(where)
    began = time.monotonic()
    for n in range(20):
        store.files.create(f"runs/{n}.parquet", b"x")
        store.files.read(f"runs/{n}.parquet")
    # 0.1 s is the goal for a quiet machine; the bound leaves a factor of two for a busy one.
    assert (time.monotonic() - began) / 40 < 0.2


def test_racing_starters_each_get_their_own_number(emulator, where):
    Store.create(where)
    with ThreadPoolExecutor(6) as pool:
        attempts = list(pool.map(lambda _: Store.open(where).begin_attempt(RUN, 0), range(12)))
    assert sorted(attempt.number for attempt in attempts) == list(range(1, 13))


@pytest.mark.parametrize("kind", ["429", "503", "lost", "cut"])
def test_one_upload_in_five_fails_and_nothing_is_lost_or_doubled(emulator, where, kind):
    Store.create(where)

    def write(run: int) -> None:
        store = Store.open(where)
        with store.writer(store.begin_attempt(f"run-{run}", 0), rows_per_flush=5) as writer:
            for step in range(1, 51):
                writer.train({"step": step, "loss": float(run)})

    emulator.fail({"method": "POST", "kind": kind, "share": 0.2})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert emulator.count()[kind] >= 3
    rows = Store.open(where).train()
    assert rows["step"].to_pylist() == list(range(1, 51)) * 4
    assert [state.attempt for state in Store.open(where).states().values()] == [1] * 4, (
        "a fence was taken for another's"
    )


def test_a_time_out_after_the_commit_is_recognized_as_success(emulator, where):
    from dit_grid.experiments.store.bucket import BucketFiles

    Store.create(where)
    store = Store(BucketFiles(where, timeout_s=0.5))
    emulator.fail({"method": "POST", "match": "attempts/", "kind": "hang", "seconds": 1.5, "times": 1})
    assert store.begin_attempt(RUN, 0).number == 1
    emulator.fail({"method": "GET", "match": "prefix=", "kind": "slow", "seconds": 0.2})
    assert store.begin_attempt(RUN, 0).number == 2
    assert len(store.attempts(RUN)) == 2


def test_an_interrupted_upload_publishes_nothing(emulator, where):
    store = Store.create(where)
    writer = store.writer(store.begin_attempt(RUN, 0))
    writer.train({"step": 1, "loss": 1.0})
    emulator.fail({"method": "POST", "kind": "cut"})
    with pytest.raises(StorageError, match="Google Cloud Storage did not answer"):
        writer.flush()
    emulator.fail()
    assert store.files.walk("train") == []
    writer.flush()
    assert store.train().num_rows == 1


def test_a_large_file_goes_up_in_chunks_and_still_only_once(emulator, where):
    store = Store.create(where)
    data = bytes(55 * 2**20)
    store.files.create("runs/large.parquet", data)
    store.files.create("runs/large.parquet", data)
    with pytest.raises(FileExistsError):
        store.files.create("runs/large.parquet", data + b"1")
    assert store.files.read("runs/large.parquet") == data


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"kind": "401"}, "not signed in to Google Cloud"),
        ({"kind": "403"}, "no permission .* Storage Object User"),
        ({"kind": "503"}, "asked to fail"),
    ],
)
def test_a_bucket_that_refuses_is_one_clear_line(emulator, where, rule, says):
    emulator.fail(rule)
    with pytest.raises(StorageError, match=says) as error:
        Store.create(where)
    assert "\n" not in str(error.value)


def test_a_place_that_is_no_store(emulator, where):
    with pytest.raises(StorageError, match="there is no bucket 'nowhere'"):
        Store.create("gs://nowhere/store")
    with pytest.raises(StorageError, match="there is no bucket 'nowhere'"):
        Store.open("gs://nowhere/store")
    with pytest.raises(NotAStoreError, match="no results store here"):
        Store.open(where)
    with pytest.raises(StoreError, match="give a bucket"):
        Store.open("gs://")


def test_a_zombie_that_goes_on_writing_changes_nothing(emulator, where):
    """An attempt that was replaced writes on, its rows are compacted among the others, and its files are collected."""
    store, zombie_store = Store.create(where), Store.open(where)
    zombie = zombie_store.writer(zombie_store.begin_attempt(RUN, 0), rows_per_flush=1)
    for step in (1, 2, 3):
        zombie.train({"step": step, "loss": 1.0})
    heir = store.begin_attempt(RUN, 2, resumed_attempt=1)
    zombie.train({"step": 4, "loss": 9.0})
    with store.writer(heir, rows_per_flush=1) as writer:
        for step in (3, 4):
            writer.train({"step": step, "loss": 2.0})
    zombie.train({"step": 2, "loss": 1.0})
    expected = [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0)]
    for disturb in (
        lambda: None,
        lambda: compact(store),
        lambda: zombie.train({"step": 5, "loss": 9.0}),
        lambda: collect(store, dry_run=False, grace_s=-60),
        lambda: zombie.train({"step": 3, "loss": 9.0}),
        lambda: compact(Store.open(where)),
    ):
        disturb()
        rows = Store.open(where).train().to_pylist()
        assert [(row["step"], row["loss"]) for row in rows] == expected


def test_a_reader_goes_on_while_its_files_are_compacted_and_collected(emulator, where):
    store = Store.create(where)
    writer = store.writer(store.begin_attempt(RUN, 0), rows_per_flush=1)
    writer.train({"step": 1, "loss": 1.0})
    emulator.fail({"method": "GET", "match": "a000001-n", "kind": "slow", "seconds": 0.05})
    failures, lengths, over = [], [], threading.Event()

    def read() -> None:
        own = Store.open(where)
        while not over.is_set():
            try:
                lengths.append(own.train().num_rows)
            except StoreError as error:
                failures.append(error)

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        for step in range(2, 20):
            writer.train({"step": step, "loss": 1 / step})
            if step % 4 == 0:
                compact(store)
                collect(store, dry_run=False, grace_s=-60)
        over.set()
        reading.result()
    assert failures == []
    assert lengths == sorted(lengths), "a row that was there once went away"
    assert store.train()["step"].to_pylist() == list(range(1, 20))
