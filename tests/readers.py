"""Every reader of files that others may have written, with small examples of such files to damage."""

import gzip
import io
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cl_sparse.config.experiments import load_experiments
from cl_sparse.data.idx import read_idx
from cl_sparse.data.npz import load_npz
from cl_sparse.report import markdown_table, rows_of
from cl_sparse.results import json_text, load_complete_result
from cl_sparse.results.packs import members
from cl_sparse.sweep.manifest import read_manifest
from cl_sparse.sweep.spec import load_sweep

YAML = """\
Base: &base
  description: a line
  lr: 1e-3
  plugins: [{name: replay, mem_size: 5}]
Mine: {inherits: Base, <<: *base, hidden_units: 0x1f, scenario: ~}
All: {group: [Base, "M*"]}
"""
SWEEP = """\
experiments: [quickstart_dense]
set: {train_ep: 1}
space: {lr: {low: 1e-3, high: 0.1, log: true}, hidden_units: [20, 30]}
spaces: {quickstart_dense: {dropout: {choose: [0.0, 0.5], when: {lr: [0.1]}}}}
search: random
select: {metric: acc, seeds: [7], trials: 2}
report: {seeds: [0, 1]}
"""
MANIFEST = """\
{"event": "plan", "time": "2026-11-26T23:00:00", "version": 1, "planned": {"net": 2}, "jobs": 2}
{"event": "begun", "time": "", "experiment": "net", "phase": "try", "point": 0, "seed": 7, "values": {"lr": 0.1}}
{"event": "finished", "experiment": "net", "phase": "try", "point": 0, "seed": 7, "worth": 0.5, "seconds": 1.5}
{"event": "end", "line": "complete"}
"""
CONFIG = {"name": "dense", "lr": 0.1, "train_ep": 2, "plugins": [{"name": "replay", "mem_size": 5}], "heads": None}
STATS = {
    "accs": np.array([[0.5, float("nan")], [0.25, 1.0]]),
    "accs_init": np.array([0.1, 0.1]),
    "active_share": {"act1": np.array([0.5, 0.01], dtype=np.float32)},
    **{"parameters": 7, "live_synapses": 5, "synapse_positions": 6, "steps": [3, 4], "seed": 0, "stopped": None},
    "seconds": {"train": [1.5], "total": 2.0},
    **{"scenario": "task", "heads": "multi", "task_info_train": "none", "task_info_test": "none"},
    "benchmark": {"name": "PermutedMNIST", "dataset": "mnist"},
}


@dataclass(frozen=True)
class Reader:
    """What reads a file, the ending of its name, and files that it reads without complaint."""

    read: Callable[[Path], object]
    suffix: str
    examples: tuple[bytes, ...]


def _npz(save: Callable[..., None]) -> bytes:
    x, y = np.arange(8, dtype=np.float32).reshape(4, 2), np.arange(4) % 2
    file = io.BytesIO()
    save(file, x_train=x, y_train=y, x_test=x, y_test=y, class_names=np.array(["a", "b"]))
    return file.getvalue()


def _show(path: Path) -> str:
    return markdown_table(rows_of([load_complete_result(path)]))


_TWIN = json.loads(json_text({"config": CONFIG, "stats": STATS}))
PACK = json.dumps({"file": "net_20260101T000000-000_seed0", **_TWIN}).encode() + b"\n"
_IDX = b"\0\0\x08\x02\0\0\0\x02\0\0\0\x03abcdef"
READERS = {
    "sweep": Reader(load_sweep, ".yaml", (SWEEP.encode(),)),
    "manifest": Reader(read_manifest, ".jsonl", (MANIFEST.encode(),)),
    "pack": Reader(lambda path: [load_complete_result(found) for found in members(path)], ".results.jsonl", (PACK,)),
    "yaml": Reader(lambda path: load_experiments([path]).select(["*"]), ".yaml", (YAML.encode(),)),
    "pickle": Reader(_show, ".pkl", tuple(pickle.dumps([CONFIG, STATS], protocol) for protocol in (4, 5))),
    "json": Reader(_show, ".json", (json_text({"config": CONFIG, "stats": STATS}).encode(),)),
    "idx": Reader(read_idx, "", (_IDX,)),
    "idx, compressed": Reader(read_idx, ".gz", (gzip.compress(_IDX, mtime=0),)),
    "npz": Reader(lambda path: load_npz("npz:x", path), ".npz", (_npz(np.savez), _npz(np.savez_compressed))),
}
