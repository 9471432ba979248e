"""No strategy may fall back to fetching samples one by one."""

import pytest

from cl_sparse.data.task_data import TaskData


def test_no_strategy_touches_the_per_sample_path(make_run, tmp_path, learner_config, monkeypatch):
    run = make_run(**learner_config)

    def refuse(self, index):
        raise AssertionError(f"sample {index} was fetched on its own")

    monkeypatch.setattr(TaskData, "__getitem__", refuse)
    with pytest.raises(AssertionError, match="fetched on its own"):
        run.benchmark.train_stream[0].dataset[0]
    run.run(tmp_path / "c.pt")
