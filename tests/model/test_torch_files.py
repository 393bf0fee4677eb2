"""PyTorch checkpoints are read without PyTorch, and a hostile one gets no code to run and no memory to read.

The files are written here, opcode for opcode as `torch.save` does; `test_oracle.py` reads real ones.
"""

import argparse
import collections
import contextlib
import datetime
import pathlib
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from dit_grid.model.torch_files import TorchFileError, read_torch_file
from dit_grid.model.torch_pickle import Inert, Namespace, StateDict
from dit_grid.model.weights import WeightsError, read_checkpoint, read_tensors


class Tensor:
    """Stands for a torch tensor while pickling: storage key, storage class, elements, offset, shape, strides."""

    def __init__(self, key, kind, size, offset, shape, strides):
        self.storage, self.view = ("storage", kind, key, "cpu", size), (offset, shape, strides)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes an object as a checkpoint with the given storages; names of torch are pickled, never imported."""
    modules = {"torch": types.ModuleType("torch"), "torch._utils": types.ModuleType("torch._utils")}
    for kind in ("FloatStorage", "BFloat16Storage", "HalfStorage"):
        setattr(modules["torch"], kind, type(kind, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*args): ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    setattr(modules["torch._utils"], "_rebuild_tensor_v2", _rebuild_tensor_v2)  # noqa: B010

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if isinstance(thing, tuple) and len(thing) == 5 and thing[0] == "storage":
                return ("storage", getattr(modules["torch"], thing[1]), *thing[2:])
            return None

        def reducer_override(self, thing):
            if isinstance(thing, Tensor):
                return _rebuild_tensor_v2, (thing.storage, *thing.view, False, collections.OrderedDict())
            return NotImplemented

    def write(content, storages, compression=zipfile.ZIP_STORED):
        path = tmp_path / "model.pt"
        with zipfile.ZipFile(path, "w", compression) as archive, archive.open("model/data.pkl", "w") as file:
            for name, module in modules.items():
                monkeypatch.setitem(sys.modules, name, module)
            Pickler(file, protocol=2).dump(content)
            monkeypatch.undo()
        with zipfile.ZipFile(path, "a", compression) as archive:
            archive.writestr("model/byteorder", "little")
            for key, values in storages.items():
                archive.writestr(f"model/data/{key}", values.tobytes())
        return path

    return write


VALUES = np.arange(6, dtype=np.float32)
WHOLE = Tensor("0", "FloatStorage", 6, 0, (2, 3), (3, 1))
TRANSPOSED = Tensor("0", "FloatStorage", 6, 0, (3, 2), (1, 3))


def test_a_state_dict_is_read_with_its_views(write):
    tensors = read_tensors(write(collections.OrderedDict(a=WHOLE, b=TRANSPOSED), {"0": VALUES}))
    np.testing.assert_array_equal(tensors["a"], VALUES.reshape(2, 3))
    np.testing.assert_array_equal(tensors["b"], VALUES.reshape(2, 3).T)


def test_a_training_checkpoint_gives_ema_or_raw_weights(write):
    content = {
        "model": collections.OrderedDict(w=WHOLE),
        "ema": collections.OrderedDict(w=TRANSPOSED),
        "opt": {"state": {0: {"step": 3}}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999)}]},
        "args": argparse.Namespace(model="DiT-XL/2"),
    }
    path = write(content, {"0": VALUES})
    assert read_tensors(path)["w"].shape == (3, 2)
    assert read_tensors(path, "raw")["w"].shape == (2, 3)
    assert read_torch_file(path)["args"].model == "DiT-XL/2"


def test_sixteen_bit_formats_keep_their_values(write):
    bits = (VALUES.view(np.uint32) >> 16).astype(np.uint16)
    content = {"a": Tensor("0", "BFloat16Storage", 6, 0, (6,), (1,)), "b": Tensor("1", "HalfStorage", 6, 0, (6,), (1,))}
    tensors = read_tensors(write(content, {"0": bits, "1": VALUES.astype(np.float16)}))
    np.testing.assert_array_equal(tensors["a"], VALUES)
    np.testing.assert_array_equal(tensors["b"], VALUES)


class Exploit:
    """What pickles are feared for: asks the reader to call a function of its choice."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def test_code_in_a_file_is_refused_by_name_and_never_runs(write, tmp_path):
    trace = tmp_path / "ran"
    for function, arguments, named in (
        (open, (str(trace), "w"), r"\w+\.open"),
        (exec, (f"open({str(trace)!r}, 'w')",), r"\w+\.exec"),
        (getattr, ({}, "get"), r"dict\.get"),
    ):
        hostile = Exploit(function, *arguments)
        words = rf"model\.pt: refused: entries that are not tensors: w \({named}\)"
        with pytest.raises(WeightsError, match=words):
            read_tensors(write({"w": hostile}, {}))
        # Beside the tensors it is no more than a name.
        content = {"state_dict": {"w": WHOLE}, "callbacks": hostile, "more": [hostile, {"deep": hostile}]}
        assert list(read_tensors(write(content, {"0": VALUES}))) == ["w"]
    assert not trace.exists()


