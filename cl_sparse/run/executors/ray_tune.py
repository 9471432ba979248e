"""Runs trials as Ray Tune trials: on this machine, or on the cluster at an address.

Tune asks for its next trial, and is given what was submitted; so trials come from the same place whoever runs them, and
Tune decides where they run, starts them again when a node dies, and may stop them early by a scheduler of its library.
An actor runs one trial after the other: imports are paid once. Data are in the object store, once per node.
"""

import logging
import os
import queue
import shutil
import signal
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch

from cl_sparse.data.datasets import LoadedData, loaded_data, take_loaded
from cl_sparse.errors import UserError
from cl_sparse.output import ignore_avalanches_warnings
from cl_sparse.run.earlier import EarlierResults
from cl_sparse.run.executors.base import TRIES, StoppedEarlyError, stamp
from cl_sparse.run.plan import Workplace
from cl_sparse.run.trial import Trial, Watch, run_trial

if TYPE_CHECKING:
    from ray.tune import Callback
    from ray.tune.search import Searcher

# Before Ray is imported: no loggers of its own (the manifest logs), no handler for Ctrl-C (the session has one).
_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
}
# Read when Ray is imported. 0: there will be no other node, so Ray's servers listen on the loopback, on Linux too.
_CLUSTER = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_PENDING = "TUNE_MAX_PENDING_TRIALS_PG"  # actors that may start at a time; of Tune's own accord, one
_FOLDER = ".ray"  # where Tune keeps its own notes, in the results folder, until it ends
_PATIENCE = 30.0  # seconds for Tune to end by itself


@dataclass
class Submitted:
    """A trial on its way."""

    trial: Trial
    watch: Watch
    before: tuple[int, int] | None
    future: "Future[Path]"


