"""What a result says about the code that made it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from cl_sparse.run import provenance


@pytest.fixture(autouse=True)
def asked_anew():
    """Forget what was found once for this process, before and after."""
    provenance.git_commit.cache_clear()
    yield
    provenance.git_commit.cache_clear()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of its own, which the module believes it lives in."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    for name in ("cl_sparse/run/provenance.py", "exps/a.yaml", "docs/results.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("old")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "cl_sparse" / "run" / "provenance.py"))
    return tmp_path


def test_a_clean_checkout_is_named_by_its_commit(checkout):
    commit = provenance.git_commit()
    head = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert len(commit) == 12
    assert head.stdout.startswith(commit)


@pytest.mark.parametrize("name", ["cl_sparse/run/provenance.py", "exps/a.yaml"])
def test_changed_code_and_settings_make_it_dirty(checkout, name):
    (checkout / name).write_text("new")
    assert provenance.git_commit().endswith("-dirty")


def test_documents_do_not(checkout):
    (checkout / "docs" / "results.md").write_text("new")
    assert not provenance.git_commit().endswith("-dirty")


def test_without_a_checkout_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "__file__", str(Path(tmp_path) / "cl_sparse" / "run" / "provenance.py"))
    assert provenance.git_commit() is None


def test_without_git_it_says_so(checkout, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert provenance.git_commit() is None
    assert "commit is not recorded" in capsys.readouterr().err
