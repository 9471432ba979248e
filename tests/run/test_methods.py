"""Methods that cannot work with a net or a stream say so in one line, before anything is trained; others combine."""

import pytest

from cl_sparse.errors import UserError

SPARSE = {"sparsify": True, "percent_on_fc": 0.2, "weight_sparsity_fc": 0.5}


@pytest.mark.parametrize(
    ("plugins", "changes", "said"),
    [
        (
            "packed",
            {"scenario": "domain"},
            "packed needs scenario task, not domain: a task's part is chosen by the task's label",
        ),
        ("hard_attention", {"strategy": "independent"}, "needs one net for all tasks, not strategy independent"),
        ("supermasks packed", {}, "packed: another method gives each task a part of the net already"),
        ("context_gates", {**SPARSE, "percent_on_fc": 0.5}, "are open in a task, and more may win"),
        (
            "packed",
            {**SPARSE, "weights": "sparse"},
            "packed: features.fc1 stores its live synapses only: choose weights",
        ),
        (
            "orthogonal_weights",
            {**SPARSE, "weights": "sparse"},
            "orthogonal_weights: features.fc1 stores its live synapses",
        ),
        ("nispa", {}, "nispa: features.fc1 is dense: sparse weights are needed"),
        ("nispa", {**SPARSE, "scenario": "domain"}, "nispa: a head for each task is needed"),
        ("space_net", {"scenario": "class"}, "space_net: features.fc1 is dense: masked weights are needed"),
        ("space_net", SPARSE, "space_net: one head for all tasks is needed, not 5"),
        (
            "elastic_weights",
            {**SPARSE, "weight_sparsity_fc": 1.0, "compute": "winners"},
            "does not go with elastic_weights",
        ),
        ("decay_learning_rate", {**SPARSE, "weight_sparsity_fc": 1.0, "compute": "winners"}, "DecayLearningRate"),
    ],
)
def test_what_cannot_be_is_one_line(make_run, plugins, changes, said):
    with pytest.raises(UserError) as refused:
        make_run(**{"scenario": "task", **changes, "plugins": [{"name": name} for name in plugins.split()]})
    assert said in str(refused.value)
    assert str(refused.value).startswith("small: ")


def test_springs_projections_memories_and_old_nets_combine(make_run, tmp_path):
    names = ["distillation", "dark_replay", "averaged_gradient", "orthogonal_weights", "elastic_weights"]
    run = make_run(scenario="domain", weight_decay=0, plugins=[{"name": name} for name in names])
    alone = make_run(scenario="domain", weight_decay=0)
    stats, plain = run.run(tmp_path / "a.pt"), alone.run(tmp_path / "b.pt")
    assert set(stats["carried_bytes"][0]) >= {"Distillation", "DarkReplay", "AveragedGradient", "Mechanisms"}
    assert stats["accs"][-1, 0] > plain["accs"][-1, 0]


def test_a_mini_batch_of_one_sample_is_not_normalised(make_run):
    with pytest.raises(UserError, match="mb_size: 1 sample cannot be normalised"):
        make_run(batch_norm=True, mb_size=1)
    n = len(make_run().benchmark.train_stream[0].dataset)
    with pytest.raises(UserError, match=rf"mb_size: {n - 1} leaves 1 of the {n} samples of task 0"):
        make_run(batch_norm=True, mb_size=n - 1)