class RayTune:
    """The executor of Ray Tune.

    Args:
        place: where trials run; ``threads`` are those of each trial, 1 by default, and as many CPUs are its share.
        jobs: CPUs of the local Ray, in trials; a cluster has its own.
        address: of a cluster; None: a local Ray, which listens on the loopback only.
        gpus: GPUs of each trial, which may be a part of one.
        asha: stop trials early by Tune's ASHA scheduler; tasks of their streams, None: run all to their end.

    Raises:
        UserError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(
        self, place: Workplace, jobs: int, address: str | None = None, gpus: float = 0.0, asha: int | None = None
    ) -> None:
        """Start nothing yet."""
        if address is None:
            os.environ[_CLUSTER] = "0"
        os.environ[_PENDING] = str(jobs)
        _ray()
        self._place = replace(place, threads=place.threads or 1, results_dir=place.results_dir.absolute())
        self._jobs, self._address, self._gpus, self._asha = jobs, address, gpus, asha
        self._inbox: queue.SimpleQueue[Submitted | None] = queue.SimpleQueue()
        self._running: dict[str, Submitted] = {}
        self._tune = threading.Thread(target=self._fit, daemon=True)

    def __enter__(self) -> "RayTune":
        """Start Ray, or connect to it."""
        ray = _ray()
        threads = self._place.threads or 1
        common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if self._address is None:
                gpus = torch.cuda.device_count()
                cpus = self._jobs * threads
                ray.init(num_cpus=cpus, num_gpus=gpus, include_dashboard=False, **common)
            else:
                ray.init(address=self._address, **common)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise UserError(f"--ray-address {self._address}: {' '.join(str(error).split())[:300]}") from None
        for number in (signal.SIGINT, signal.SIGTERM):  # Ray has put handlers of its own below Python's
            if threading.current_thread() is threading.main_thread():
                signal.signal(number, signal.getsignal(number))
        shutil.rmtree(self._place.results_dir / _FOLDER, ignore_errors=True)  # a killed sweep's
        self._tune.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let Tune end, or end Ray with everything under way."""
        self._inbox.put(None)
        if kind is None:
            self._tune.join(_PATIENCE)
        _ray().shutdown()
        shutil.rmtree(self._place.results_dir / _FOLDER, ignore_errors=True)

    def submit(self, trial: Trial, watch: Watch) -> "Future[Path]":
        """Give Tune a trial."""
        submitted = Submitted(trial, watch, stamp(trial.checkpoint(self._place.results_dir)), Future())
        if self._tune.is_alive():
            self._inbox.put(submitted)
        else:
            submitted.future.set_exception(UserError("Ray has ended"))
        return submitted.future

    def _fit(self) -> None:
        try:
            self._tuner().fit()
        except Exception as error:  # whatever Ray raises when its head is gone
            self._end(f"Ray has ended: {' '.join(str(error).split())[:300]}")
        else:
            self._end("Ray has ended")

    def _tuner(self) -> Any:
        tune = _ray().tune
        work = tune.with_parameters(_work, place=self._place, data=as_arrays(loaded_data()))
        share = {"cpu": self._place.threads, "gpu": self._gpus}
        scheduler = None
        if self._asha is not None:
            # A report per task, and one of the result: at the most, Tune ends a trial.
            scheduler = tune.schedulers.ASHAScheduler(metric="accuracy", mode="max", max_t=self._asha + 1)
        return tune.Tuner(
            tune.with_resources(work, share),
            tune_config=tune.TuneConfig(
                search_alg=_searcher(self._next),
                scheduler=scheduler,
                num_samples=-1,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                name=_FOLDER,
                storage_path=str(self._place.results_dir),
                verbose=0,
                callbacks=[_callback(self._started, self._told, self._failed)],
                failure_config=tune.FailureConfig(max_failures=TRIES - 1),
            ),
        )

    def _end(self, cause: str) -> None:
        while not self._inbox.empty():
            if (submitted := self._inbox.get()) is not None:
                submitted.future.set_exception(UserError(cause))
        for submitted in self._running.values():
            if not submitted.future.done():
                submitted.future.set_exception(UserError(cause))

    def _next(self, trial_id: str) -> dict[str, Any] | None:
        """Return what Tune is to run next; {}: nothing yet; None: nothing any more."""
        try:
            submitted = self._inbox.get_nowait()
        except queue.Empty:
            return {}
        if submitted is None:
            return None
        self._running[trial_id] = submitted
        return {"trial": submitted.trial, "before": submitted.before}

    def _started(self, trial_id: str) -> None:
        submitted = self._running.get(trial_id)
        if submitted is not None and not (submitted.future.running() or submitted.future.done()):  # else a second try
            submitted.future.set_running_or_notify_cancel()

    def _told(self, trial_id: str, result: dict[str, Any], *, last: bool) -> None:
        """Pass on what a trial reports, or take its end."""
        submitted = self._running.get(trial_id)
        if submitted is None or submitted.future.done():
            return
        for call, *what in result.get("calls", []):
            getattr(submitted.watch, call)(*what)
        if result.get("path") is not None:
            submitted.future.set_result(Path(result["path"]))
        elif result.get("problem") is not None:
            submitted.future.set_exception(UserError(result["problem"]))
        elif last:
            submitted.future.set_exception(StoppedEarlyError("stopped early by ASHA"))

    def _failed(self, trial_id: str) -> None:
        submitted = self._running.get(trial_id)
        if submitted is not None and not submitted.future.done():
            submitted.future.set_exception(UserError(f"its process or node failed {TRIES} times"))