class Callback:
    """A class of somebody's program, which this one does not have."""

    def __init__(self):
        self.best = 3


def test_what_programs_keep_beside_the_weights_is_passed_over(write):
    """Lightning's callbacks by class, paths, NumPy scalars and generators, sets: of each nothing but a name is made."""
    content = {
        "state_dict": collections.OrderedDict(w=WHOLE),
        "callbacks": {Callback: {"best": 3}},
        "callback": Callback(),
        "path": pathlib.PurePosixPath("/data"),
        "scalar": np.float64(2.5),
        "random": np.random.get_state(),
        "seen": {1, 2},
        "queue": collections.deque([1, 2]),
        "counts": collections.Counter(a=1),
        "started": datetime.datetime(2026, 1, 1),
    }
    assert list(read_tensors(write(content, {"0": VALUES}))) == ["w"]
    found = read_torch_file(write(content, {"0": VALUES}))
    assert all(type(found[name]).__name__ == "Inert" for name in ("callback", "path", "scalar", "seen", "queue"))
    assert found["callback"].state == {"best": 3}
    with pytest.raises(WeightsError, match=r"not tensors: epoch \(.*PurePosixPath\)"):
        read_tensors(write({"w": WHOLE, "epoch": pathlib.PurePosixPath("/data")}, {"0": VALUES}))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["module.a.w", "module.b.w"], ["a.w", "b.w"]),
        (["_orig_mod.a.w", "_orig_mod.b.w"], ["a.w", "b.w"]),
        (["module._orig_mod.a.w", "module._orig_mod.b.w"], ["a.w", "b.w"]),
        (["model.a.w", "model.b.w"], ["a.w", "b.w"]),
        (["n_averaged", "module.a.w", "module.b.w"], ["a.w", "b.w"]),
        (["blocks.0._orig_mod.w", "blocks.1._checkpoint_wrapped_module.w"], ["blocks.0.w", "blocks.1.w"]),
        (["model.a.w", "b.w"], ["model.a.w", "b.w"]),
    ],
)
def test_names_are_read_without_what_wrappers_put_before_them(write, names, expected):
    assert list(read_tensors(write(dict.fromkeys(names, WHOLE), {"0": VALUES}))) == expected


def test_averaged_weights_are_found_where_training_programs_keep_them(write):
    for averaged, raw in (("ema", "model"), ("ema_state_dict", "model_state_dict"), ("model_ema", "model")):
        path = write({averaged: {"w": TRANSPOSED}, raw: {"w": WHOLE}, "config": {"size": 3}}, {"0": VALUES})
        assert read_tensors(path)["w"].shape == (3, 2)
        assert read_tensors(path, "raw")["w"].shape == (2, 3)
    assert read_tensors(write({"state_dict": {"w": WHOLE}}, {"0": VALUES}), "raw")["w"].shape == (2, 3)
    with pytest.raises(WeightsError, match="holds 'model' and no 'ema': use weights 'raw'"):
        read_tensors(write({"model": {"w": WHOLE}}, {"0": VALUES}))


def test_a_name_that_would_write_to_the_terminal_is_refused_as_text(write):
    with pytest.raises(WeightsError, match=r"a tensor's name holds control characters: 'w\\x1b\[2J'"):
        read_tensors(write({"w\x1b[2J": WHOLE}, {"0": VALUES}))


def test_names_that_would_become_one_are_refused(write):
    with pytest.raises(WeightsError, match="holds some tensors twice"):
        read_tensors(write({"a.w": WHOLE, "a._orig_mod.w": WHOLE}, {"0": VALUES}))


