"""The notebooks run from top to bottom, hold short cells and no outputs."""

import os
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[3] / "analysis" / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def kernel():
    """One kernel for all notebooks: to start and to import takes it as long as to run one."""
    manager = KernelManager()
    yield manager
    manager.shutdown_kernel(now=True)


BEGIN = "%reset -f\nimport os\nos.chdir({folder!r})\nos.environ.clear()\nos.environ.update({variables!r})\ndel os"


@pytest.fixture
def executed(kernel):
    """A function that runs a notebook from top to bottom in a folder, without a name of those before it."""

    def execute(path, folder):
        notebook = nbformat.read(path, as_version=4)
        begin = BEGIN.format(folder=str(folder), variables=dict(os.environ))
        notebook.cells.insert(0, nbformat.v4.new_code_cell(begin))
        client = NotebookClient(notebook, timeout=120, km=kernel)
        client.execute()
        client.kc.stop_channels()
        return notebook

    return execute


def pictures(notebook):
    """The PNGs that its cells show, as base64 text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_cells_are_short_and_outputs_stripped(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert all(len(cell.source.splitlines()) < 10 for cell in cells)
    assert not any(cell.outputs or cell.execution_count for cell in cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs_and_its_figures_go_into_the_store_and_not_beside_it(
    path, tmp_path, planted, monkeypatch, executed
):
    """Each notebook takes seconds, so that one run answers both questions."""
    monkeypatch.setenv("DIT_GRID_STORE", planted.store(tmp_path / "store", noise=0.1, stop=("XL/2",)))
    monkeypatch.delenv("DIT_GRID_FIGURES", raising=False)
    (tmp_path / "beside").mkdir()
    assert len(pictures(executed(path, tmp_path / "beside"))) >= 4
    assert list((tmp_path / "store" / "figures").glob("*.png")) or path.stem == "01_paper"
    assert list((tmp_path / "beside").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda p: p.stem)
def test_figures_go_where_they_are_told_to(path, tmp_path, planted, monkeypatch, executed):
    monkeypatch.setenv("DIT_GRID_STORE", planted.store(tmp_path / "store", noise=0.1, stop=("XL/2",)))
    monkeypatch.setenv("DIT_GRID_FIGURES", str(tmp_path / "figures"))
    executed(path, tmp_path)
    assert list((tmp_path / "figures").glob("*.png"))
    assert not (tmp_path / "store" / "figures").exists()


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda p: p.stem)
def test_notebook_shows_the_same_figures_of_a_store_in_a_bucket(path, tmp_path, planted, bucket, monkeypatch, executed):
    monkeypatch.setenv("DIT_GRID_FIGURES", str(tmp_path / "figures"))
    shown = []
    for where in (tmp_path / "store", "gs://bucket/grid"):
        monkeypatch.setenv("DIT_GRID_STORE", planted.store(where, noise=0.1, stop=("XL/2",)))
        shown.append(pictures(executed(path, tmp_path)))
    assert shown[0] == shown[1]
