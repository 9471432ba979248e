import subprocess
import sys

import numpy as np
import pytest

from cl_sparse.errors import UserError
from cl_sparse.metrics import average_accuracy
from cl_sparse.report import accuracy_matrix_png, accuracy_over_tasks_png
from cl_sparse.report.figures import seen_accuracy

NAN = float("nan")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("n", [1, 2, 12, 13, 40])
def test_a_matrix_of_any_size_is_drawn(tmp_path, n):
    R = np.random.default_rng(0).random((n, n))
    R[: n // 2] = NAN
    accuracy_matrix_png(R, tmp_path / "m.png", "a title, rather long, with _underscores_ and a $ sign")
    assert (tmp_path / "m.png").read_bytes().startswith(PNG)
    assert [path.name for path in tmp_path.iterdir()] == ["m.png"]


def test_a_matrix_without_a_single_number_is_drawn(tmp_path):
    accuracy_matrix_png(np.full((3, 3), NAN), tmp_path / "m.png", "stopped")
    assert (tmp_path / "m.png").exists()


def test_every_kind_of_experiment_is_drawn(tmp_path, result):
    thin = np.random.default_rng(0).random((4, 4))
    thin[1, [0, 2, 3]] = NAN
    stopped = np.full((4, 4), NAN)
    runs = [
        *(result("dense", seed, n_tasks=4) for seed in range(3)),
        *(result("joint", seed, n_tasks=4, joint=True) for seed in range(2)),
        result("one joint", n_tasks=4, joint=True),
        result("eval_every", accs=thin),
        result("stopped", accs=stopped, stopped="NaN"),
        result("another length", n_tasks=2),
        result("one task", n_tasks=1),
        *(result(f"more {i}", n_tasks=4) for i in range(6)),
    ]
    accuracy_over_tasks_png(runs, tmp_path / "o.png", "title")
    assert (tmp_path / "o.png").read_bytes().startswith(PNG)


def test_nothing_to_draw_is_an_empty_picture(tmp_path, result):
    accuracy_over_tasks_png([], tmp_path / "a.png")
    accuracy_over_tasks_png([result(accs=[[NAN]], stopped="NaN")], tmp_path / "b.png")
    assert (tmp_path / "a.png").exists()
    assert (tmp_path / "b.png").exists()


def test_the_curve_ends_at_the_average_accuracy():
    R = np.random.default_rng(0).random((5, 5))
    curve = seen_accuracy(R)
    assert curve[-1] == pytest.approx(average_accuracy(R))
    assert curve[0] == R[0, 0]
    assert curve[2] == pytest.approx(R[2, :3].mean())


def test_where_the_figure_cannot_be_written_is_said(tmp_path):
    with pytest.raises(UserError, match=r"m\.png: cannot be written"):
        accuracy_matrix_png(np.ones((2, 2)), tmp_path / "none" / "m.png", "")


def test_importing_the_report_imports_neither_matplotlib_nor_torch():
    code = "import sys, cl_sparse.report; sys.exit(bool({'matplotlib', 'torch', 'rich.table'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names_are_not_taken_for_formulas(tmp_path, result):
    runs = [result(config={"dataset": name}) for name in (r"npz:$\z$", "npz:$x^2$")]
    accuracy_over_tasks_png(runs, tmp_path / "a.png", r"$\z$")
    accuracy_matrix_png([[1.0]], tmp_path / "b.png", r"$\z$")
