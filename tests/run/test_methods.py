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
        ("neuron_gc", {}, "neuron_gc: no layer has a filter, so no unit dies: name a mechanism that puts them in"),
        ("sparsified_units block_growth", {}, "block_growth: features.fc1 has a filter already"),
        ("switched_units", {**SPARSE, "weights": "sparse"}, "features.fc1 computes only what wins"),
        (
            "sparsified_units",
            {**SPARSE, "weight_sparsity_fc": 1.0, "compute": "winners"},
            "does not go with sparsified_units",
        ),
        ("grown_units orthogonal_weights", {}, "grown_units removes or adds units, which orthogonal_weights cannot"),
        ("hard_attention grown_units", {}, "grown_units removes or adds units, which hard_attention cannot follow"),
        ("nispa grown_units", {**SPARSE, "percent_on_fc": 1.0, "train_ep": 3}, "which nispa cannot follow"),
        ("grown_units", {"strategy": "independent"}, "grown_units needs one net for all tasks, not strategy"),
        ("sparsified_units", {"strategy": "independent"}, "sparsified_units needs one net for all tasks"),
        ("grown_units discriminant", {}, "grown_units changes the units that the readout has sums of"),
        ("sparsified_units elastic_weights", {}, "is of no linear layer or convolution"),
        ("set_layers", SPARSE, "set_layers: no hidden layer is a dense linear one: one MLP is needed, of weight_spars"),
        ("set_layers", {"strategy": "independent"}, "set_layers: no hidden layer is a dense linear one: one MLP is"),
        ("set_layers grown_units", {}, "grown_units removes or adds units, which set_layers cannot follow"),
        (
            "set_layers",
            {"widths": [8]},
            "set_layers: features.fc1: epsilon must be from 0 to 7.11111 for 64 inputs",
        ),
        (
            "hard_attention",
            {"cnn": True, "residual_blocks": 1, "batch_norm": True},
            "features.block2_1.body.conv1 does not read features.block1_1.body.conv1",
        ),
        ("hebb_mask grown_units", {}, "grown_units removes or adds units, which hebb_mask cannot follow"),
        ("hebb_mask elastic_weights", {}, "classifier.heads.0 masks weights that stay in the net"),
        ("packed hebb_mask", {}, "hebb_mask: a method that gives each task a part of the net has to be named after it"),
        ("hebb_mask", {"strategy": "independent"}, "hebb_mask needs one net for all tasks"),
        (
            "hebb_mask",
            {**SPARSE, "weights": "sparse"},
            "classifier.heads.0 stores its live synapses only: choose weights: masked",
        ),
        ("hebb_mask", {**SPARSE, "sparsify_head": True}, "hebb_mask: classifier.heads.0 is a SparseWeights: what can"),
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


def test_a_net_that_grows_and_shrinks_is_recorded_task_by_task(make_run, tmp_path):
    plugins = [
        {"name": "grown_units", "units": 10},
        {"name": "sparsified_units", "strength": 0.05, "filter_lr": 0.1, "protect": "alive"},
        {"name": "neuron_gc"},
        {"name": "capacity_probe", "samples": 100, "ablation_samples": 10},
    ]
    run = make_run(plugins=plugins, train_ep=4)
    stats = run.run(tmp_path / "c.pt")
    widths = [units["features.fc1"] for units in stats["units"]]
    assert len(widths) == 5
    assert any(b < a + 10 for a, b in zip([50, *widths], widths, strict=False))
    assert stats["units"][-1]["features.fc1"] == run.learner.model.features.fc1.out_features
    probe = stats["mechanisms"]["capacity_probe"]
    assert probe["layers"]["features.fc1"]["units"].shape == (5,)
    assert probe["overlap"]["features.fc1"].shape == (5, 5)


def test_tasks_overlap_only_in_layers_that_several_of_them_pass(make_run, tmp_path):
    alone = make_run(strategy="independent", scenario="task").run(tmp_path / "a.pt")
    assert len(alone["unit_use"]) == 5
    assert alone["overlap"] == alone["overlap_chance"] == {}
    assert len(make_run(scenario="task").run(tmp_path / "b.pt")["overlap"]) == 1


def test_the_fate_of_each_block_is_in_the_result(make_run, tmp_path):
    plugins = [{"name": "block_growth", "units": 5, "patience": 1, "strength": 0.01, "improvement": 0.0}]
    with pytest.raises(UserError, match="block_growth judges blocks by data that are held out"):
        make_run(plugins=plugins, train_ep=4).run(tmp_path / "b.pt")
    stats = make_run(plugins=plugins, train_ep=4, validation=0.2).run(tmp_path / "c.pt")
    blocks = stats["mechanisms"]["block_growth"]["blocks"]
    assert {block["fate"] for block in blocks} <= {"accepted", "rejected", "collapsed"}
    grown = sum(block["fate"] == "accepted" for block in blocks)
    assert grown > 0
    assert stats["units"][-1]["features.fc1"] > 50


def test_filters_let_nets_compute_all_units(make_run):
    wide = {**SPARSE, "weight_sparsity_fc": 1.0, "percent_on_fc": 0.02, "hidden_units": 2000}
    assert make_run(**wide).learner.model.way == "winners"
    assert make_run(**wide, plugins=[{"name": "sparsified_units"}]).learner.model.way == "reference"
