import pytest

from cl_sparse.report.sizes import _live, sizes_table, synapses_over_tasks_png


def grown(result, name, seed, live, width):
    units = [{"features.fc1": width + task, "classifier.0": 10} for task in range(3)]
    return result(name, seed, live_synapses_by_task=live, units=units)


@pytest.fixture
def runs(result):
    growing = [grown(result, "growing", seed, [1000, 2000, 3000 + 1000 * seed], 50 + seed) for seed in (0, 2)]
    return [*growing, grown(result, "fixed", 0, [500, 500, 500], 4), result("old", 0)]


def test_a_line_says_how_large_nets_began_were_on_average_and_ended(runs):
    _, _, growing, fixed = sizes_table(runs).splitlines()
    assert growing.startswith("| growing |")
    assert growing.endswith("| 2 | 1.00k | 2.33k | 4.00k | 53 ± 1 |")
    assert fixed.endswith("| 1 | 500 | 500 | 500 | 6 |")


def test_a_stopped_run_has_no_sizes(result):
    config, stats = grown(result, "x", 0, [1, 2, 3], 4)
    assert _live((config, stats)).tolist() == [1, 2, 3]
    assert not _live((config, stats | {"stopped": "the loss is not a number"})).size


def test_a_figure_is_drawn_of_what_there_is(tmp_path, runs):
    synapses_over_tasks_png(runs, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    synapses_over_tasks_png([], tmp_path / "none.png")
    assert (tmp_path / "none.png").exists()


def test_a_window_counts_by_its_area(result):
    config, stats = grown(result, "x", 0, [1, 2, 3], 50)
    stats["mechanisms"] = {"flexible_width": {"sizes": {"features.fc1": 12.4}}}
    assert sizes_table([(config, stats)]).splitlines()[2].endswith("| 12 |")
