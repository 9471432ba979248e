import numpy as np

from cl_sparse.report.capacity import capacity_table


def test_a_line_for_each_layer_says_what_was_measured_last(result):
    def probed(seed, dead):
        layer = {"units": [10.0, 20.0], "dead": [0.0, dead], "total_std": [1.0, 3.5], "shapiro_w": [0.9, np.nan]}
        rest = dict.fromkeys(
            ("exponential_weight", "gamma_weight", "effective_rank", "components"), np.array([0.5, 0.25])
        )
        layers = {"features.fc1": {key: np.array(value) for key, value in {**layer, **rest}.items()}}
        return result("x", seed, accs=[[0.5]], mechanisms={"capacity_probe": {"layers": layers}})

    lines = capacity_table([probed(0, 4.0), probed(1, 6.0), result("other", 0)]).splitlines()
    assert lines[2:] == ["| x | fc1 | 20 | 25 | 3.5 | – | 0.25 | 0.25 | 0.25 | 0.25 | .500 ± .000 | 2 |"]
