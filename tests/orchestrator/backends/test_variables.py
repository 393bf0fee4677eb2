"""What a run's process starts with reaches the libraries in it."""

import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.orchestrator.backends.variables import MALLOC, TUNABLES, environment, memory_kept, on_cores

HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
TOUCH = """
import resource, threading
def touch():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"1" * (128 << 20)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
for _ in range(2):
    thread = threading.Thread(target=touch)
    thread.start()
    thread.join()
"""

COMPILE = "import jax; jax.jit(lambda: jax.numpy.zeros(3)).lower().compile()"


def _has_huge_pages() -> bool:
    name, version = platform.libc_ver()
    new = name == "glibc" and tuple(map(int, version.split("."))) >= (2, 35)
    return new and HUGE.exists() and "[never]" not in HUGE.read_text()


@pytest.mark.skipif(not _has_huge_pages(), reason="needs glibc 2.35 and a kernel that has huge pages to give")
def test_working_memory_is_taken_by_few_page_faults_and_kept():
    """128 MB are 32,768 pages of 4 kB, and 64 of 2 MB; a run works on a thread, and takes them again and again."""
    done = subprocess.run([sys.executable, "-c", TOUCH], env=os.environ | memory_kept(), capture_output=True, text=True)
    first, again = map(int, done.stdout.split())
    assert first < (128 << 20) / resource.getpagesize() / 8
    assert again < 16


def test_what_the_user_tuned_stays_and_a_trainer_of_ones_own_is_left_alone(monkeypatch):
    ours = RunSpec.model_validate({
        "model": {"size": "S", "patch": 8, "image_size": 8, "channels": 1, "classes": 10, "width": 8,
                  "depth": 1, "heads": 1}, "data": {"name": "digits"},
        "train": {"steps": 1, "batch": 4}, "evaluate": {"every": 1},
    })  # fmt: skip
    own = TrainerRun.model_validate({"trainer": {"command": ["train"]}, "train": {"steps": 1}})
    monkeypatch.setenv(TUNABLES, "glibc.malloc.perturb=1")
    assert environment(ours, "cache")[TUNABLES] == f"glibc.malloc.perturb=1:{MALLOC}"
    assert TUNABLES not in environment(own, "cache")


def test_a_program_for_one_core_is_made_in_one_piece(tmp_path):
    """An option that this XLA does not know would end the process."""
    variables = on_cores(1)
    variables["XLA_FLAGS"] += f" --xla_dump_to={tmp_path} --xla_dump_hlo_module_re=lambda"
    subprocess.run([sys.executable, "-c", COMPILE], env=os.environ | variables, check=True)
    (options,) = tmp_path.glob("*lambda*.debug_options")
    assert "xla_cpu_parallel_codegen_split_count: 1\n" in options.read_text()
