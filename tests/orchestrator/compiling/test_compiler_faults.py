"""A compiler that is missing, crashes or is silent: one line each, and nothing left behind. Answers are kept."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import pytest

from dit_grid.experiments.spec import load_spec
from dit_grid.orchestrator.compiling import child, choosing, compiler, kept, verdicts
from dit_grid.orchestrator.compiling.compiler import CompilerError, ask
from dit_grid.orchestrator.compiling.generations import generation_of, topology_of
from dit_grid.orchestrator.compiling.questions import update_of
from dit_grid.orchestrator.screen.compiled import print_compiled, rooflines

SPEC = """
name: small
store: {store}
model: {{image_size: 32}}
grid: {{model.size: [S], model.patch: [8, 4]}}
data: {{name: imagenet256-latents}}
train: {{steps: 1000, batch: 256}}
evaluate: {{every: 1000}}
execution: {{resources: {{slice: v3-8}}, checkpoint_every: 1000}}
"""

VERSIONS = {"jax": "0.10.2", "jaxlib": "0.10.2", "libtpu": "0.0.52"}

ANSWER = {
    "kind": child.FITS, "hbm_needed_bytes": 1 << 30, "compiler_s": 7.5, "flops": 61_500_000_000,
    "traffic_bytes": 450_000_000, "sent_bytes": 14_000_000.0, "cycles": 940_000, "between_hosts_bytes": 0,
    "collective_bytes": {"all-reduce": 7_000_000},
}  # fmt: skip


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("DIT_GRID_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "small.yaml"
    path.write_text(SPEC.format(store=tmp_path / "store"))
    return load_spec(path).runs


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts another program in the compiler's place, and watches the folder in which it works."""

    def put(text):
        (tmp_path / "in_its_place.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(compiler, "PROGRAM", "in_its_place")
        folder = tmp_path / "work"
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        return folder

    return put


def wait_until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def is_over(pid):
    """Whether the process is gone; an orphan is reaped by whoever adopts it."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or " Z " in stat.read_text()


def test_without_the_wheel_one_line_says_how_to_get_it(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SPEC.format(store=tmp_path / "store"))
    hidden = "import importlib.util as u; find = u.find_spec; u.find_spec = lambda n, p=None: None if n == 'libtpu' " \
        "else find(n, p); from dit_grid.orchestrator.commands.cli import main; main()"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", hidden, "plan", str(path), "--compile"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "uv pip install 'dit-grid[tpu]'" in done.stderr


def test_a_compiler_that_crashes_is_one_line_with_its_last_words(runs, program):
    folder = program("import os, sys; print('F0000 check failed: x', file=sys.stderr, flush=True); os.abort()")
    with pytest.raises(CompilerError, match=r"ended by signal SIGABRT while compiling S/8 for v3-8: F0000 check"):
        ask(update_of(runs[0], "v3-8"))
    assert list(folder.iterdir()) == []


def test_a_silent_compiler_is_ended_with_all_that_it_started(runs, program, tmp_path):
    folder = program(
        "import pathlib, subprocess, time\n"
        "other = subprocess.Popen(['sleep', '600'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(other.pid))\n"
        "time.sleep(600)\n"
    )
    began = time.monotonic()
    with pytest.raises(CompilerError, match=r"did not answer within 3 s for S/8 for v3-8 and was ended"):
        ask(update_of(runs[0], "v3-8"), patience_s=3)
    assert time.monotonic() - began < 60
    assert list(folder.iterdir()) == []
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: is_over(pid))


def test_a_killed_plan_leaves_no_compiler_and_no_folder(tmp_path):
    """The process that asks is killed outright; what it started ends by itself and takes its folder along."""
    watched = (
        "import sys, threading, time, os; from pathlib import Path\n"
        "from dit_grid.orchestrator.compiling.process import end_with_parent\n"
        "folder = Path(sys.argv[1]); folder.mkdir()\n"
        "threading.Thread(target=end_with_parent, args=(os.getppid(), folder), daemon=True).start()\n"
        "(folder / 'pid').write_text(str(os.getpid())); time.sleep(600)\n"
    )
    asking = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
    folder = tmp_path / "work"
    with subprocess.Popen([sys.executable, "-c", asking, watched, str(folder)]) as process:
        wait_until(lambda: (folder / "pid").exists() and (folder / "pid").read_text())
        pid = int((folder / "pid").read_text())
        process.kill()
    wait_until(lambda: not folder.exists() and is_over(pid))


def test_a_wheel_that_does_not_fit_jax_is_one_line(runs, program):
    said = {"kind": child.MISMATCH, "message": "PJRT_Client_Create: unknown API version 0.23"}
    program(f"import pathlib, json, sys; pathlib.Path(sys.argv[2]).write_text(json.dumps({said!r}))")
    compiler_versions = dict(VERSIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "check_compiler", lambda: compiler_versions)
        with pytest.raises(CompilerError) as raised:
            ask(update_of(runs[0], "v3-8"))
    assert str(raised.value).startswith("libtpu 0.0.52 does not work with jax 0.10.2 (")
    assert "\n" not in str(raised.value)


def test_a_wheel_older_than_jax_asks_for_is_one_line(monkeypatch):
    wanted = compiler.oldest_libtpu()
    assert wanted > "0"
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: name)
    found = {"jax": "0.10.2", "jaxlib": "0.10.2", "libtpu": "0.0.17"}
    monkeypatch.setattr(compiler.metadata, "version", found.__getitem__)
    with pytest.raises(CompilerError, match=f"libtpu 0.0.17 is older than jax 0.10.2 asks for, {wanted}: `uv pip inst"):
        compiler.check_compiler()
    found["libtpu"] = wanted
    assert compiler.check_compiler() == found


def test_answers_are_kept_by_what_they_depend_on(runs):
    run = runs[0]
    name = kept.key(update_of(run, "v3-8"), VERSIONS)
    same = run.model_copy(update={"seed": 7, "train": run.train.model_copy(update={"steps": 2000, "log_every": 50})})
    assert kept.key(update_of(same, "v3-8"), VERSIONS) == name
    remat = run.model_copy(update={"execution": run.execution.model_copy(update={"remat": "block"})})
    bfloat16 = run.model_copy(update={"train": run.train.model_copy(update={"dtype": "bfloat16"})})
    others = {kept.key(update_of(remat, "v3-8"), VERSIONS), kept.key(update_of(bfloat16, "v3-8"), VERSIONS),
              kept.key(update_of(run, "v3-32"), VERSIONS),
              kept.key(update_of(runs[1], "v3-8"), VERSIONS),
              kept.key(update_of(run, "v3-8"), VERSIONS | {"libtpu": "0.0.53"})}  # fmt: skip
    assert len(others - {name}) == 5
    assert kept.recall(name) is None
    kept.keep(name, ANSWER)
    assert kept.recall(name) == ANSWER
    assert [file.name for file in (kept.cache_folder() / "compiled").iterdir()] == [f"{name}.json"]


def test_a_roofline_is_the_longest_of_three_times_at_peak(runs):
    kept.keep(kept.key(update_of(runs[0], "v3-8"), VERSIONS), ANSWER)
    found = verdicts.judge(runs[0], VERSIONS)
    assert found.bound == "compute"
    assert found.roofline_s == pytest.approx(1e-3)  # 61.5 GFLOP at half of a chip's 123 TFLOP/s; others: 1.0 and 0.1 ms
    assert found.estimated_s == pytest.approx(1e-3)
    assert found.hbm_granted_bytes == generation_of("v3-8").granted_bytes
    kept.keep(kept.key(update_of(runs[0], "v3-8"), VERSIONS), ANSWER | {"traffic_bytes": 900_000_000})
    assert verdicts.judge(runs[0], VERSIONS).bound == "memory"
    kept.keep(kept.key(update_of(runs[0], "v3-8"), VERSIONS), ANSWER | {"sent_bytes": 700_000_000.0})
    found = verdicts.judge(runs[0], VERSIONS)
    assert (found.bound, found.roofline_s) == ("interconnect", pytest.approx(5e-3))


def test_a_program_that_jaxlib_cannot_read_has_its_memory_and_says_why_no_time(runs, tmp_path, capsys):
    """What libtpu makes for tpu7x may be in a form that is newer than jaxlib's XLA."""
    program = jax.jit(lambda x: x @ x).lower(jax.ShapeDtypeStruct((64, 64), "float32")).compile()

    class Unreadable:
        memory_analysis = program.memory_analysis

        def as_text(self):
            raise RuntimeError("INTERNAL: RET_CHECK failure (hlo_instruction.cc:390)\nmore")

    plain = child._figures(Unreadable(), [0], lambda: program)
    assert (plain["flops"], "unread" in plain) == (2 * 64**3, False)  # of the form without SparseCores
    answer = child._figures(Unreadable(), [0], Unreadable)
    assert answer == {"hbm_needed_bytes": 2 * 64 * 64 * 4, "argument_bytes": 64 * 64 * 4,
                      "unread": "INTERNAL: RET_CHECK failure (hlo_instruction.cc:390)"}  # fmt: skip
    kept.keep(kept.key(update_of(runs[0], "v3-8"), VERSIONS), {"kind": child.FITS, "compiler_s": 1.0} | answer)
    found = {runs[0].id: verdicts.judge(runs[0], VERSIONS)}
    (one,) = found.values()
    assert (one.fits, one.hbm_needed_bytes, one.roofline_s, one.bound) == (True, 2 * 64 * 64 * 4, None, None)
    assert rooflines(found) == {}
    spec = load_spec(tmp_path / "small.yaml")
    print_compiled(spec, found)
    assert "memory alone is known of S/8 on v3-8: what libtpu made cannot be read by this jaxlib (INTERNAL" in (
        " ".join(capsys.readouterr().out.split())
    )
    with pytest.raises(CompilerError, match="--choose compares times, and of S/8 on v3-8 memory alone is known"):
        choosing._seconds(runs[0], one)


def test_slices_have_the_topologies_of_the_reference():
    said = {name: topology_of(name).name for name in ("v3-8", "v3-64", "v3-256", "v4-32", "v5p-128", "v5litepod-16")}
    assert said == {"v3-8": "v3:2x2", "v3-64": "v3:4x8", "v3-256": "v3:8x16", "v4-32": "v4:2x2x4",
                    "v5p-128": "v5p:4x4x4", "v5litepod-16": "v5e:4x4"}  # fmt: skip
    assert (topology_of("v3-256").devices, topology_of("v3-256").hosts) == (256, 32)
    assert topology_of("v6e-8").host == (2, 4, 1)
