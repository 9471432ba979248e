"""Runs trials side by side in processes on this machine.

A thread of this process stands for each worker: it sends a trial through the worker's pipe, passes on what the worker
tells of it, and returns the path of its result. A worker that is killed costs the tasks in progress of its own trial:
another takes its place, and the trial goes on from its last task.
"""

import os
import queue
import signal
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

from cl_sparse.data.datasets import loaded_data
from cl_sparse.errors import UserError
from cl_sparse.run.executors.base import TRIES, stamp
from cl_sparse.run.executors.worker import End, work
from cl_sparse.run.plan import Workplace
from cl_sparse.run.trial import Trial, Watch

_PATIENCE = 5.0  # seconds for a worker to end by itself

# Not a fork of this process, whose threads it would lack. A fork server imports everything once, for all workers.
_CONTEXT = get_context("spawn") if sys.platform == "win32" else get_context("forkserver")


class WorkerDiedError(Exception):
    """A worker's process has ended in the middle of a trial."""


class Worker:
    """One process, which runs one trial at a time."""

    def __init__(self, place: Workplace) -> None:
        """Start it; it imports and waits."""
        ours, theirs = _CONTEXT.Pipe()
        self._pipe: Connection = ours
        self._process = _CONTEXT.Process(target=work, args=(theirs, place, loaded_data()), daemon=True)
        self._process.start()
        theirs.close()

    def run(self, trial: Trial, resume: bool, watch: Watch) -> Path:
        """Run a trial there.

        Raises:
            UserError: if it came to nothing.
            WorkerDiedError: if the process ended.
        """
        try:
            self._pipe.send((trial, resume))
            while not isinstance(told := self._pipe.recv(), End):
                getattr(watch, told[0])(*told[1:])
        except (EOFError, OSError):
            self._process.join(_PATIENCE)
            raise WorkerDiedError(_cause(self._process.exitcode)) from None
        if told.error is not None:
            raise told.error
        assert told.path is not None
        return told.path

    def terminate(self) -> None:
        """Ask it to end at once, leaving nothing behind."""
        self._process.terminate()

    def kill(self) -> None:
        """End it whatever it is doing, as a system does that is out of memory."""
        self._process.kill()

    def end(self) -> None:
        """Wait for its end; a process that is too slow is killed. Who waits for its word hears that it is gone."""
        self._process.join(_PATIENCE)
        if self._process.is_alive():
            self.kill()
            self._process.join()


def start_fork_server(*more: str) -> None:
    """Start the process that workers are copies of, deaf to Ctrl-C, which a terminal sends to it while it imports.

    Args:
        more: modules that it is to import besides what a worker needs; one that runs already stays as it is.
    """
    if sys.platform == "win32":
        return
    forkserver.set_forkserver_preload(["cl_sparse.run.executors.worker", *more])
    resource_tracker.ensure_running()  # the server's start would start it, and that lets the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Local:
    """The executor of processes on this machine.

    Args:
        place: where trials run; ``threads`` are those of each process, 1 by default.
        jobs: number of processes.

    Attributes:
        workers: the processes.
    """

    def __init__(self, place: Workplace, jobs: int) -> None:
        """Start nothing yet."""
        self._place = replace(place, threads=place.threads or 1)
        self._jobs = jobs
        self._stopping = False
        self.workers: list[Worker] = []
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(jobs)

    def __enter__(self) -> "Local":
        """Start the processes."""
        # Libraries that count their threads when they are imported, and threads that would spin while they wait.
        os.environ["OMP_NUM_THREADS"] = str(self._place.threads)
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        start_fork_server()
        for _ in range(self._jobs):
            self._idle.put(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes; what is under way ends where it is."""
        self._stopping = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in list(self.workers):
            worker.terminate()
        for worker in list(self.workers):
            worker.end()
        self._threads.shutdown()

    def submit(self, trial: Trial, watch: Watch) -> Future[Path]:
        """Let the next idle process run the trial."""
        return self._threads.submit(self._run, trial, watch)

    def _run(self, trial: Trial, watch: Watch) -> Path:
        worker = self._idle.get()  # there are as many as threads
        checkpoint = trial.checkpoint(self._place.results_dir)
        before = stamp(checkpoint)
        try:
            for _ in range(TRIES):
                resume = self._place.resume or stamp(checkpoint) not in (None, before)
                try:
                    return worker.run(trial, resume, watch)
                except WorkerDiedError as death:
                    if self._stopping:
                        raise
                    watch.say(f"{trial.title}: {death}: tried again from its last task")
                    worker = self._replace(worker)
            raise UserError(f"its process ended {TRIES} times: is there memory for {self._jobs} runs side by side?")
        finally:
            self._idle.put(worker)

    def _start(self) -> Worker:
        worker = Worker(self._place)
        self.workers.append(worker)
        return worker

    def _replace(self, worker: Worker) -> Worker:
        self.workers.remove(worker)
        worker.end()
        return self._start()


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"its process was killed by signal {-exitcode}"
    return f"its process ended with exit code {exitcode}"
