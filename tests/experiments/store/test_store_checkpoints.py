"""Checkpoints on a disk and on gs://: whole or not there, resumed from where they count, gone when they are old."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from dit_grid.experiments.store import StorageError, Store
from dit_grid.experiments.store.check import check
from dit_grid.experiments.store.compaction import collect
from dit_grid.experiments.training.checkpoint_list import checkpoint_folder
from dit_grid.experiments.training.checkpoints import BadCheckpointError, Checkpoints

RUN = "b-4-3f9c2a"

# orbax leaves a reader that was never awaited where a restore is refused.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def state(value):
    return {"step": jnp.int32(value), "weights": jnp.full((40, 30), value, jnp.float32)}


@pytest.fixture(params=["disk", "gs"])
def place(request, tmp_path):
    """A store on a disk, and one on gs:// whose emulator is asked for only then."""
    if request.param == "gs":
        request.getfixturevalue("emulator")
        where = f"gs://bucket/{request.node.name.replace('[', '-').rstrip(']')}"
    else:
        where = str(tmp_path / "store")
    store = Store.create(where)
    store.add_run({"run_id": RUN, "spec": "{}"})
    return store


on_disk = pytest.mark.parametrize("place", ["disk"], indirect=True)
on_gs = pytest.mark.parametrize("place", ["gs"], indirect=True)


@pytest.fixture
def checkpoints(place):
    opened = Checkpoints(place, RUN)
    yield opened
    opened.close()


def value_of(restored):
    assert len(set(np.asarray(restored.state["weights"]).ravel().tolist())) == 1
    return float(restored.state["weights"][0, 0])


def test_the_newest_whole_checkpoint_is_restored_and_old_ones_are_deleted(place, checkpoints):
    attempt = place.begin_attempt(RUN, 0)
    for step in (10, 20, 30):
        checkpoints.save(attempt, step, state(step))
    checkpoints.wait()
    checkpoints.keep_newest(2)
    restored = checkpoints.restore_newest(state(0))
    assert (restored.step, restored.attempt, value_of(restored)) == (30, 1, 30.0)
    assert checkpoints.live() == [(20, 1), (30, 1)]
    assert not [name for name in place.files.sizes(f"checkpoints/{RUN}") if "s000000010" in name]


def test_a_checkpoint_without_its_mark_does_not_exist_and_the_next_attempt_clears_it_away(place, checkpoints):
    first = place.begin_attempt(RUN, 0)
    checkpoints.save(first, 10, state(10))
    checkpoints.save(first, 20, state(20))
    checkpoints.wait()
    place.files.delete(f"checkpoints/{RUN}/whole.a000001.s000000020.json")  # as if killed before it was whole
    assert checkpoints.restore_newest(state(0)).step == 10
    second = place.begin_attempt(RUN, 10, resumed_attempt=1)
    checkpoints.save(second, 15, state(15))
    checkpoints.wait()
    checkpoints.keep_newest(2)
    assert checkpoints.live() == [(10, 1), (15, 2)]
    assert not [name for name in place.files.sizes(f"checkpoints/{RUN}") if "s000000020" in name]


def test_a_checkpoint_that_lost_a_file_is_found_before_it_is_read(place, checkpoints):
    attempt = place.begin_attempt(RUN, 0)
    checkpoints.save(attempt, 10, state(10))
    checkpoints.save(attempt, 20, state(20))
    checkpoints.wait()
    lost = max(name for name in place.files.sizes(f"checkpoints/{RUN}/a000001/s000000020") if "/d/" in name)
    place.files.delete(lost)
    restored = checkpoints.restore_newest(state(0))
    assert (restored.step, value_of(restored)) == (10, 10.0)
    assert "is missing" in restored.unreadable[0]
    assert checkpoint_folder(place, RUN, 1, 20) in restored.unreadable[0]
    findings = [finding for finding in check(place) if finding.is_error]
    assert [finding.name for finding in findings] == [f"checkpoints/{RUN}/a000001/s000000020"]


