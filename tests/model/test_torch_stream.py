"""State dicts of old PyTorch are read as they were written; nothing that a file asks for is run."""

import collections
import io
import pickle
import re
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from dit_grid.model.torch_files import TorchFileError, read_torch_file
from dit_grid.model.torch_stream import MAGIC, is_torch_stream
from dit_grid.model.weights import WeightsError, read_tensors

KINDS = {"float32": "FloatStorage", "int64": "LongStorage", "float16": "HalfStorage"}


class Rebuild:
    """Pickles as PyTorch's tensors did: a call of torch._utils._rebuild_tensor_v2 on a storage kept elsewhere."""

    def __init__(self, function, storage, offset, shape, strides):
        self.reduced: tuple = (function, (storage, offset, shape, strides, False, collections.OrderedDict()))

    def __reduce__(self):
        return self.reduced


class Storage:
    def __init__(self, kind, key, array):
        self.pid = ("storage", kind, key, "cpu", array.size, None)


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, Storage) else None


@pytest.fixture
def torch(monkeypatch):
    """Just enough of a module of that name to be pickled by reference."""
    module, inner = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for kind in KINDS.values():
        setattr(module, kind, type(kind, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2():
        raise AssertionError("only its name is used")

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    inner._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setitem(sys.modules, "torch._utils", inner)
    return types.SimpleNamespace(storages=module, rebuild=_rebuild_tensor_v2)


def save(path, torch, arrays, reach=0, content=None, around=lambda named: named):
    """Writes arrays as torch.save did before 1.6; transposed arrays keep their strides. `around` is what holds them."""
    flats = {str(i): array.ravel(order="K") for i, array in enumerate(arrays.values())}
    named = collections.OrderedDict()
    for (name, array), (key, flat) in zip(arrays.items(), flats.items(), strict=True):
        storage = Storage(getattr(torch.storages, KINDS[str(array.dtype)]), key, flat)
        strides = tuple(step // array.itemsize for step in array.strides)
        named[name] = Rebuild(torch.rebuild, storage, reach, array.shape, strides)
    file = io.BytesIO()
    for part in (MAGIC, 1001, {"little_endian": True}, around(named) if content is None else content, list(flats)):
        Pickler(file, protocol=2).dump(part)
    for flat in flats.values():
        file.write(struct.pack("<q", flat.size) + flat.tobytes())
    path.write_bytes(file.getvalue())


ARRAYS: dict[str, np.ndarray] = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "bn.num_batches_tracked": np.array(7, dtype=np.int64),
    "half": np.array([1.5, -2], dtype=np.float16),
}


def test_tensors_come_back_with_names_types_and_strides(tmp_path: Path, torch):
    path = tmp_path / "weights.pth"
    save(path, torch, ARRAYS)
    found = read_torch_file(path)

    assert is_torch_stream(path)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)


def test_tensors_may_lie_deeper_beside_other_things(tmp_path, torch):
    path = tmp_path / "checkpoint.pth"
    save(path, torch, ARRAYS, around=lambda named: {"epoch": 3, "state_dict": named, "seen": {Path}, "at": Path("/x")})
    found = read_torch_file(path)
    assert np.array_equal(found["state_dict"]["conv.weight"], ARRAYS["conv.weight"])
    assert found["epoch"] == 3
    assert list(read_tensors(path)) == list(ARRAYS)


def test_a_tensor_may_be_part_of_a_storage(tmp_path, torch):
    whole = np.arange(5, dtype=np.float32)
    part = Rebuild(torch.rebuild, Storage(torch.storages.FloatStorage, "0", whole), 1, (2,), (2,))
    save(tmp_path / "w.pth", torch, {"whole": whole}, content={"part": part})
    assert list(read_torch_file(tmp_path / "w.pth")["part"]) == [1, 3]


def test_code_in_a_file_is_named_among_the_tensors_and_never_run(tmp_path, torch):
    path, trace = tmp_path / "evil.pth", tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return Path.touch, (trace,)

    save(path, torch, ARRAYS, around=lambda named: named | {"w": Evil()})
    named = re.escape(f"{Path.touch.__module__}.Path.touch")  # Python 3.13 has it in pathlib._local
    with pytest.raises(WeightsError, match=rf"evil\.pth: refused: entries that are not tensors: w \({named}\)"):
        read_tensors(path)
    save(path, torch, ARRAYS, around=lambda named: {"state_dict": named, "callbacks": {"x": Evil()}})
    assert list(read_tensors(path)) == list(ARRAYS)
    assert not trace.exists()


def test_damaged_files_are_refused(tmp_path, torch):
    path = tmp_path / "w.pth"
    save(path, torch, ARRAYS)
    whole = path.read_bytes()
    for length in (0, 1, 10, *range(40, len(whole), 5)):
        path.write_bytes(whole[:length])
        with pytest.raises(TorchFileError, match=r"damaged|truncated"):
            read_torch_file(path)
    save(path, torch, ARRAYS, reach=1)
    with pytest.raises(
        TorchFileError, match=r"a tensor of shape \(2, 3, 4\) reaches element 24, outside its storage of"
    ):
        read_torch_file(path)
    save(path, torch, {}, content=[1, 2])
    with pytest.raises(WeightsError, match="holds a list, not a state dict"):
        read_tensors(path)


def test_no_small_file_becomes_a_large_array(tmp_path, torch):
    """A stride of 0 repeats a storage, and a storage may claim any length; both are found before memory is taken."""
    path, flat = tmp_path / "w.pth", np.arange(5, dtype=np.float32)
    storage = Storage(torch.storages.FloatStorage, "0", flat)
    repeated = Rebuild(torch.rebuild, storage, 0, (50_000, 50_000), (0, 0))
    save(path, torch, {"w": flat}, content={"w": repeated})
    with pytest.raises(TorchFileError, match=r"\(50000, 50000\) repeats a storage of 5 elements"):
        read_torch_file(path)
    named = {f"w{i}": Rebuild(torch.rebuild, storage, 0, (5,), (1,)) for i in range(1000)}
    save(path, torch, {"w": flat}, content=named)
    with pytest.raises(TorchFileError, match=r"show the numbers in it more than 4 times"):
        read_torch_file(path)
    save(path, torch, {"w": flat})
    path.write_bytes(path.read_bytes()[:-28] + struct.pack("<q", 2**40) + flat.tobytes())
    with pytest.raises(TorchFileError, match=r"truncated: storage '0' of 1099511627776 elements, 20 bytes left"):
        read_torch_file(path)


def test_other_files_are_not_taken_for_one(tmp_path):
    for content in (b"", b"PK\x03\x04", pickle.dumps({"a": 1})):
        (tmp_path / "x").write_bytes(content)
        assert not is_torch_stream(tmp_path / "x")
