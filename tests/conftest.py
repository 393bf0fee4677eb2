"""For every test: programs that compile quickly and are kept between runs, the longest modules first, and a bucket."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path
from typing import Any

import pytest

# A module compiled anew in every process that imports it costs more than anything else here: `import jax` takes three
# times as long, and a launch has a dozen processes. Where the surroundings forbid bytecode beside the sources (images
# of containers do), it is kept with the suite's other caches.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Set before anything imports JAX. Unoptimised code computes the same to the tolerances that tests state, and compiles
# in a third of the time, which is most of what these tests cost; training programs leave the level that is named here
# alone, and workers of a launch get flags of their own.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the suite's workers fill the cores; threads would only fight
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
KNOWN = tuple(map(int, metadata.version("jaxlib").split(".")[:2])) < (0, 11)  # later XLAs may refuse these flags
QUICK = " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0" + KNOWN * QUICK)
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "xla"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
os.environ.setdefault("DIT_GRID_CACHE", str(Path(__file__).parents[1] / ".pytest_cache" / "dit-grid"))
os.environ.setdefault("RAY_worker_niceness", "0")  # at Ray's 15 a launch starves beside the suite's other workers

# A worker holds a million objects of imported modules, none of them ever garbage; to look them through takes a fifth of
# the time of collecting tests and a twentieth of that of running them.
gc.set_threshold(20_000)

LONGEST_FIRST = (
    "test_launch_faults", "test_launch", "test_evaluation_commands", "test_sharding", "test_full_disk",
    "test_examples", "test_own_trainers", "test_forecast_commands", "test_flow", "test_process_group",
    "test_controller", "test_train", "test_notebooks", "test_report", "test_objectives_trained", "test_fuzz_store",
    "test_coordinates", "test_figures", "test_evaluation_jobs", "test_inception", "test_sample_scoring",
    "test_forecast_table", "test_conditions", "test_imported_runs", "test_fuzz_arrays", "test_before_rooms",
    "test_serving", "test_model_docs",
)  # fmt: skip
"""Modules that take about six seconds and more, each on one worker: begun last, one alone would end the suite. Those
that mostly wait for processes stand between those that compute, so that neither come together."""


def pytest_xdist_auto_num_workers() -> int:
    """Return two workers more than there are cores: tests that kill processes wait for most of their time."""
    return (os.cpu_count() or 1) + 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order modules by LONGEST_FIRST; the rest stay as they are."""
    rank = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


def pytest_collection_finish() -> None:
    """Let the garbage collector leave alone what is there before the first test."""
    gc.freeze()


@pytest.fixture(autouse=True)
def pandas_stays() -> Iterator[None]:
    """Commands that only look keep pandas out of their process, which here is that of the tests after them."""
    yield
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "_NoPandas"]


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test prints goes to a pipe, which has no width; xdist gives its workers the width of its own terminal."""
    monkeypatch.delenv("COLUMNS", raising=False)
    os.unsetenv("COLUMNS")  # readline, which pytest imports, sets it for child processes and past os.environ


@pytest.fixture(scope="session")
def torch_writing() -> Any:
    """What writes the files of `torch.save` without torch: the module `torch_writing.py`."""
    specification: Any = util.spec_from_file_location("torch_writing", Path(__file__).with_name("torch_writing.py"))
    module = util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An emulated bucket at gs://bucket for this test and the processes that it starts; its address."""
    program = Path(__file__).parent / "experiments" / "store" / "gcs_emulator.py"
    with subprocess.Popen(
        [sys.executable, str(program), "bucket"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        address = running.stdout.readline().strip()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        yield address
        running.stdin.close()
