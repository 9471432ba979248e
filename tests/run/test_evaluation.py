"""What a learner is scored on: nothing but the sample itself (and, where stated, its task label)."""

import copy

import numpy as np
import torch

from cl_sparse.data import ids, stream_of
from cl_sparse.run.evaluate import accuracy_row


def mixed_batches(run, size, seed=0):
    """Yield mini-batches of ``size`` test samples of all tasks, shuffled together, and the samples' tasks."""
    stream = stream_of(run.benchmark.test_stream[0].dataset)
    every = torch.cat([ids(e.dataset) for e in run.benchmark.test_stream])
    order = every[torch.randperm(len(every), generator=torch.Generator().manual_seed(seed))]
    for part in order.split(size):
        yield list(stream.batch(part)), stream.locate(part)[2]


def predict(run, batch):
    learner = run.learner
    learner.mbatch = batch
    with torch.no_grad():  # plugins may predict
        learner._before_eval_forward()
        learner.mb_output = learner.forward()
        learner._after_eval_forward()
    return learner.mb_output.argmax(dim=1)


def accuracies(run, batches):
    run.learner.model.eval()
    n_tasks = run.benchmark.n_tasks
    right, seen = torch.zeros(n_tasks), torch.zeros(n_tasks)
    for batch, tasks in batches:
        good = predict(run, batch) == batch[1]
        right += torch.bincount(tasks[good], minlength=n_tasks)
        seen += torch.bincount(tasks, minlength=n_tasks)
    return (right / seen).double().numpy()


def test_accuracies_are_the_same_when_tasks_share_batches(make_run, tmp_path, learner_config):
    run = make_run(**learner_config)
    stats = run.run(tmp_path / "c.pt")
    for size in (1, 7, 64):
        np.testing.assert_allclose(accuracies(run, mixed_batches(run, size)), stats["accs"][-1], atol=1e-7)


def test_predictions_without_task_information_ignore_scrambled_labels(make_run, tmp_path, learner_config):
    run = make_run(**learner_config)
    stats = run.run(tmp_path / "c.pt")
    run.learner.model.eval()
    same = []
    for (x, y, told), task in mixed_batches(run, 50):
        scrambled = [x, y, (task + 1) % run.benchmark.n_tasks]
        same.append(torch.equal(predict(run, [x, y, told]), predict(run, scrambled)))
    assert all(same) == (stats["task_info_test"] in ("none", "inferred per sample"))


def test_evaluation_leaves_the_learner_and_the_generators_alone(make_run, tmp_path, learner_config):
    run = make_run(**learner_config)
    run.run(tmp_path / "c.pt")
    weights = copy.deepcopy(run.learner.model.state_dict())
    random = torch.random.get_rng_state()
    first = accuracy_row(run.learner, run.recorder, run.benchmark.test_stream)
    second = accuracy_row(run.learner, run.recorder, run.benchmark.test_stream)
    np.testing.assert_array_equal(first, second)
    assert torch.equal(random, torch.random.get_rng_state())
    for name, tensor in run.learner.model.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


def test_testing_less_often_changes_no_weight_and_keeps_diagonal_and_last_row(make_run, tmp_path):
    often, seldom = make_run(), make_run(eval_every=3)
    full, thin = often.run(tmp_path / "a.pt")["accs"], seldom.run(tmp_path / "b.pt")["accs"]
    np.testing.assert_array_equal(np.diag(thin), np.diag(full))
    np.testing.assert_array_equal(thin[[2, 4]], full[[2, 4]])
    assert np.isnan(thin[0, 1:]).all()
