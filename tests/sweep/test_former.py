"""When the winner changes, its name's results are the new winner's; those of the former one wait in a folder."""

import pytest

from cl_sparse.cli import main
from cl_sparse.errors import UserError
from cl_sparse.results import find_results, load_result, pack_results
from cl_sparse.sweep import runner
from cl_sparse.sweep.former import settle
from cl_sparse.sweep.protocol import ranked
from tests.sweep.sweeps import TUNED, methods, write

CONTENT = {**TUNED, "experiments": ["quickstart_dense"], "select": {"seeds": [100], "trials": 2}}


def rates(folder):
    return [load_result(path)[0]["lr"] for path in find_results(folder, "quickstart_dense_tuned")]


@pytest.mark.parametrize("packed", [False, True])
def test_a_winner_that_comes_back_runs_no_trial(tmp_path, monkeypatch, capsys, packed):
    monkeypatch.chdir(tmp_path)
    path, folder = write(tmp_path, CONTENT), tmp_path / "out"

    def trained() -> int:
        assert main(["sweep", str(path), "--results-dir", "out", "--executor", "local"]) == 0
        if packed:
            pack_results(folder)
        lines = [line for line in capsys.readouterr().out.splitlines() if "  acc on " in line]
        return sum("finished earlier" not in line for line in lines)

    assert trained() == 4
    first = rates(folder)
    assert len({*first}) == 1
    with monkeypatch.context() as patch:
        patch.setattr(runner, "ranked", lambda select, values: ranked(select, values)[::-1])
        assert trained() == 2
        assert len(rates(folder)) == 2
        assert not {*rates(folder)} & {*first}
        assert rates(folder / "former") == first
    assert trained() == 0
    assert rates(folder) == first
    assert len(rates(folder / "former")) == 2
    assert len(find_results(folder, "quickstart_dense")) == 2


def test_no_link_leads_out_of_the_folder(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "former").symlink_to(tmp_path / "other")
    with pytest.raises(UserError, match="out/former: is a link: remove it"):
        settle(tmp_path / "out", methods(tmp_path, CONTENT)["quickstart_dense"].chosen({}))
