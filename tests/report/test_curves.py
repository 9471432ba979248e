import numpy as np
import pytest

from cl_sparse.report import curves

BYTES = curves.QUANTITIES["bytes"]


def carrying(result, name, size, *seeds):
    return [result(name, seed, carried_bytes=[{"buffers": size}]) for seed in seeds]


def test_experiments_are_points_in_the_order_of_the_quantity(result):
    runs = [
        *carrying(result, "large", 900, 0, 1),
        *carrying(result, "small", 20, 0, 1),
        *carrying(result, "none", 0, 0),
    ]
    points = curves._points(runs, BYTES)
    assert [x for x, _ in points] == [20, 900]
    accs = [np.mean(stats["accs"][-1]) for _, stats in runs[2:4]]
    assert points[0][1] == pytest.approx((np.mean(accs), np.std(accs, ddof=1)))


def test_lines_of_one_seed_of_many_and_of_none_are_drawn(tmp_path, result):
    families = {"many": carrying(result, "a", 10, 0, 1, 2), "one": carrying(result, "b", 20, 0), "none": []}
    curves.accuracy_against_png(families, BYTES, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
