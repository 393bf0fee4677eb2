"""Damaged files for every reader, and what a reader may do with one: read it equal, or refuse it in one line.

A fuzzer of one more reader is a few lines: bytes of a sound file, how it is read, and how many inputs.

    def test_damaged_weights(fuzz, inputs):
        fuzz(sound_bytes, read=load, inputs=inputs, same=arrays_equal)

Everything is drawn from the number of the input, so that one that fails can be had again alone: `only=1234`.
"""

import json
import os
import random
import re
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

LIMIT_S = 5.0
"""Longer is a hang, of the reader's own processor time, so that a busy machine is none; by the clock twelve times."""

MULTIPLE, FLOOR = 16, 16_000_000
"""A reader may allocate so many times the file, beyond what reading anything takes (libraries, caches), in bytes."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
EXECUTING = (
    "pickle.find_class",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "socket.connect",
)
CHANGING = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")


class _Watched:
    """What Python's audit events tell while a reader reads: nothing may be executed, or written outside the folder."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.broken: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple) -> None:
        if self.folder is None:
            return
        if event in EXECUTING or (event in CHANGING and not str(args[0]).startswith(self.folder)):
            self.broken.append(f"{event} {args}")
        if (
            event == "open"
            and len(args) > 2
            and isinstance(args[2], int)
            and args[2] & WRITING
            and args[0] != os.devnull
        ):
            place = args[0]
            if isinstance(place, str | bytes) and not os.path.abspath(os.fsdecode(place)).startswith(self.folder):
                self.broken.append(f"open for writing {place!r}")


_watched = _Watched()


def is_refusal(error: BaseException) -> bool:
    """Whether an error is one that the command line prints as it is: a ValueError of this project's own."""
    return isinstance(error, ValueError) and type(error).__module__.startswith("dit_grid.")


