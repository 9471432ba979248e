"""Heat maps of a study: against a slow reference, with what is missing, and in a document."""

from pathlib import Path

import numpy as np
import pytest

from cl_sparse.errors import UserError
from cl_sparse.report.images import images_of
from cl_sparse.report.study import Part
from tests.result_examples import finished

PART = {
    "experiments": ["SparseNet"],
    "numbers": {"connections": "mechanisms.set_layers.connections"},
    "images": "weight_decay",
}


def run(decay, seed, counts, stopped=None):
    config = {"weight_decay": decay}
    measured = {"set_layers": {"connections": np.asarray(counts)}}
    return finished("SparseNet", seed, config=config, mechanisms=measured, stopped=stopped)


def some():
    rng = np.random.default_rng(0)
    return [run(decay, seed, rng.integers(0, 30, 16)) for decay in (0.001, 0) for seed in range(3)]


def test_they_are_means_over_the_seeds_in_relation_to_the_mean_pixel():
    results = [*some(), run(0, 3, [100] * 16, stopped="the loss is nan"), run(0.1, 0, [1] * 16, stopped="nan")]
    found = images_of(results, Part.model_validate(PART))
    assert list(found) == ["connections"]
    assert list(found["connections"]) == [0, 0.001]
    for decay, image in found["connections"].items():
        runs = [s["mechanisms"]["set_layers"]["connections"] for c, s in some() if c["weight_decay"] == decay]
        total = sum(sum(counts) for counts in runs)
        for row in range(4):
            for column in range(4):
                pixel = sum(int(counts[4 * row + column]) for counts in runs)
                assert image[row, column] == pytest.approx(16 * pixel / total)


def test_what_is_no_square_image_is_one_line():
    with pytest.raises(UserError, match=r"set_layers\.connections: one number for each pixel of a square image"):
        images_of([run(0, 0, [1, 2, 3])], Part.model_validate(PART))


def test_a_document_holds_them_where_there_are_results(study_page):
    text = study_page({"maps": PART, "later": {**PART, "experiments": ["not run yet"]}}, some())
    assert text.count(".png") == 1
    assert "![connections of each pixel](docs/figures/study_maps.png)" in text
    assert Path("docs/figures/study_maps.png").stat().st_size > 5000
