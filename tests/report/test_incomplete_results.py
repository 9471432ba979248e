"""Results that can be read but lack a key or hold something else there: shown, or refused in one line."""

import copy
import pickle

import numpy as np
import pytest

from cl_sparse.errors import UserError
from cl_sparse.report import accuracy_over_tasks_png, group_results, markdown_table, rows_of
from cl_sparse.report.docs import publish
from cl_sparse.results import load_complete_result

WRONG = (
    *(None, True, "text", -1, 10**400, 10**5000, float("inf"), float("nan"), 1.5),
    *([], {}, [[]], [1], [None], [[1, 2]], ["x"], {"x": 1}, {"x": [None]}),
    *(np.zeros((2, 3)), np.zeros(0), np.array([float("inf")])),
)
NEEDED = (
    *("accs", "accs_init", "active_share", "parameters", "live_synapses", "steps", "seconds", "scenario", "heads"),
    *("task_info_train", "task_info_test", "benchmark", "seed"),
)


def saved(folder, config, stats):
    path = folder / "x_20260101T000000-000_seed0.pkl"
    path.write_bytes(pickle.dumps([config, stats]))
    return path


def shown_or_refused(folder, config, stats):
    path = saved(folder, config, stats)
    problem = ""
    try:
        markdown_table(rows_of([load_complete_result(path)]))
    except UserError as error:
        problem = str(error)
    assert problem == "" or problem.startswith(f"{path}: ")
    assert "\n" not in problem


def test_every_key_with_every_wrong_value_is_shown_or_refused(tmp_path, result):
    for part, inner in ((0, ()), (1, ()), (1, ("benchmark",)), (1, ("seconds",)), (1, ("active_share",))):
        keys = result()[part]
        for step in inner:
            keys = keys[step]
        for key in keys:
            for wrong in WRONG:
                changed = copy.deepcopy(result())
                at = changed[part]
                for step in inner:
                    at = at[step]
                at[key] = wrong
                shown_or_refused(tmp_path, *changed)


@pytest.mark.parametrize("key", NEEDED)
def test_a_key_that_is_needed_is_named(tmp_path, result, key):
    config, stats = result()
    del stats[key]
    with pytest.raises(UserError, match=rf"seed0\.pkl: stats\.{key}: is missing"):
        load_complete_result(saved(tmp_path, config, stats))
    with pytest.raises(UserError, match=key):
        publish(saved(tmp_path, config, stats), tmp_path / "published")
    assert not (tmp_path / "published").exists()


def test_what_older_results_lack_is_not_needed(tmp_path, result):
    config, stats = result()
    for key in ("stopped", "strategy", "synapse_positions", "unit_use", "on_idxs"):
        del stats[key]
    assert load_complete_result(saved(tmp_path, config, stats))[0] == config


@pytest.mark.parametrize(
    ("accs", "line"),
    [
        (np.full((2, 2), 1.5), "stats.accs.0.0: 1.5 is no accuracy: a number from 0 to 1, or NaN"),
        (np.zeros((2, 3)), "stats: accs has 2 rows: as many columns, and as many accs_init, are needed"),
        (np.zeros((0, 0)), "stats.accs: "),
    ],
)
def test_a_matrix_that_is_none_is_refused(tmp_path, result, accs, line):
    config, stats = result()
    with pytest.raises(UserError) as caught:
        load_complete_result(saved(tmp_path, config, {**stats, "accs": accs}))
    assert str(caught.value).partition(": ")[2].startswith(line)


def test_runs_of_one_experiment_with_other_numbers_of_tasks_are_refused(tmp_path, result):
    with pytest.raises(UserError, match="dense: its results are of 2 and 3 tasks"):
        group_results([result(seed=0), result(seed=1, n_tasks=2)])
    accuracy_over_tasks_png([result(seed=0), result("other", n_tasks=2)], tmp_path / "a.png")