class _Reports:
    """A watch that reports to Tune: with each task, what has happened since the last."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.accuracy = 0.0
        self._steps = 0

    def begin(self, steps: int) -> None:
        self.calls.append(("begin", steps))

    def advance(self, steps: int) -> None:
        self._steps += steps

    def task_done(self, line: str, accuracy: float) -> None:
        self.calls += [("advance", self._steps), ("task_done", line, accuracy)]
        self._steps, self.accuracy = 0, accuracy
        calls, self.calls = self.calls, []
        _ray().tune.report({"calls": calls, "accuracy": accuracy})

    def say(self, line: str) -> None:
        self.calls.append(("say", line))

    def complain(self, line: str) -> None:
        self.calls.append(("complain", line))


def _work(config: dict[str, Any], place: Workplace, data: dict[Any, Any]) -> None:
    """Run one trial, in an actor of Ray's."""
    ignore_avalanches_warnings()
    torch.set_num_threads(place.threads or 1)
    take_loaded(as_tensors(data))
    trial: Trial = config["trial"]
    resume = place.resume or stamp(trial.checkpoint(place.results_dir)) not in (None, config["before"])
    here, reports = replace(place, resume=resume), _Reports()
    outcome: dict[str, Any] = {}
    try:
        earlier = EarlierResults(here.results_dir, here.data_root, same_code=here.sweep)
        outcome["path"] = str(run_trial(trial, here, earlier, reports))
    except UserError as error:
        outcome["problem"] = str(error)
    _ray().tune.report({"calls": reports.calls, "accuracy": reports.accuracy, **outcome})


def as_arrays(data: LoadedData) -> dict[Any, Any]:
    """Return data sets with NumPy arrays in place of tensors: those Ray's store shares without a copy."""
    return {
        key: {k: _plain(v, torch.Tensor, lambda t: t.numpy()) for k, v in vars(d).items()} for key, d in data.items()
    }


def as_tensors(data: dict[Any, Any]) -> LoadedData:
    """Return what :func:`as_arrays` was given, on the same memory."""
    import numpy as np

    from cl_sparse.data.image_data import ImageData

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the store's memory is read-only, and nobody writes to a data set
        return {
            key: ImageData(**{k: _plain(v, np.ndarray, torch.from_numpy) for k, v in parts.items()})
            for key, parts in data.items()
        }


def _plain(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    return change(value) if isinstance(value, kind) else value


@cache
def _ray() -> Any:
    for name, setting in _SETTINGS.items():
        os.environ.setdefault(name, setting)
    try:
        import ray
        import ray.tune
        import ray.tune.schedulers
    except ImportError:
        raise UserError(
            "--executor ray: Ray is not installed: pip install -r requirements-sweep.txt, or choose --executor local"
        ) from None
    return ray


def _searcher(following: Callable[[str], dict[str, Any] | None]) -> "Searcher":
    from ray.tune.search import Searcher

    class Inbox(Searcher):
        """Suggests what was submitted."""

        def __init__(self, following: Callable[[str], dict[str, Any] | None]) -> None:
            super().__init__(metric="accuracy", mode="max")
            self.following = following

        def suggest(self, trial_id: str) -> Any:
            config = self.following(trial_id)
            return Searcher.FINISHED if config is None else config or None

        def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
            """Do nothing: the callback hears of it."""

        def save(self, checkpoint_path: str) -> None:
            """Do nothing: the sweep's folder holds all there is."""

        def restore(self, checkpoint_path: str) -> None:
            """Do nothing."""

        def __getstate__(self) -> dict[str, Any]:
            return {key: value for key, value in vars(self).items() if key != "following"}

    return Inbox(following)


def _callback(started: Callable[[str], None], told: Callable[..., None], failed: Callable[[str], None]) -> "Callback":
    from ray.tune import Callback

    class Ears(Callback):
        """Hears what trials report."""

        def __init__(
            self, started: Callable[[str], None], told: Callable[..., None], failed: Callable[[str], None]
        ) -> None:
            self.started, self.told, self.failed = started, told, failed

        def on_trial_start(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
            self.started(trial.trial_id)

        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **_: Any) -> None:
            self.told(trial.trial_id, result, last=False)

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
            self.told(trial.trial_id, {}, last=True)

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
            self.failed(trial.trial_id)

        def __getstate__(self) -> dict[str, Any]:
            return {}  # Tune writes it down, and never needs it

    return Ears(started, told, failed)