def test_a_checkpoint_that_changed_by_a_bit_is_passed_over(place, checkpoints):
    attempt = place.begin_attempt(RUN, 0)
    checkpoints.save(attempt, 10, state(10))
    checkpoints.save(attempt, 20, state(20))
    checkpoints.wait()
    folder = f"checkpoints/{RUN}/a000001/s000000020"
    sizes = place.files.sizes(folder)
    changed = max(sizes, key=lambda name: sizes[name])
    content = bytearray(place.files.read(changed))
    content[len(content) // 2] ^= 1
    place.files.delete(changed)
    place.files.create(changed, bytes(content))
    restored = checkpoints.restore_newest(state(0))
    assert (restored.step, value_of(restored)) == (10, 10.0)
    assert f"its file {changed.removeprefix(f'{folder}/')} is not what was written" in restored.unreadable[0]
    assert [finding.name for finding in check(place) if finding.is_error] == [folder]


@on_gs
def test_a_bucket_is_asked_for_digests_and_no_object_is_read(place, checkpoints, monkeypatch):
    checkpoints.save(place.begin_attempt(RUN, 0), 10, state(10))
    checkpoints.wait()
    mark = json.loads(place.files.read(f"checkpoints/{RUN}/whole.a000001.s000000010.json"))
    assert {digest.partition(":")[0] for digest in mark["digests"].values()} == {"md5"}
    assert mark["digests"].keys() == mark["files"].keys()


def test_a_checkpoint_copied_between_a_disk_and_a_bucket_is_checked_by_the_digests_it_has(tmp_path):
    """Marks of a bucket have MD5 or CRC-32C, those of a disk SHA-256; the other place computes them from the bytes."""
    store = Store.create(tmp_path / "store")
    store.files.create("x/known", b"123456789")
    known = {"sha256": "sha256:15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
             "md5": "md5:JfnnlDI7RTiF9RgfG2JNCw==", "crc32c": "crc32c:4waSgw=="}  # fmt: skip
    for digest in known.values():
        assert store.files.digests("x", {"x/known": digest}) == {"x/known": digest}
    assert store.files.digests("x", {}) == {"x/known": known["sha256"]}


def test_a_run_never_begins_afresh_over_whole_checkpoints_that_cannot_be_read(place, checkpoints):
    attempt = place.begin_attempt(RUN, 0)
    checkpoints.save(attempt, 10, state(10))
    checkpoints.wait()
    other = {"step": jnp.int32(0), "weights": jnp.zeros((3, 3))}  # as a program that was changed since would ask for
    with pytest.raises(
        BadCheckpointError, match=r"no checkpoint of .* can be read; to begin afresh delete .*s000000010"
    ):
        checkpoints.restore_newest(other)
    for name in place.files.sizes(f"checkpoints/{RUN}/a000001/s000000010"):
        place.files.delete(name)
    restored = checkpoints.restore_newest(other)
    assert (restored.step, restored.attempt, len(restored.unreadable)) == (0, None, 1)


def test_what_a_replaced_attempt_was_writing_never_counts(place, checkpoints):
    first = place.begin_attempt(RUN, 0)
    place.begin_attempt(RUN, 0)
    checkpoints.save(first, 10, state(10))
    checkpoints.wait()
    assert checkpoints.live() == []
    assert checkpoints.restore_newest(state(0)).attempt is None


def test_gc_removes_what_no_attempt_will_finish(place, checkpoints):
    checkpoints.save(place.begin_attempt(RUN, 0), 10, state(10))
    checkpoints.wait()
    mark = f"checkpoints/{RUN}/whole.a000001.s000000010.json"
    place.files.delete(mark)
    assert collect(place, dry_run=True, grace_s=-60) == [], "the newest attempt may still be writing it"
    place.end_attempt(place.begin_attempt(RUN, 0), "failed")
    collect(place, dry_run=False, grace_s=-60)
    assert list(place.files.sizes(f"checkpoints/{RUN}")) == [f"checkpoints/{RUN}/a000001/begun.json"]


def test_a_state_of_another_shape_is_refused(place, checkpoints):
    checkpoints.save(place.begin_attempt(RUN, 0), 10, state(10))
    checkpoints.wait()
    with pytest.raises(BadCheckpointError, match="s000000010 cannot be read"):
        checkpoints.restore(1, 10, {"step": jnp.int32(0), "weights": jnp.zeros((3, 3))})


@on_gs
def test_a_bucket_that_fails_in_the_middle_of_a_checkpoint_loses_nothing(place, checkpoints, emulator):
    attempt = place.begin_attempt(RUN, 0)
    emulator.fail(
        {"method": "POST", "match": "checkpoints/", "kind": "503", "times": 2},
        {"method": "POST", "match": "checkpoints/", "kind": "429", "times": 1},
        {"method": "POST", "match": "manifest.ocdbt", "kind": "lost", "times": 1},
        {"method": "POST", "match": "whole.", "kind": "lost", "times": 1},
        {"method": "POST", "match": "/d/", "kind": "cut", "times": 1},
    )
    for step in (10, 20):
        checkpoints.save(attempt, step, state(step))
    checkpoints.wait()
    assert sum(emulator.count().values()) == 6
    restored = checkpoints.restore_newest(state(0))
    assert (restored.step, value_of(restored)) == (20, 20.0)
    assert checkpoints.live() == [(10, 1), (20, 1)]


@on_disk
def test_a_checkpoint_that_cannot_be_written_is_one_clear_line(place, checkpoints):
    attempt = place.begin_attempt(RUN, 0)
    Path(place.paths.full(f"checkpoints/{RUN}")).parent.mkdir()
    Path(place.paths.full(f"checkpoints/{RUN}")).write_text("a file stands where the folder should be")

    with pytest.raises(StorageError, match=r"cannot write .*/begun.json: a part of the path is a file") as caught:
        checkpoints.save(attempt, 10, state(10))
    assert "\n" not in str(caught.value)


@on_gs
def test_a_refusal_in_the_middle_of_a_checkpoint_is_told_by_the_next_wait(place, checkpoints, emulator):
    attempt = place.begin_attempt(RUN, 0)
    emulator.fail({"method": "POST", "match": "/d/", "kind": "403"})
    checkpoints.save(attempt, 10, state(10))
    with pytest.raises(StorageError, match=r"cannot write checkpoint gs://.*s000000010: .*PERMISSION_DENIED") as caught:
        checkpoints.wait()
    assert "\n" not in str(caught.value)
    emulator.fail()
    assert checkpoints.live() == []
    checkpoints.save(attempt, 20, state(20))
    checkpoints.wait()
    assert checkpoints.live() == [(20, 1)]


@on_disk
def test_a_mark_names_the_files_it_vouches_for(place, checkpoints):
    checkpoints.save(place.begin_attempt(RUN, 0), 10, state(10))
    checkpoints.close()
    mark = json.loads(place.files.read(f"checkpoints/{RUN}/whole.a000001.s000000010.json"))
    folder = Path(checkpoint_folder(place, RUN, 1, 10))
    there = {str(file.relative_to(folder)): file.stat().st_size for file in folder.rglob("*") if file.is_file()}
    assert mark["files"] == there
    assert (mark["format"], mark["processes"]) == ("orbax", 1)


def as_an_older_program_left_it(store, attempt, *steps):
    """Programs before the first with marks wrote the same folders, and neither marks nor `begun.json`."""
    store.files.delete(f"checkpoints/{RUN}/a{attempt:06d}/begun.json")
    for step in steps:
        store.files.delete(f"checkpoints/{RUN}/whole.a{attempt:06d}.s{step:09d}.json")


def test_a_run_of_an_older_store_goes_on_from_its_newest_checkpoint_that_can_be_read(tmp_path):
    store = Store.create(str(tmp_path / "store"))
    store.add_run({"run_id": RUN, "spec": "{}"})
    older = Checkpoints(store, RUN)
    first = store.begin_attempt(RUN, 0)
    for step in (10, 20, 30):
        older.save(first, step, state(step))
    older.close()
    as_an_older_program_left_it(store, 1, 10, 20, 30)
    folder = Path(checkpoint_folder(store, RUN, 1, 30))
    max((file for file in folder.rglob("d/*")), key=lambda file: file.stat().st_size).unlink()  # half-deleted

    checkpoints = Checkpoints(store, RUN)
    restored = checkpoints.restore_newest(state(0))
    assert (restored.step, restored.attempt, value_of(restored)) == (20, 1, 20.0)
    assert len(restored.unreadable) == 1
    second = store.begin_attempt(RUN, 20, resumed_attempt=1)
    assert collect(store, dry_run=True, grace_s=-60) == [], "what an older program wrote is not half-written"
    checkpoints.save(second, 40, state(40))
    checkpoints.wait()
    assert checkpoints.live() == [(10, 1), (20, 1), (40, 2)], "30 is dead: the second attempt resumed before it"
    checkpoints.keep_newest(1)
    assert checkpoints.live() == [(40, 2)]
    assert {name.split("/")[2] for name in store.files.sizes(f"checkpoints/{RUN}")} == {
        "a000002",
        "whole.a000002.s000000040.json",
    }
    checkpoints.close()


@on_disk
def test_what_an_older_program_had_not_published_does_not_count(place, checkpoints):
    checkpoints.save(place.begin_attempt(RUN, 0), 10, state(10))
    checkpoints.wait()
    as_an_older_program_left_it(place, 1, 10)
    assert checkpoints.live() == [(10, 1)]
    folder = Path(checkpoint_folder(place, RUN, 1, 10))
    renamed = folder.rename(folder.with_name("s000000010.orbax-checkpoint-tmp"))
    assert checkpoints.live() == []
    renamed.rename(folder)
    (folder / "commit_success.txt").unlink()
    assert checkpoints.live() == []
