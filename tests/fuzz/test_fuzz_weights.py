"""Damaged and hostile weight files of every layout end in one line, take little memory and time, and run nothing.

`uv run pytest -m slow -n 0 tests/fuzz/test_fuzz_weights.py`; FUZZ_WEIGHTS sets the number of inputs a layout (500).
A process of its own reads them all, with an audit hook that ends it if anything is executed or written.
"""

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

INPUTS = int(os.environ.get("FUZZ_WEIGHTS", "500"))
SLOWEST_S = 5.0
MEMORY_FACTOR, MEMORY_FLOOR = 64, 32 * 2**20
"""Bytes that reading may take beyond what was there: so many for each byte of the file, and what a few pages of Python
and NumPy take whatever the file. An empty list is 56 bytes in memory and one in a pickle."""

READER = r"""
import contextlib, itertools, json, os, resource, sys, time, tracemalloc, warnings
from pathlib import Path

from dit_grid.experiments.networks.published import import_weights, load_dit
from dit_grid.experiments.networks.autoencoder_weights import load_vae
from dit_grid.model.weights import read_tensors

folder, out, factor, floor = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
warnings.simplefilter("ignore")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
FORBIDDEN = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "socket.connect")
state = {"armed": False, "broken": ""}


def audit(event, arguments):
    if not state["armed"]:
        return
    if event in FORBIDDEN:
        state["broken"] = f"{event} {arguments!r}"
    if event == "open" and isinstance(arguments[0], str | bytes) and arguments[2] and arguments[2] & WRITES:
        place = os.path.abspath(os.fsdecode(arguments[0]))
        if not place.startswith((str(out), os.path.realpath("/dev"))):
            state["broken"] = f"writes {place}"


def readers(path):
    if path.suffix != ".pb":
        yield lambda: read_tensors(path)
        yield lambda: load_dit(path, heads=3)
        yield lambda: load_vae(path)
    yield lambda: import_weights(path, out, heads=3)


def read(path):
    found = {"name": path.name, "outcome": "read", "bytes": path.stat().st_size}
    for number, reader in enumerate(readers(path)):
        tracemalloc.start()
        began = time.monotonic()
        try:
            state["armed"] = True
            reader()
        except ValueError as error:
            ours = type(error).__module__.startswith("dit_grid.")
            text = str(error)
            if not ours or "\n" in text or not text.isprintable() or len(text) > 20_000:
                kind = f"{type(error).__module__}.{type(error).__name__}"
                return found | {"outcome": f"reader {number}: {kind}: {text[:300]!r}"}
            found["refused"] = found.get("refused", 0) + 1
        except BaseException as error:
            return found | {"outcome": f"reader {number}: {type(error).__name__}: {str(error)[:300]!r}"}
        finally:
            state["armed"] = False
            seconds, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
            tracemalloc.stop()
        found["seconds"] = max(found.get("seconds", 0), seconds)
        found["peak"] = max(found.get("peak", 0), peak)
        if peak > factor * found["bytes"] + floor:
            return found | {"outcome": f"reader {number}: {peak:,} bytes for a file of {found['bytes']:,}"}
        if state["broken"]:
            return found | {"outcome": f"reader {number}: {state['broken']}"}
    return found


sys.addaudithook(audit)
resource.setrlimit(resource.RLIMIT_AS, (16 * 2**30, 16 * 2**30))  # beyond it a MemoryError, not a dead machine
whole = [path for path in sorted(folder.iterdir()) if path.stem.endswith("-whole")]
for reader in itertools.chain.from_iterable(map(readers, whole)):  # imported and traced once, for no input
    with contextlib.suppress(ValueError):
        reader()
for path in sorted(folder.iterdir()):
    print(json.dumps(read(path)), flush=True)
"""


def arrays():
    """Tensors of names that the readers know, too few to be a network; small, so that damage meets all."""
    draw = np.random.default_rng(0).standard_normal
    shapes = {
        "x_embedder.proj.weight": (8, 4, 2, 2), "y_embedder.embedding_table.weight": (4, 8),
        "blocks.0.attn.qkv.weight": (24, 8), "final_layer.linear.weight": (32, 8), "pos_embed": (1, 4, 8),
        "encoder.conv_in.weight": (8, 3, 3, 3), "quant_conv.bias": (8,),
    }  # fmt: skip
    return {name: draw(shape).astype(np.float32) for name, shape in shapes.items()}


def varint(number):
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def graph():
    """A frozen graph of a few constants, as TensorFlow writes them."""
    nodes = b""
    constants: dict[str, np.ndarray] = {"softmax/biases": np.ones(8), "conv/conv2d_params": np.ones((3, 3, 3, 8))}
    for name, array in constants.items():
        shape = b"".join(field(2, varint(1 << 3) + varint(size)) for size in array.shape)
        tensor = varint(1 << 3) + varint(1) + field(2, shape) + field(4, array.astype("<f4").tobytes())
        value = field(5, field(1, b"value") + field(2, field(8, tensor)))
        nodes += field(1, field(1, name.encode()) + field(2, b"Const") + value)
    return nodes