class Fuzz:
    """Calls readers with damaged files in a folder of its own, and fails with the number of the input."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, sound: bytes, read: Callable[[Path], Any], inputs: int, *, same: Callable[[Any, Any], bool] | None = None,
        damage: Callable[[random.Random, bytes], bytes] | None = None, name: str = "file", multiple: float = MULTIPLE,
        only: int | None = None, prepared: bool = False,
    ) -> int:  # fmt: skip
        """Return how many damaged files were refused.

        With `same` a file that is read must give what the sound one gives. `damage` makes input after input; by default
        bytes are damaged. `prepared` says that `read` wants no file, and gets the damaged bytes in place of its path.
        """
        path = self.folder / name
        path.write_bytes(sound)
        whole = read(sound if prepared else path)  # type: ignore[arg-type]  # also warms caches and imports
        refused = 0
        for number in range(inputs) if only is None else [only]:
            data = (damage or damaged)(random.Random(f"{name} {number}"), sound)
            path.write_bytes(data)
            found = self._read(lambda: read(data if prepared else path), number, len(data), multiple)  # type: ignore[arg-type]  # noqa: B023
            refused += found is REFUSED
            if found is not REFUSED and same is not None and not same(whole, found):
                pytest.fail(f"input {number} of {name} was read with other values, and nothing was said")
        return refused

    def text(
        self, made: Callable[[random.Random], str], read: Callable[[str], Any], inputs: int, only: int | None = None
    ) -> int:
        """Return how many of the strings that `made` makes `read` refused; none may do worse."""
        numbers = range(inputs) if only is None else [only]
        refused = 0
        for number in numbers:
            text = made(random.Random(f"text {number}"))
            refused += self._read(lambda: read(text), number, len(text), MULTIPLE) is REFUSED  # noqa: B023
        return refused

    def _read(self, read: Callable[[], Any], number: int, size: int, multiple: float) -> Any:
        began, worked = time.monotonic(), time.thread_time()
        _watched.broken.clear()
        sys.dont_write_bytecode = True  # of a module that a reader is the first to import
        _watched.folder = str(self.folder)
        tracemalloc.start(1)
        before = pa.default_memory_pool().max_memory() or 0
        try:
            found = read()
        except Exception as error:
            if not is_refusal(error):
                pytest.fail(f"input {number}: {type(error).__name__}: {error}")
            if not str(error).strip() or len(str(error)) > 100_000:
                pytest.fail(f"input {number} is refused in {len(str(error))} characters")
            found = REFUSED
        finally:
            peak = tracemalloc.get_traced_memory()[1] + max((pa.default_memory_pool().max_memory() or 0) - before, 0)
            tracemalloc.stop()
            _watched.folder = None
        spent, waited = time.thread_time() - worked, time.monotonic() - began
        assert spent < LIMIT_S, f"input {number} took {spent:.1f} s of a processor"
        assert waited < 12 * LIMIT_S, f"input {number} took {waited:.1f} s"
        assert peak < multiple * size + FLOOR, f"input {number} of {size} bytes allocated {peak:,}"
        assert not _watched.broken, f"input {number}: {_watched.broken}"
        return found


REFUSED = object()

EDGES = [0, 1, -1, 127, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1]
NASTY_TEXT = [
    "", " ", "..", "../x", "/",
    "-1", "0", "1e308", "1e400", "nan", "inf", "-inf", "9" * 20, "9" * 5000, "1_000", "true",
    "null", "~", "[]", "{}", "[[1]]", "{a: 1}", "!!int ''", "!!python/object/apply:os.system ['true']", "&a [*a]", "*a",
    "a" * 300, "\x00", "\ud800", "ü", "𝕏", "%s{}", "{{data}}", "<script>", "2020-01-01", "0x", "1:2:3", "\n",
    "\t", "'", '"',
]  # fmt: skip
NASTY_VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, 10**30, 1e308, float("nan"), float("inf"), "", "..", "x" * 300, "\ud800", [], {},
    [[]], {"a": 1}, [None], "1", [1, 2], 2**63,
]  # fmt: skip


def damaged(draws: random.Random, data: bytes) -> bytes:
    """One of a dozen kinds of damage to bytes: flips, cuts, gaps, garbage, extreme numbers, another file altogether."""
    kinds: list[Callable[[random.Random, bytearray], bytes]] = [
        _flipped, _flipped, _flipped, _cut, _gap, _overwritten, _overwritten, _inserted, _repeated, _edge, _edge,
        _digits, _another,
    ]  # fmt: skip
    return draws.choice(kinds)(draws, bytearray(data))


def _place(draws: random.Random, data: bytearray, room: int = 1) -> int:
    """Where damage is done: headers and footers hold what is worth most to an attacker, so every second is there."""
    last = max(len(data) - room, 0)
    ends = [draws.randint(0, min(last, 400)), draws.randint(max(last - 400, 0), last)]
    return draws.choice([draws.randint(0, last), draws.choice(ends)])


def _flipped(draws: random.Random, data: bytearray) -> bytes:
    for _ in range(draws.choice([1, 1, 1, 2, 8]) if data else 0):
        data[_place(draws, data)] ^= 1 << draws.randrange(8)
    return bytes(data)


def _cut(draws: random.Random, data: bytearray) -> bytes:
    return bytes(data[: _place(draws, data)])


def _gap(draws: random.Random, data: bytearray) -> bytes:
    at = _place(draws, data)
    del data[at : at + draws.choice([1, 2, 7, 64, 4096])]
    return bytes(data)


def _overwritten(draws: random.Random, data: bytearray) -> bytes:
    size = draws.choice([1, 4, 16, 512])
    at = _place(draws, data, size)
    data[at : at + size] = draws.choice([bytes(size), b"\xff" * size, draws.randbytes(size)])
    return bytes(data)


def _inserted(draws: random.Random, data: bytearray) -> bytes:
    at = _place(draws, data)
    data[at:at] = draws.choice([draws.randbytes(5), b"\0", b"\n", draws.choice(NASTY_TEXT).encode(errors="replace")])
    return bytes(data)


def _repeated(draws: random.Random, data: bytearray) -> bytes:
    at, size = _place(draws, data), draws.choice([1, 20, 300])
    data[at:at] = data[at : at + size] * draws.choice([1, 2, 50])
    return bytes(data)


def _edge(draws: random.Random, data: bytearray) -> bytes:
    size = draws.choice([1, 2, 4, 8])
    at = _place(draws, data, size)
    value = draws.choice(EDGES) % 2 ** (8 * size)
    data[at : at + size] = value.to_bytes(size, draws.choice(["little", "big"]))
    return bytes(data)


def _digits(draws: random.Random, data: bytearray) -> bytes:
    """A number written in text becomes another of the same length, so that no length betrays it, or a longer one."""
    found = list(re.finditer(rb"\d+", bytes(data[:100_000])))
    if not found:
        return _flipped(draws, data)
    one = draws.choice(found)
    same = b"9" * len(one[0])
    data[one.start() : one.end()] = draws.choice([same, same, b"0" * len(one[0]), b"9" * 25, b"-1"])
    return bytes(data)


def _another(draws: random.Random, data: bytearray) -> bytes:
    """Another file altogether: empty, garbage, a picture's beginning, a pickle that would run a command, an array."""
    return draws.choice([
        b"", b"\0" * 64, draws.randbytes(2000), b"\x89PNG\r\n\x1a\n" + draws.randbytes(50), b"PK\x05\x06" + bytes(18),
        b"cos\nsystem\n(S'touch /tmp/executed'\ntR.", b"PAR1" + draws.randbytes(40) + b"PAR1", b"{" * 5000,
        b"[" * 100_000,
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999,)}" + b" " * 48 + b"\n",
        b"{}", b"[]", b"null", b"1", b'"x"', bytes(reversed(data)),
    ])  # fmt: skip


