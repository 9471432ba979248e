import pytest
import torch
from torch import nn

import cl_sparse.compat

# isort: split
from avalanche.benchmarks import split_online_stream
from avalanche.training.storage_policy import ExperienceBalancedBuffer

from benchmarks import SplitDigits
from cl_sparse.data import ids, stream_of
from cl_sparse.plugins import Plugin, Replay
from cl_sparse.plugins.replay import ReplayLoader
from tests.native import native_benchmark, silent


def test_memory_is_shared_equally_and_never_exceeds_its_size(make_run, tmp_path):
    run = make_run(plugins=[{"name": "replay", "mem_size": 100}])
    replay = next(p for p in run.learner.plugins if isinstance(p, Replay))
    sizes = []
    run.observer = type(run.observer)(on_task=lambda task, record: sizes.append([len(m) for m in replay.memory]))
    run.run(tmp_path / "c.pt")
    assert sizes == [[100], [50] * 2, [34, 33, 33], [25] * 4, [20] * 5]
    for task, kept in enumerate(replay.memory):
        own = ids(run.benchmark.train_stream[task].dataset).tolist()
        assert len(set(kept.tolist())) == len(kept)
        assert set(kept.tolist()) <= set(own)


def test_each_step_joins_current_and_stored_samples(make_run):
    benchmark = make_run().benchmark
    stream = stream_of(benchmark.train_stream[0].dataset)
    current, memory = ids(benchmark.train_stream[1].dataset), ids(benchmark.train_stream[0].dataset)[:50]
    loader = ReplayLoader(stream, current, memory, batch_size=32, batch_size_mem=16)
    batches = list(loader)
    assert len(batches) == len(loader) == -(-len(current) // 32)
    tasks = torch.cat([t for _, _, t in batches])
    assert (tasks == 1).sum() == len(current)
    assert all((t == 0).sum() == 16 for _, _, t in batches)


def test_replay_forgets_less_than_sequential(make_run, tmp_path):
    common = {"benchmark": "SplitDigits", "scenario": "domain", "train_ep": 3}
    replay = make_run(**common, strategy="replay").run(tmp_path / "a.pt")
    plain = make_run(**common).run(tmp_path / "b.pt")
    assert replay["accs"][-1, 0] > plain["accs"][-1, 0]
    assert replay["carried_bytes"][0]["Replay"] > 0


@pytest.mark.parametrize("arguments", [{"mem_size": 0}, {"batch_size_mem": 0}])
def test_sizes_below_one_are_refused(arguments):
    with pytest.raises(ValueError, match="at least 1"):
        Replay(**arguments)


def trained_on(stream, replay, n=None):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    strategy = silent(model=net, plugins=[replay])
    for count, experience in enumerate(stream):
        if count == n:
            break
        strategy.train(experience, eval_streams=[])
    return strategy


@pytest.mark.parametrize("native", [False, True])
def test_the_memory_is_shared_as_avalanches_is(native):
    torch.manual_seed(0)
    benchmark = SplitDigits(scenario="class")
    theirs = ExperienceBalancedBuffer(max_size=50)
    replay, sizes = Replay(mem_size=50), []
    for experience in (native_benchmark(benchmark) if native else benchmark).train_stream:
        trained_on([experience], replay)
        theirs.post_adapt(None, experience)
        sizes.append([len(kept) for kept in replay.memory])
        assert sizes[-1] == [len(data) for data in theirs.buffer_datasets]
    assert sizes[2] == [17, 17, 16]
    assert replay.carried_bytes() == 50 * (64 * (4 if native else 1) + 8)


def test_on_avalanches_streams_each_step_joins_current_and_stored_samples():
    torch.manual_seed(0)
    benchmark, replay, seen = native_benchmark(SplitDigits(scenario="class")), Replay(50, batch_size_mem=8), []

    class Watch(Plugin):
        def after_training_iteration(self, strategy, **kwargs):
            seen.append(strategy.mb_y.tolist())

    strategy = silent(model=nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), plugins=[replay, Watch()])
    for experience in benchmark.train_stream[:2]:
        seen.clear()
        strategy.train(experience, eval_streams=[])
    current = len(benchmark.train_stream[1].dataset)
    assert len(seen) == -(-current // 16)
    assert sum(y in (2, 3) for batch in seen for y in batch) == current
    assert all(1 <= sum(y in (0, 1) for y in batch) <= 8 for batch in seen)


@pytest.mark.parametrize("native", [False, True])
def test_with_more_tasks_than_memory_each_has_the_same_chance(native):
    torch.manual_seed(0)
    small = SplitDigits(scenario="class", train_subset=100)
    small = native_benchmark(small) if native else small
    kept = torch.zeros(5)
    for _ in range(60):
        replay = Replay(mem_size=2)
        trained_on(small.train_stream, replay)
        assert sum(len(memory) for memory in replay.memory) == 2
        kept += torch.tensor([float(len(memory)) for memory in replay.memory])
    assert (kept > 10).all()  # 24 expected of each task; before, the last three had none


def test_a_stream_of_single_batches_is_a_stream_of_tasks():
    torch.manual_seed(0)
    replay = Replay(mem_size=30)
    trained_on(split_online_stream(SplitDigits(scenario="class").train_stream, 20), replay, n=12)
    assert [len(kept) for kept in replay.memory] == [3] * 6 + [2] * 6


def test_a_memory_of_another_stream_is_refused():
    replay, benchmark = Replay(50), SplitDigits(scenario="class")
    trained_on(benchmark.train_stream[:1], replay)
    for other in (SplitDigits(scenario="class"), native_benchmark(benchmark)):
        with pytest.raises(ValueError, match="Replay: the memory holds samples of another stream"):
            trained_on(other.train_stream[1:2], replay)
