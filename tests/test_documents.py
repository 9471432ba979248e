"""What the documents show is generated, and what they tell a reader to type works."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cl_sparse.config.experiments import load_experiments
from cl_sparse.report.__main__ import main as report
from cl_sparse.sweep.protocol import methods_of
from cl_sparse.sweep.search import search_of
from cl_sparse.sweep.spec import load_sweep

ROOT = Path(__file__).resolve().parent.parent


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_generated_parts_are_current(monkeypatch):
    monkeypatch.chdir(ROOT)
    pages = ["README.md", "docs/results.md", "docs/fixed_codes.md", *map(str, Path("docs/studies").glob("*.md"))]
    assert report([*pages, "--check"]) == 0


def test_the_avalanche_script_runs(tmp_path):
    script = next(block for block in blocks("python") if "avalanche" in block)
    path = tmp_path / "script.py"
    path.write_text(script)
    done = subprocess.run(
        [sys.executable, path], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300, env=_environment()
    )
    assert done.returncode == 0, done.stderr
    assert "Top1_Acc_Exp/eval_phase/test_stream" in done.stdout


def test_the_plain_loop_runs():
    script = next(block for block in blocks("python") if "Ledger" in block)
    exec(compile(script, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("page", ["dynamic_connectivity", "fixed_codes", "growth", "network_size"])
def test_the_script_of_a_page_runs(page):
    for script in _shown(page, "python"):
        exec(compile(script, f"{page}.md", "exec"), {"__name__": page})


@pytest.mark.parametrize(
    ("page", "names"), [("network_size", ["growing"]), ("dynamic_connectivity", ["evolving", "boltzmann"])]
)
def test_the_experiments_of_a_page_are_valid(page, names, tmp_path, monkeypatch):
    (tmp_path / "exps").mkdir()
    (tmp_path / "exps" / "mine.yaml").write_text("\n".join(_shown(page, "yaml")))
    monkeypatch.chdir(tmp_path)
    found = load_experiments().select(names, {})
    assert [config.name for selection in found for config in selection.configs] == names


def test_the_experiments_it_shows_are_valid(tmp_path, monkeypatch):
    (yaml,) = blocks("yaml")
    (tmp_path / "exps").mkdir()
    (tmp_path / "exps" / "mine.yaml").write_text(yaml)
    monkeypatch.chdir(tmp_path)
    (selection,) = load_experiments().select(["my_comparison"], {})
    assert [config.name for config in selection.configs] == ["split_mnist_sparse", "my_sparse"]


def test_the_sweep_it_shows_is_valid(tmp_path, monkeypatch):
    (yaml,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "sweeps.md").read_text(), re.DOTALL)
    (tmp_path / "shown.yaml").write_text(yaml)
    monkeypatch.chdir(tmp_path)
    sweep = load_sweep(Path("shown.yaml"))
    conditional = {
        method.name: any("percent_on_fc" in point for point in iter(search_of(sweep, method.name, method.at).ask, None))
        for method in methods_of(sweep, load_experiments())
    }
    assert [*conditional.values()] == [False, True, False]


def test_every_experiment_it_names_exists():
    texts = [(ROOT / "README.md").read_text(), (ROOT / "docs" / "fixed_codes.md").read_text()]
    catalogue = load_experiments()
    for names in re.findall(r"run_exps\.py --name ('[^']+'|[\w ]+)", " ".join(texts)):
        assert catalogue.select([names.strip("'")] if "'" in names else names.split(), {})


def _shown(page, language):
    found = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / f"{page}.md").read_text(), re.DOTALL)
    assert found
    return found


def _environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}
