from types import SimpleNamespace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_sparse.plugins import AccuracyRecorder


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 60), st.integers(0, 2**31), st.integers(1, 20))
def test_accuracies_are_the_plain_mean_per_task_however_samples_are_batched(n_tasks, n, seed, batch):
    g = torch.Generator().manual_seed(seed)
    tasks = torch.randint(n_tasks, (n,), generator=g)
    y = torch.randint(3, (n,), generator=g)
    logits = torch.randn(n, 3, generator=g)
    recorder = AccuracyRecorder(n_tasks)
    recorder.before_eval(None)
    for task in range(n_tasks):
        for part in torch.nonzero(tasks == task).flatten().split(batch):
            recorder.after_eval_iteration(
                SimpleNamespace(
                    mb_output=logits[part], mb_y=y[part], experience=SimpleNamespace(current_experience=task)
                )
            )
    for task, accuracy in enumerate(recorder.accuracies()):
        answers = [int(logits[i].argmax()) == int(y[i]) for i in range(n) if tasks[i] == task]
        assert np.isnan(accuracy) if not answers else abs(accuracy - sum(answers) / len(answers)) < 1e-12


def test_every_test_sample_counts_exactly_once(make_run):
    run = make_run()
    run._measure_untrained()
    assert run.recorder.seen.tolist() == [len(e.dataset) for e in run.benchmark.test_stream]
