"""One run: one experiment with one seed, from the untrained net to the result's statistics."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.base import Benchmark
from cl_sparse.config import ExperimentConfig
from cl_sparse.config.identity import differing
from cl_sparse.errors import UserError
from cl_sparse.metrics import unit_overlap
from cl_sparse.models import FixedNet
from cl_sparse.plugins import (
    DivergedError,
    Mechanisms,
    PerEpoch,
    ReportProgress,
    SizePerEpoch,
    SparsityProbe,
)
from cl_sparse.run import build, provenance
from cl_sparse.run.checkpoint import VERSION, load_checkpoint, save_checkpoint, unfit
from cl_sparse.run.devices import flushing_denormals, keep_freed_memory
from cl_sparse.run.evaluate import accuracy_row, recorder_for
from cl_sparse.run.learner_state import learner_state, own_plugins, restore_learner
from cl_sparse.run.methods import strategy_of
from cl_sparse.run.record import Record
from cl_sparse.run.solved import features_of
from cl_sparse.seeding import derive_seed
from cl_sparse.strategies import Learner
from cl_sparse.strategies.closed_form import ClosedFormLearner
from cl_sparse.synapses import live_synapses, synapse_positions, synapses_of, total_parameters


@dataclass(frozen=True)
class Observer:
    """Whom a run tells of its progress."""

    on_steps: Callable[[int], object] = lambda _: None
    on_task: Callable[[int, Record], object] = lambda *_: None


class Run:
    """One experiment with one seed.

    Args:
        config: the experiment.
        benchmark: its stream, built with ``seed``.
        seed: every random choice derives from it, but for those that the config's own seeds decide.
        device: where it runs.
        observer: whom to tell.
    """

    def __init__(
        self, config: ExperimentConfig, benchmark: Benchmark, seed: int, device: torch.device, observer: Observer
    ) -> None:
        """Build the learner and a blank record."""
        self.config = config
        self.benchmark = benchmark.to(device)
        self.seed = seed
        self.observer = observer
        # Asked now: by the end of a long run the files may have changed.
        self.code_hash, self.git_commit = provenance.code_hash(), provenance.git_commit()
        self.strategy = strategy_of(config)
        self.recorder = recorder_for(benchmark)
        self.progress = ReportProgress(observer.on_steps)
        model = build.build_model(config, benchmark, seed, device).to(device)
        self.probe = SparsityProbe(model, benchmark.n_tasks, training=config.record_stats)
        self.learner: Learner = build.build_learner(
            config, model, benchmark, seed, device, probes=[self.recorder, self.progress, self.probe]
        )
        build.bind_mechanisms(config, self.learner, config.effective_net_seed(seed), self.probe)
        self.record = Record.blank(benchmark.n_tasks, validation=benchmark.val_stream is not None)
        self.tasks = [benchmark.n_tasks - 1] if self.strategy.trains_once else list(range(benchmark.n_tasks))

    def resume(self, checkpoint: Path) -> int:
        """Take up where ``checkpoint`` left off; return how many tasks are already trained.

        They may have been trained by other code: the record says for each task by which.

        Raises:
            UserError: if the checkpoint is damaged, does not fit, or belongs to another config or other data.
        """
        content = load_checkpoint(checkpoint, self.learner.device)
        self._check_same_run(checkpoint, content)
        record = Record(**content["record"])
        if len(record.accs) != self.benchmark.n_tasks or (record.val_accs is None) is not (
            self.record.val_accs is None
        ):
            raise unfit(checkpoint, "its accuracies are of other tasks")
        if len(record.steps) != content["learner"]["tasks_trained"]:
            raise unfit(checkpoint, "its learner has learned another number of tasks than its record says")
        try:
            restore_learner(self.learner, content["learner"])
        except UserError as error:
            raise UserError(f"{checkpoint}: {error}: run without --resume to start anew") from None
        except Exception as error:  # of many types, from torch too; each means that the state is another version's
            raise unfit(checkpoint, f"{type(error).__name__}: {error}") from error
        self.record = record
        return len(self.record.steps)

    def _check_same_run(self, checkpoint: Path, content: dict[str, Any]) -> None:
        changed = differing(content["config"], self.config.identity())
        if changed:
            raise UserError(
                f"{checkpoint}: was written with other values of {', '.join(changed)}: "
                "restore them, or run without --resume to start anew"
            )
        data = content.get("data", self.benchmark.fingerprint)  # not in checkpoints from before data were compared
        if data != self.benchmark.fingerprint:
            raise UserError(
                f"{checkpoint}: was written with other data ({self.benchmark.dataset} had the fingerprint {data}, and "
                f"has {self.benchmark.fingerprint} now): restore them, or run without --resume to start anew"
            )

    def run(self, checkpoint: Path) -> dict[str, Any]:
        """Train what is left of the stream, saving ``checkpoint`` after every task; return the result's statistics.

        Raises:
            UserError: if the checkpoint cannot be written; the one of the task before is still there.
        """
        keep_freed_memory()
        stopped = None
        if not self.record.steps:
            self._measure_untrained()
        for task in self.tasks[len(self.record.steps) :]:
            try:
                self._train(task)
            except DivergedError as error:
                stopped = str(error)
                break
            self._test(task)
            self._save(checkpoint)
            self.observer.on_task(task, self.record)
        return self._statistics(stopped)

    def _measure_untrained(self) -> None:
        row = accuracy_row(self.learner, self.recorder, self.benchmark.test_stream)
        self.record.accs_init = row.tolist()

    def _train(self, task: int) -> None:
        """Train on one task. All randomness in it derives from (the net's seed, task)."""
        torch.manual_seed(derive_seed(self.config.effective_net_seed(self.seed), "train", task))
        if not isinstance(self.learner, ClosedFormLearner):  # it passes once
            self.learner.train_epochs = self.config.epochs(len(self.record.steps))
        start = time.perf_counter()
        with flushing_denormals():
            self.learner.train(self.benchmark.train_stream[task], eval_streams=[])
        self.record.train_seconds.append(time.perf_counter() - start)
        self.record.steps.append(self.progress.steps)
        self.record.samples.append(self.progress.samples)
        self.record.carried_bytes.append(carried_bytes(self.learner))
        self.record.units.append({found.layer: found.shape[0] for found in synapses_of(self.learner.model)})
        self.record.live_synapses.append(live_synapses(self.learner.model))
        self.record.code_hashes.append(self.code_hash)

    def _test(self, task: int) -> None:
        last = task == self.benchmark.n_tasks - 1
        every = last or (task + 1) % self.config.eval_every == 0
        tasks = slice(None) if every else slice(task, task + 1)
        start = time.perf_counter()
        if self.record.val_accs is not None and self.benchmark.val_stream is not None:
            self.record.val_accs[task] = self._row(self.benchmark.val_stream[tasks])
        self.probe.watch_use = last
        self.record.accs[task] = self._row(self.benchmark.test_stream[tasks])
        self.record.eval_seconds.append(time.perf_counter() - start)

    def _row(self, experiences: Any) -> list[float]:
        row: list[float] = accuracy_row(self.learner, self.recorder, experiences).tolist()
        return row

    def _save(self, checkpoint: Path) -> None:
        save_checkpoint(
            checkpoint,
            {
                "version": VERSION,
                "config": self.config.identity(),
                "data": self.benchmark.fingerprint,
                "learner": learner_state(self.learner),
                "record": self.record.as_dict(),
            },
        )

    def _statistics(self, stopped: str | None) -> dict[str, Any]:
        config, benchmark, model = self.config, self.benchmark, self.learner.model
        told = build.task_information(config, self.learner)
        probe = self.probe.statistics()
        used = {name: use for name, use in probe["unit_use"].items() if np.isfinite(use).all(1).sum() > 1}
        overlaps = {name: unit_overlap(use) for name, use in used.items()}  # of layers that several tasks pass
        return {
            **self.record.statistics(),
            **probe,
            "overlap": {name: both[0] for name, both in overlaps.items()},
            "overlap_chance": {name: both[1] for name, both in overlaps.items()},
            "mechanisms": measured_by_mechanisms(self.learner) | measured_by_features(config, model),
            **measured_per_epoch(self.learner),
            "parameters": total_parameters(model),
            **multiply_adds(model),
            "live_synapses": live_synapses(model),
            "synapse_positions": synapse_positions(model),
            "strategy": config.effective_strategy,
            "budget": self.strategy.budget,
            "scenario": benchmark.scenario,
            "score": benchmark.score,
            "heads": config.effective_heads,
            "task_info_train": told[0],
            "task_info_test": told[1],
            "benchmark": benchmark.describe(),
            "seed": self.seed,
            "stream_seed": config.effective_stream_seed(self.seed),
            "net_seed": config.effective_net_seed(self.seed),
            "device": str(self.learner.device),
            "threads": torch.get_num_threads(),
            "versions": provenance.versions(),
            "machine": provenance.machine(self.learner.device),
            "code_hash": self.code_hash,
            "git_commit": self.git_commit,
            "stopped": stopped,
        }


def multiply_adds(model: torch.nn.Module) -> dict[str, dict[str, int]]:
    """Return the multiply-adds for one sample of a net that is solved; nothing for others."""
    if not isinstance(model, FixedNet):
        return {}
    parts = {"features": model.features.multiply_adds(), "readout": model.readout.get_parameter("weight").numel()}
    return {"multiply_adds": parts}


def measured_by_mechanisms(learner: Learner) -> dict[str, dict[str, Any]]:
    """Return what mechanisms have measured, by their names; those that measure nothing are left out."""
    mechanisms = [plugin.mechanisms for plugin in learner.plugins if isinstance(plugin, Mechanisms)]
    measured = {name: one.statistics() for named in mechanisms for name, one in named.items()}
    return {name: statistics for name, statistics in measured.items() if statistics}


def measured_by_features(config: ExperimentConfig, model: torch.nn.Module) -> dict[str, dict[str, Any]]:
    """Return what fixed features have measured, by their name; nothing where they measure nothing."""
    named = features_of(config)
    measured = model.features.statistics() if named is not None and isinstance(model, FixedNet) else {}
    return {named.name: measured} if named is not None and measured else {}


def measured_per_epoch(learner: Learner) -> dict[str, dict[str, Any]]:
    """Return what was recorded after each epoch, by the plugin's name; nothing where nobody asked for it."""
    names: dict[type, str] = {PerEpoch: "per_epoch", SizePerEpoch: "size_per_epoch"}
    return {names[type(plugin)]: plugin.statistics() for plugin in learner.plugins if type(plugin) in names}


def carried_bytes(learner: Learner) -> dict[str, int]:
    """Return the bytes carried from task to task beyond weights and biases, by owner; 0 is left out."""
    tensors = [
        value for state in learner.optimizer.state.values() for value in state.values() if torch.is_tensor(value)
    ]
    owners = {
        "buffers": sum(buffer.nbytes for buffer in learner.model.buffers()),
        "optimizer": sum(tensor.nbytes for tensor in tensors),
        **{name: plugin.carried_bytes() for name, plugin in own_plugins(learner).items()},
    }
    return {owner: size for owner, size in owners.items() if size}
