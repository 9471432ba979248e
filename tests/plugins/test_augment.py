import pytest
import torch

from cl_sparse.plugins import Augment
from cl_sparse.plugins.augment import mirrored, shifted


def test_half_of_the_images_are_mirrored():
    torch.manual_seed(0)
    x = torch.randn(400, 2, 3, 4)
    out = mirrored(x)
    same = (out == x).flatten(1).all(1)
    assert torch.equal(out[~same], x[~same].flip(3))
    assert 150 < int(same.sum()) < 250


def test_images_are_shifted_and_zeros_come_in():
    torch.manual_seed(0)
    x = torch.rand(300, 2, 5, 6) + 1
    out = shifted(x, 2)
    met = set()
    for image, moved in zip(x, out, strict=True):
        for down in range(-2, 3):
            for right in range(-2, 3):
                slow = torch.zeros_like(image)
                for row in range(5):
                    for column in range(6):
                        if 0 <= row - down < 5 and 0 <= column - right < 6:
                            slow[:, row, column] = image[:, row - down, column - right]
                if torch.equal(slow, moved):
                    met.add((down, right))
    assert len(met) == 25
    assert shifted(x, 0) is x


def test_training_images_alone_are_changed(make_run, tmp_path):
    seen = {True: set(), False: set()}
    run = make_run(plugins=[{"name": "augment", "flip": True, "shift": 1}], train_ep=1)
    known = {tuple(sample[0].flatten().tolist()) for sample in run.benchmark.train_stream[0].dataset}
    known |= {tuple(sample[0].flatten().tolist()) for sample in run.benchmark.test_stream[0].dataset}

    def note(module, inputs):
        seen[module.training] |= {tuple(row.flatten().tolist()) in known for row in inputs[0][:50]}

    run.learner.model.register_forward_pre_hook(note)
    run.learner.train(run.benchmark.train_stream[0], eval_streams=[])
    run.learner.eval(run.benchmark.test_stream[0])
    assert seen == {True: {True, False}, False: {True}}


def test_what_is_no_image_is_refused():
    with pytest.raises(ValueError, match="shift must be at least 0"):
        Augment(shift=-1)
