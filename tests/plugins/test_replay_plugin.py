import pytest
import torch

from cl_sparse.data import ids, stream_of
from cl_sparse.plugins import Replay
from cl_sparse.plugins.replay import ReplayLoader


def test_memory_is_shared_equally_and_never_exceeds_its_size(make_run, tmp_path):
    run = make_run(plugins=[{"name": "replay", "mem_size": 100}])
    replay = next(p for p in run.learner.plugins if isinstance(p, Replay))
    sizes = []
    run.observer = type(run.observer)(on_task=lambda task, record: sizes.append([len(m) for m in replay.memory]))
    run.run(tmp_path / "c.pt")
    assert sizes == [[100], [50] * 2, [33] * 3, [25] * 4, [20] * 5]
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
