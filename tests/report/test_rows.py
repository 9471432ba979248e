import math

import numpy as np
import pytest

from cl_sparse.metrics import average_accuracy, forgetting
from cl_sparse.report import group_results, rows_of

NAN = float("nan")


def test_a_row_is_the_mean_over_the_seeds(result):
    runs = [result(seed=seed) for seed in range(3)]
    (row,) = rows_of(runs)
    accs = [average_accuracy(stats["accs"]) for _, stats in runs]
    lost = [forgetting(stats["accs"]) for _, stats in runs]
    assert row.acc == pytest.approx((np.mean(accs), np.std(accs, ddof=1)))
    assert row.forgetting == pytest.approx((np.mean(lost), np.std(lost, ddof=1)))
    assert (row.n_seeds, row.stopped, row.seconds) == (3, 0, 121.0)
    assert row.density == pytest.approx(0.1)
    assert row.active_percent == pytest.approx(2.0)
    assert row.steps == 3 * 938
    assert row.benchmark == "PermutedMNIST"


def test_bytes_are_the_most_after_any_task_and_winners_are_a_methods(result):
    plugins = [{"name": "frozen", "share": 0.5}, {"name": "patch_code", "winners": 0.2}]
    carried = [{"buffers": 10, "replay": 5}, {"buffers": 30}, {}]
    (row,) = rows_of([result(carried_bytes=carried, config={"plugins": plugins})])
    assert (row.carried_bytes, row.winners) == (30, 0.2)
    (row,) = rows_of([result()])
    assert math.isnan(row.winners)


def test_one_seed_has_no_spread_and_a_joint_baseline_forgets_nothing(result):
    (row,) = rows_of([result(joint=True)])
    assert math.isnan(row.acc.std)
    assert not math.isnan(row.acc.mean)
    assert all(math.isnan(value.mean) for value in (row.bwt, row.forgetting, row.aia, row.fwt))


def test_different_configs_of_one_name_are_never_averaged(result):
    runs = [result(seed=s, config={"lr": lr, "cumul": lr > 0.1}) for lr in (0.1, 0.2) for s in (0, 1)]
    assert [(row.experiment, row.n_seeds) for row in rows_of(runs)] == [
        ("dense (cumul=false, lr=0.1)", 2),
        ("dense (cumul=true, lr=0.2)", 2),
    ]


def test_texts_and_the_number_of_seeds_do_not_make_another_experiment(result):
    runs = [result(seed=0), result(seed=1, config={"description": "reworded", "seeds": 5})]
    assert [row.n_seeds for row in rows_of(runs)] == [2]


def test_a_result_from_before_a_parameter_existed_is_of_the_same_experiment(result):
    replay = {"name": "replay"}
    runs = [
        result(seed=0, config={"plugins": [replay]}),
        result(seed=1, config={"normalize": "standard", "plugins": [{**replay, "mem_size": 500}]}),
        result(seed=0, config={"plugins": [{**replay, "mem_size": 7, "batch_size_mem": None}]}),
    ]
    assert [(row.experiment, row.n_seeds) for row in rows_of(runs)] == [
        ("dense (plugins=replay)", 2),
        ("dense (plugins=replay(mem_size=7))", 1),
    ]


def test_a_repeated_seed_counts_once_and_the_later_one_counts(result):
    early, late = result(accs=[[0.2]]), result(accs=[[0.8]])
    (row,) = rows_of([early, late])
    assert row.n_seeds == 1
    assert row.acc.mean == 0.8


def test_experiments_keep_their_order_and_seeds_are_sorted(result):
    groups = group_results([result("b", 1), result("a", 0), result("b", 0)])
    assert [group.label for group in groups] == ["b", "a"]
    assert [stats["seed"] for _, stats in groups[0].results] == [0, 1]


def test_a_stopped_run_is_counted_and_shown_as_undefined(result):
    accs = np.full((3, 3), NAN)
    accs[0] = 0.5
    (row,) = rows_of([result(seed=0), result(seed=1, accs=accs, stopped="loss is NaN at step 7")])
    assert (row.n_seeds, row.stopped) == (2, 1)
    assert math.isnan(row.acc.mean)


def test_what_was_not_recorded_is_undefined(result):
    config, stats = result(active_share={"act1": np.array([])})
    del stats["synapse_positions"]
    (row,) = rows_of([(config, stats)])
    assert math.isnan(row.density)
    assert math.isnan(row.active_percent)


@pytest.mark.parametrize(
    ("joint", "later", "text"), [(False, None, "4"), (False, 4, "4"), (False, 1, "4, then 1"), (True, 1, "4")]
)
def test_epochs(result, joint, later, text):
    (row,) = rows_of([result(joint=joint, config={"train_ep": 4, "train_ep_inc": later})])
    assert row.epochs == text


@pytest.mark.parametrize(
    ("name", "dataset", "shown"),
    [
        ("SplitMNIST", "mnist", "SplitMNIST"),
        ("iCIFAR10", "cifar10", "iCIFAR10"),
        ("PermutedMNIST", "fashion_mnist", "PermutedMNIST (fashion_mnist)"),
        ("SplitDataset", "npz:x.npz", "SplitDataset (npz:x.npz)"),
    ],
)
def test_the_data_stands_beside_the_stream_where_its_name_does_not_say(result, name, dataset, shown):
    (row,) = rows_of([result(benchmark={"name": name, "dataset": dataset})])
    assert row.benchmark == shown


def test_no_results_no_rows():
    assert rows_of([]) == []


def test_runs_on_different_data_are_never_averaged(result):
    def on(fingerprint, seed):
        told = {"name": "SplitDataset", "dataset": "npz:x.npz"} | ({"fingerprint": fingerprint} if fingerprint else {})
        return result("net", seed, benchmark=told)

    mixed = group_results([on("aa", 0), on("bb", 0), on("aa", 1)])
    assert [(group.label, len(group.results)) for group in mixed] == [("net (data=aa)", 2), ("net (data=bb)", 1)]
    assert [group.label for group in group_results([on("aa", 0), on(None, 1)])] == ["net"]