def checkpoint(held):
    return {"ema": held, "model": held, "args": {"prediction": "epsilon"}, "more": [1, {"a": (2, 3)}, "text", None]}


def ours(held):
    said = {"kind": "dit", "config": {"image_size": 4, "patch": 2, "width": 8, "depth": 1, "heads": 2, "classes": 3}}
    said |= {"source": "a.pt", "source_sha256": "ab" * 32}
    return save(held, {"dit_grid": json.dumps(said)})


LAYOUTS = {
    "safetensors": (".safetensors", lambda writing: save(arrays())),
    "ours": (".safetensors", lambda writing: ours(arrays())),
    "zip": (".pt", lambda writing: writing.torch_bytes(checkpoint(arrays()))),
    "stream": (".pth", lambda writing: writing.torch_bytes(checkpoint(arrays()), stream=True)),
    "graph": (".pb", lambda writing: graph()),
}
HEADS = {"safetensors": 800, "ours": 1100, "zip": 1600, "stream": 1600, "graph": 200}
"""Bytes at the beginning that say what the rest is: two damages of three are there."""

TOKENS = (
    b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x00" * 8, b"\xff" * 8, b"9" * 19, b"-1", b"[[[[", b"../../x", b"1e999",
    b"cos\nsystem\n(S'touch ran'\ntR", b"cbuiltins\nexec\n(S'open(\"ran\",\"w\")'\ntR", b"\x8a\xff",
    b"r\xff\xff\xff\x7f",
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\x0f", b"(((((((((", b"]]]]]]]]", b"\x1b[2J", b"NaN", b"null",
)  # fmt: skip
"""Pieces that mean something to a reader of one layout or another."""


def damaged(whole, head, draw):
    """One way of damaging a file, of seven; up to four times."""
    content = bytearray(whole)
    for _ in range(draw.integers(1, 5)):
        size = max(1, min(len(content), head) if draw.random() < 2 / 3 else len(content))
        at, kind = int(draw.integers(0, size)), draw.integers(0, 7)
        if kind == 0:
            content[at : at + 1] = bytes([content[at] ^ 1 << int(draw.integers(0, 8))]) if content else b""
        elif kind == 1:
            content[at : at + 1] = draw.bytes(1)
        elif kind == 2:
            content = content[:at]
        elif kind == 3:
            del content[at : at + int(draw.integers(1, 40))]
        elif kind == 4:
            content[at:at] = content[at : at + int(draw.integers(1, 200))]
        elif kind == 5:
            token = TOKENS[int(draw.integers(0, len(TOKENS)))]
            content[at : at + len(token)] = token
        else:
            content[at:at] = TOKENS[int(draw.integers(0, len(TOKENS)))]
    return bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_damaged_weights_are_refused_in_a_line_or_read(layout, tmp_path, torch_writing):
    check_all([layout], INPUTS, tmp_path, torch_writing)


def test_a_few_damaged_weights_of_each_layout(tmp_path, torch_writing):
    """The same with a few inputs, in every run of the suite."""
    check_all(list(LAYOUTS), 6, tmp_path, torch_writing)


def check_all(layouts, count, folder, torch_writing):
    """Reads `count` damaged files of each layout, and fails with the first that end as none may."""
    inputs, out = folder / "inputs", folder / "out"
    inputs.mkdir()
    for layout in layouts:
        suffix, made = LAYOUTS[layout]
        whole = made(torch_writing)
        (inputs / f"{layout}-whole{suffix}").write_bytes(whole)
        for number in range(count):
            draw = np.random.default_rng([zlib.crc32(layout.encode()), number])
            (inputs / f"{layout}-{number:05}{suffix}").write_bytes(damaged(whole, HEADS[layout], draw))
    total = len(layouts) * (count + 1)
    command = [sys.executable, "-B", "-c", READER, inputs, out, MEMORY_FACTOR, MEMORY_FLOOR]
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=300 + 5 * total
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == total, f"ended at input {len(results)}: {done.stderr[-2000:]}"
    wrong = [f"{r['name']}: {r['outcome']}" for r in results if r["outcome"] != "read"]
    slow = [f"{r['name']}: {r['seconds']:.1f} s" for r in results if r.get("seconds", 0) > SLOWEST_S]
    assert not wrong + slow, "\n".join((wrong + slow)[:20])
    assert {path.name for path in folder.iterdir()} <= {"inputs", "out"}
    assert sum(bool(r.get("refused")) for r in results) > total / 2  # the damage is damage


def test_the_files_that_are_damaged_are_sound(tmp_path, torch_writing):
    """Else nothing would be found behind the first check."""
    from dit_grid.model.weights import read_tensors

    for layout in ("safetensors", "ours", "zip", "stream"):
        suffix, made = LAYOUTS[layout]
        path = Path(tmp_path, f"whole{suffix}")
        path.write_bytes(made(torch_writing))
        assert read_tensors(path).keys() == arrays().keys()
