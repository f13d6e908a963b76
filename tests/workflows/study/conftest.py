"""A study of the small agent, exported once: 9 states, 4 arms."""

import pytest

from sb3_explain.workflows.study import export as exporting
from sb3_explain.workflows.study.plan import read_plan
from tests.workflows.study.toys import make_agent


class Exported:
    """An exported study, with what its files were written from.

    :param folder: output folder
    :param study: what ``export_study`` returned
    :param given: arguments of ``write_study``
    """

    def __init__(self, folder, study, given):
        self.folder, self.study = folder, study
        self.args, self.options = given
        self.plan, self.key = read_plan(folder)


def export(folder, monkeypatch, **options):
    """Export a study, and keep what its files were written from."""
    given = []

    def write(*args, **kwargs):
        given.append((args, kwargs))
        return written(*args, **kwargs)

    written = exporting.write_study
    monkeypatch.setattr(exporting, "write_study", write)
    options = {"explainers": "gradient", "n_states": 9, "n_played": 400, **options}
    study = exporting.export_study(make_agent(), folder, progress=False, **options)
    return Exported(folder, study, given[0])


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """The study that all tests share."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return export(tmp_path_factory.mktemp("study"), monkeypatch)