def json_damaged(draws: random.Random, data: bytes) -> bytes:
    """A JSON document of which a value, wherever it lies, is another, is gone, or has a brother; or damaged bytes."""
    if draws.random() < 0.3:
        return damaged(draws, data)
    held = json.loads(data)
    _replace_one(draws, held)
    return json.dumps(held).encode()


def _replace_one(draws: random.Random, held: Any) -> None:
    places: list[tuple[Any, Any]] = list(_places(held))
    if not places:
        return
    box, key = draws.choice(places)
    what = draws.choice(["value", "value", "value", "gone", "more"])
    if what == "value":
        box[key] = draws.choice(NASTY_VALUES)
    elif what == "gone":
        del box[key]
    elif isinstance(box, dict):
        box[draws.choice(["x", "..", "", "a" * 300])] = draws.choice(NASTY_VALUES)
    else:
        box.append(draws.choice(NASTY_VALUES))


def _places(held: Any) -> Iterator[tuple[Any, Any]]:
    inside = held.items() if isinstance(held, dict) else enumerate(held) if isinstance(held, list) else ()
    for key, value in list(inside):
        yield held, key
        yield from _places(value)


def text_damaged(draws: random.Random, data: bytes) -> bytes:
    """Text of which a word or a number is another, a line is gone, twice, or moved; or damaged bytes."""
    if draws.random() < 0.15:
        return damaged(draws, data)
    text = data.decode()
    for _ in range(draws.choice([1, 1, 2, 4])):
        if draws.random() < 0.7:
            words = list(re.finditer(r"[\w.+-]+", text))
            word = draws.choice(words) if words else None
            new = draws.choice([*NASTY_TEXT, *map(str, EDGES)])
            if draws.random() < 0.3 and words:
                new = draws.choice(words)[0]
            text = text if word is None else text[: word.start()] + new + text[word.end() :]
        else:
            lines = text.splitlines(keepends=True)
            at = draws.randrange(max(len(lines), 1))
            line = lines[at : at + 1]
            lines[at : at + 1] = draws.choice([[], line * 2, [*line, draws.choice(NASTY_TEXT)]])
            if draws.random() < 0.2:
                draws.shuffle(lines)
            text = "".join(lines)
    return text.encode(errors="surrogatepass")


@pytest.fixture
def fuzz(tmp_path) -> Fuzz:
    """Calls a reader with damaged files; see `Fuzz`."""
    folder = tmp_path / "fuzz"
    folder.mkdir()
    return Fuzz(folder)


@pytest.fixture(scope="session")
def damage() -> Any:
    """Makers of damaged bytes: `damage.bytes`, `damage.json`, `damage.text`, and the `nasty` texts."""

    class Makers:
        bytes = staticmethod(damaged)
        json = staticmethod(json_damaged)
        text = staticmethod(text_damaged)
        nasty = NASTY_TEXT
        refused = REFUSED
        is_refusal = staticmethod(is_refusal)

    return Makers


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `inputs` runs with `QUICK` of its module in the suite, and with `INPUTS` as a slow test."""
    if "inputs" in metafunc.fixturenames:
        many = getattr(metafunc.module, "INPUTS", 2000)
        few = getattr(metafunc.module, "QUICK", 40)
        slow = pytest.param(many, marks=pytest.mark.slow, id=f"{many}-inputs")
        metafunc.parametrize("inputs", [pytest.param(few, id=f"{few}-inputs"), slow])
