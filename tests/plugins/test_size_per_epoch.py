"""The sizes after each epoch are those of the net, whatever has been removed, and survive a kill."""

import numpy as np
import pytest

SHRINKING = {
    **{"benchmark": "SplitDigits", "num_batch": 5, "scenario": "task", "train_ep": 3, "optimizer": "adam", "lr": 0.01},
    "plugins": [
        {"name": "sparsified_units", "strength": 0.05, "filter_lr": 0.1},
        {"name": "neuron_gc"},
        {"name": "size_per_epoch"},
    ],
}


def test_they_are_the_units_that_live(make_run, tmp_path):
    stats = make_run(**SHRINKING).run(tmp_path / "c.pt")
    sizes = stats["size_per_epoch"]
    assert sizes["task"].tolist() == [task for task in range(5) for _ in range(3)]
    (layer,) = sizes["units"]
    units = sizes["units"][layer]
    assert units[-1] < units[0] + 1
    assert (np.diff(units) <= 0).all()
    assert units[2::3].tolist() == [max(1, after[layer]) for after in stats["units"]]
    assert (sizes["seconds"] > 0).all()
    assert sizes["seconds"].sum() < stats["seconds"]["total"]


def test_a_net_without_filters_has_all_its_units(make_run, tmp_path):
    plugins = [{"name": "size_per_epoch"}]
    net = {"cnn": True, "conv_channels": [3, 4], "kernel_size": 3, "hidden_units": 20}
    stats = make_run(**{**SHRINKING, **net, "num_batch": 1, "scenario": "class", "plugins": plugins}).run(
        tmp_path / "c"
    )
    units = stats["size_per_epoch"]["units"]
    assert {name: values.tolist() for name, values in units.items()} == {
        **{"features.conv1": [3] * 3, "features.conv2": [4] * 3},
        "features.fc3": [20] * 3,
    }


def test_a_resumed_run_has_the_same_sizes(make_run, tmp_path):
    whole = make_run(**SHRINKING).run(tmp_path / "c.pt")["size_per_epoch"]
    first = make_run(**SHRINKING)
    first.tasks = first.tasks[:2]
    first.run(tmp_path / "half.pt")
    second = make_run(**SHRINKING)
    assert second.resume(tmp_path / "half.pt") == 2
    resumed = second.run(tmp_path / "half.pt")["size_per_epoch"]
    np.testing.assert_equal(resumed["units"], whole["units"])
    assert len(resumed["seconds"]) == len(whole["seconds"])


def test_a_damaged_record_is_refused():
    from cl_sparse.plugins import SizePerEpoch

    with pytest.raises(ValueError, match="units"):
        SizePerEpoch().load_state_dict({"epochs": [{"task": 0, "units": "x", "seconds": 1.0}]})