def test_a_pickle_cannot_change_classes_of_this_program(write):
    path = write({"w": WHOLE}, {"0": VALUES})
    for name in ("argparse\nNamespace", "collections\nOrderedDict", "some\nClass"):
        # GLOBAL, then BUILD with a slot state: setattr on the class itself.
        hostile = f"c{name}\n".encode().join([b"\x80\x02", b"N}X\x06\x00\x00\x00poisonK\x01s\x86b."])
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model/data.pkl", hostile)
        with contextlib.suppress(TorchFileError):
            read_torch_file(path)
        assert not any(hasattr(kind, "poison") for kind in (argparse.Namespace, Namespace, StateDict, Inert))


def test_an_object_numbered_beyond_the_pickle_is_refused(write):
    """Python would first make room for all numbers before it: 32 GB for five bytes."""
    path = write({"w": WHOLE}, {"0": VALUES})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02]r\xff\xff\xff\x7f.")
    with pytest.raises(TorchFileError, match="numbers an object 2147483647"):
        read_torch_file(path)


def test_a_member_that_claims_more_than_the_file_has_is_refused(write):
    path = write({"w": WHOLE}, {"0": VALUES})
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")  # the storage's, in the central directory
    content[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(content)
    with pytest.raises(TorchFileError, match="claim more bytes than the file has"):
        read_torch_file(path)


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (Tensor("0", "FloatStorage", 6, 1, (2, 3), (3, 1)), "reaches element 6, outside its storage of 6"),
        (Tensor("0", "FloatStorage", 6, 0, (2, 3), (300, 1)), "reaches element 302"),
        (Tensor("0", "FloatStorage", 6, -1, (2,), (1,)), "offset -1"),
        (Tensor("0", "FloatStorage", 6, 0, (10**6, 10**6), (0, 0)), "repeats a storage of 6 elements"),
        (Tensor("0", "FloatStorage", 7, 0, (2,), (1,)), "holds 6 elements instead of 7"),
        (Tensor("../../secret", "FloatStorage", 6, 0, (2,), (1,)), "damaged checkpoint"),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(write, tensor, words):
    with pytest.raises(TorchFileError, match=words):
        read_torch_file(write({"w": tensor}, {"0": VALUES}))


def test_compressed_members_are_refused_so_that_no_small_file_becomes_a_large_array(write):
    with pytest.raises(TorchFileError, match="is compressed"):
        read_torch_file(write({"w": WHOLE}, {"0": VALUES}, zipfile.ZIP_DEFLATED))


def test_a_file_that_is_no_state_dict_is_refused(write, tmp_path):
    with pytest.raises(WeightsError, match="holds a list, not a state dict"):
        read_tensors(write([1, 2], {}))
    with pytest.raises(WeightsError, match=r"not tensors: epoch \(int\)"):
        read_tensors(write({"w": WHOLE, "epoch": 3}, {"0": VALUES}))
    other = tmp_path / "other.pt"
    other.write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(WeightsError, match="not a PyTorch zip checkpoint, or truncated"):
        read_tensors(other)


@settings(max_examples=200, deadline=None, database=None)
@given(data=st.data())
def test_damage_is_an_error_of_ours_or_harmless(whole_file, data):
    content = bytearray(whole_file.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:position]
    else:
        content[position] = data.draw(st.integers(0, 255))
    damaged = whole_file.with_name("damaged.pt")
    damaged.write_bytes(content)
    with contextlib.suppress(TorchFileError):
        read_torch_file(damaged)


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory):
    """A small checkpoint in the form that `torch.save` writes."""
    path = tmp_path_factory.mktemp("torch") / "whole.pt"
    pickled = (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n"
        b"FloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89}tRs."
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("whole/data.pkl", pickled)
        archive.writestr("whole/data/0", VALUES.tobytes())
    np.testing.assert_array_equal(read_torch_file(path)["w"], VALUES.reshape(2, 3))
    return path


@pytest.mark.parametrize("form", ["zip", "stream"])
def test_what_torch_itself_wrote_is_read(form):
    """Both formats, with things of Python, NumPy, torch and somebody's program beside the weights."""
    path = pathlib.Path(__file__).parents[1] / "golden" / f"torch_save_{form}.pt"
    averaged, raw = read_checkpoint(path), read_tensors(path, "raw")
    expected = {"a.weight": np.arange(6.0).reshape(2, 3).T, "a.bias": np.full(3, 1.5), "half": [0.5, -2.0], "steps": 7}
    for name, values in expected.items():
        np.testing.assert_array_equal(raw[name], values)
        np.testing.assert_array_equal(averaged.tensors[name], values)  # without `module.`
    np.testing.assert_array_equal(averaged.tensors["attributed"], [4.0, 4.0])
    assert averaged.arguments == {"prediction": "velocity"}
