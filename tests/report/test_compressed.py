import numpy as np
import pytest

from cl_sparse.report.compressed import compared, compressed_table


def run(result, name, seed, val, test, seconds, units, widths_from=None):
    epochs = {
        "task": np.zeros(len(val), dtype=int),
        "val_accuracy": np.array(val),
        "test_accuracy": np.array(test),
    }
    sizes = {"task": epochs["task"], "seconds": np.array(seconds), "units": {"features.fc1": np.array(units)}}
    return result(
        name,
        seed,
        accs=[[test[-1]]],
        config={"widths_from": widths_from},
        per_epoch=epochs,
        size_per_epoch=sizes,
    )


@pytest.fixture
def both(result):
    learning = [
        run(result, "learning", seed, [0.5, 0.8, 0.7], [0.4, 0.75, 0.9], [2.0, 2.0, 1.0], [90, 40, 30])
        for seed in (0, 1)
    ]
    control = [
        run(
            *(result, "control", seed, [0.6, 0.5, 0.4, 0.9, 0.95, 0.97], [0.70, 0, 0, 0.8, 0.81, 0.82]),
            *([1.2] * 6, [30] * 6, "learning"),
        )
        for seed in (1, 2)
    ]
    return learning, control


def test_validation_chooses_among_as_many_steps_and_among_as_much_time(both):
    (_, learning), (_, control) = both[0][1], both[1][0]
    # Three epochs of the control are as many steps; four end within the five seconds that the other took.
    assert compared(learning, control) == (0.75, 40, 0.70, 0.8, 5.0)
    assert np.isnan(compared(learning, None)[2:4]).all()


def test_a_control_that_ended_before_the_time_was_up_says_nothing_about_it(both):
    (_, learning), (_, control) = both[0][1], both[1][0]
    control["size_per_epoch"]["seconds"] = np.full(6, 0.8)
    found = compared(learning, control)
    assert found.steps == 0.70
    assert np.isnan(found.time)


def test_a_line_is_of_the_seeds_that_both_have(both, result):
    learning, control = both
    _, _, line = compressed_table([*learning, *control, result("other", 0)]).splitlines()
    assert line == ("| learning | 1 | 3 | 30 | 40 | .750 | .700 | +.050 | .800 | -.050 | 5.0 |")


def test_without_a_control_the_net_stands_alone(both):
    _, _, line = compressed_table(both[0]).splitlines()
    assert line == "| learning | 2 | 3 | 30 | 40 | .750 ± .000 | – | – | – | – | 5.0 |"
