import numpy as np
import pytest
import torch

from cl_sparse.errors import UserError
from cl_sparse.metrics import average_accuracy
from cl_sparse.run.progress import planned_steps


def samples(run):
    return np.array([len(e.dataset) for e in run.benchmark.train_stream])


def test_sequential_trains_the_stated_epochs_per_task(make_run, tmp_path):
    run = make_run(train_ep=3, train_ep_inc=1)
    stats = run.run(tmp_path / "c.pt")
    assert stats["samples"] == (samples(run) * [3, 1, 1, 1, 1]).tolist()
    assert sum(stats["steps"]) == planned_steps(run.config, run.benchmark)


def test_joint_trains_once_on_the_union_and_has_one_row(make_run, tmp_path):
    run = make_run(cumul=True)
    stats = run.run(tmp_path / "c.pt")
    assert stats["samples"] == [2 * samples(run).sum()]
    assert np.isnan(stats["accs"][:-1]).all()
    assert not np.isnan(stats["accs"][-1]).any()
    assert sum(stats["steps"]) == planned_steps(run.config, run.benchmark)


def test_cumulative_trains_on_all_data_so_far(make_run, tmp_path):
    run = make_run(strategy="cumulative", train_ep=1)
    stats = run.run(tmp_path / "c.pt")
    assert stats["samples"] == samples(run).cumsum().tolist()
    assert sum(stats["steps"]) == planned_steps(run.config, run.benchmark)


def test_independent_nets_forget_nothing_and_know_nothing_of_other_tasks(make_run, tmp_path):
    stats = make_run(strategy="independent").run(tmp_path / "c.pt")
    accs = stats["accs"]
    for task in range(5):
        np.testing.assert_array_equal(accs[task:, task], accs[task, task])
        np.testing.assert_array_equal(accs[:task, task], stats["accs_init"][task])
    assert (stats["task_info_train"], stats["task_info_test"]) == ("label", "label")


@pytest.mark.parametrize("scenario", ["domain", "class"])
def test_independent_nets_need_the_task_label(make_run, scenario):
    with pytest.raises(
        UserError, match=f"strategy: independent needs scenario task, not {scenario}: the net is chosen"
    ):
        make_run(strategy="independent", scenario=scenario)


def test_baselines_rank_as_they_must(make_run, tmp_path):
    common = {"scenario": "class", "train_ep": 6}
    final = {
        strategy: average_accuracy(make_run(**common, strategy=strategy).run(tmp_path / "c.pt")["accs"])
        for strategy in ("sequential", "replay", "cumulative", "joint")
    }
    assert final["sequential"] < 0.3
    assert final["sequential"] < final["replay"] < final["cumulative"]
    assert final["joint"] > 0.9


@pytest.mark.parametrize(
    ("changes", "train", "test"),
    [
        ({}, "label", "label"),
        ({"heads": "single"}, "label", "label"),
        ({"scenario": "domain"}, "none", "none"),
        ({"scenario": "domain", "strategy": "replay"}, "boundaries", "none"),
        ({"scenario": "class", "loss_outputs": "seen"}, "boundaries", "none"),
    ],
)
def test_task_information_is_stated(make_run, tmp_path, changes, train, test):
    stats = make_run(train_ep=1, **changes).run(tmp_path / "c.pt")
    assert (stats["task_info_train"], stats["task_info_test"]) == (train, test)


def test_every_head_is_trained(make_run, tmp_path):
    run = make_run()
    before = {n: p.clone() for n, p in run.learner.model.named_parameters()}
    run.run(tmp_path / "c.pt")
    for name, parameter in run.learner.model.named_parameters():
        assert not torch.equal(parameter, before[name]), name


def test_loss_over_current_classes_leaves_other_outputs_untouched(make_run):
    run = make_run(scenario="class", loss_outputs="current", weight_decay=0.0)
    run._measure_untrained()
    before = run.learner.model.classifier.state_dict()
    before = {k: v.clone() for k, v in before.items()}
    run._train(0)
    after = run.learner.model.classifier.state_dict()
    for key, old in before.items():
        assert torch.equal(old[2:], after[key][2:])
        assert not torch.equal(old[:2], after[key][:2])


@pytest.mark.parametrize("loss_outputs", ["seen", "current"])
@pytest.mark.parametrize("training", [{"strategy": "joint"}, {"cumul": True}])
def test_joint_training_has_seen_all_classes(make_run, tmp_path, training, loss_outputs):
    run = make_run(scenario="class", train_ep=6, loss_outputs=loss_outputs, **training)
    assert average_accuracy(run.run(tmp_path / "c.pt")["accs"]) > 0.9
    assert run.learner.classes_seen == set(range(10))


def test_seed_decides_everything(make_run, tmp_path):
    same = [make_run(seed=1).run(tmp_path / "c.pt")["accs"] for _ in range(2)]
    other = make_run(seed=2).run(tmp_path / "c.pt")["accs"]
    np.testing.assert_array_equal(*same)
    assert not np.array_equal(same[0], other)
