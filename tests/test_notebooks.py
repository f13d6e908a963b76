"""The notebooks run from top to bottom, in an empty folder."""

import importlib.util
import re

import pytest

from tests.pages import ROOT, shorten_training

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

FOLDER = ROOT / "examples" / "notebooks"
#: name -> packages beside the required ones, and how many pictures are shown
NOTEBOOKS = {
    "first_picture": (["gymnasium"], 6),
    "pong": (["ale_py"], 4),
    "vectors": (["shap"], 4),
}
SOURCE = "https://github.com/sb3-explain/sb3-explain"


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def list_pictures(notebook):
    """List the outputs that are pictures."""
    shown = [
        output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])
    ]
    return [data for data in shown if "image/png" in data or "image/gif" in data]


@pytest.mark.slow  # a kernel, a training, and all that the notebook shows
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    needs, n_pictures = NOTEBOOKS[name]
    for package in needs:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = read(name)
    notebook.cells = [c for c in notebook.cells if "install" not in c.metadata.get("tags", [])]
    for cell in notebook.cells:
        shorter = shorten_training(cell.source, 1024)
        cell.source = shorter.replace("VisionMask(agent)", "VisionMask(agent, refine_steps=2)")
    nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    assert len(list_pictures(notebook)) == n_pictures


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_opens_on_colab_and_installs_the_package(name):
    notebook = read(name)
    assert f"github/sb3-explain/sb3-explain/blob/main/examples/notebooks/{name}.ipynb" in (
        notebook.cells[0].source
    )
    (install,) = [c for c in notebook.cells if "install" in c.metadata.get("tags", [])]
    assert re.search(rf"%pip install .*sb3_explain(\[\w+\])? @ git\+{SOURCE}\"", install.source)
    assert notebook.cells.index(install) == 1


def test_all_notebooks_are_run_and_hold_no_outputs():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NOTEBOOKS)
    for name in NOTEBOOKS:
        for cell in read(name).cells:
            assert not cell.get("outputs"), "jupyter nbconvert --clear-output --inplace"
