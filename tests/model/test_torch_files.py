"""PyTorch checkpoints are read without PyTorch, and a hostile one gets no code to run and no memory to read.

The files are written here, opcode for opcode as `torch.save` does; `test_oracle.py` reads real ones.
"""

import argparse
import collections
import contextlib
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from dit_grid.model.torch_files import TorchFileError, read_torch_file
from dit_grid.model.weights import WeightsError, read_tensors


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
    for function, arguments in (
        (open, (str(trace), "w")),
        (exec, (f"open({str(trace)!r}, 'w')",)),
        (getattr, ({}, "get")),
    ):
        with pytest.raises(WeightsError, match=rf"model\.pt: refused: its pickle asks for \w+\.{function.__name__}"):
            read_tensors(write({"w": Exploit(function, *arguments)}, {}))
    assert not trace.exists()


def test_a_pickle_cannot_change_classes_of_this_program(write):
    path = write({"w": WHOLE}, {"0": VALUES})
    # GLOBAL argparse.Namespace, then BUILD with a slot state: setattr on the class itself.
    hostile = b"\x80\x02cargparse\nNamespace\nN}X\x06\x00\x00\x00poisonK\x01s\x86b."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", hostile)
    read_torch_file(path)
    assert not hasattr(argparse.Namespace, "poison")


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (Tensor("0", "FloatStorage", 6, 1, (2, 3), (3, 1)), "reaches element 6 of a storage of 6"),
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
    with pytest.raises(WeightsError, match="not tensors: epoch"):
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
