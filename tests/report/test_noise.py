import numpy as np
import pytest

from cl_sparse.report.noise import noise, noise_table


def test_the_last_half_counts():
    lowest, median, largest, rises = noise([9.0, 0.1, 5.0, 7.0, 1.0, 2.0, 4.0, 2.0])
    assert (lowest, median, largest) == (0.1, 2.0, 2.0)
    assert rises == pytest.approx(2 / 3)


def test_a_line_for_each_experiment_of_one_task(result):
    runs = [
        result("adam", seed, accs=[[0.9 + seed / 10]], per_epoch={"train_loss": np.array([1.0, 0.5, 0.1, 0.2])})
        for seed in (0, 1)
    ]
    _, _, line = noise_table([*runs, result("other", 0)]).splitlines()
    assert line == "| adam | 2 | 4 | 0.1 | 0.15 | 1.33 | 100.0 | .950 ± .071 |"
