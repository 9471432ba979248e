import gzip
import os
import tracemalloc
from pathlib import Path

import pytest
import torch

from cl_sparse.data.idx import read_idx
from cl_sparse.errors import UserError


def idx(values: torch.Tensor) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return header + values.to(torch.uint8).numpy().tobytes()


VALUES = torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4)


def test_plain_and_compressed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(idx(VALUES))
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx(VALUES)))
    assert torch.equal(read_idx(tmp_path / "a"), VALUES)
    assert torch.equal(read_idx(tmp_path / "a.gz"), VALUES)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty", b"", "not an IDX file"),
        ("text", b"<html>not found</html>", "not an IDX file"),
        ("floats", bytes([0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0]), "not an IDX file of unsigned bytes"),
        ("header", idx(VALUES)[:9], "not an IDX file"),
        ("short", idx(VALUES)[:-1], "holds 23 bytes where its header promises 24"),
        ("long", idx(VALUES) + b"x", "holds more than 24 bytes where its header promises 24"),
        ("short.gz", gzip.compress(idx(VALUES), mtime=0)[:-9], "cannot be read"),
        ("text.gz", b"plain", "cannot be read"),
        ("flipped.gz", gzip.compress(idx(VALUES), mtime=0)[:12] + b"\xff" * 30, "not an IDX file|cannot be read"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_absent_and_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_idx(tmp_path / "nothing")
    path = tmp_path / "locked"
    path.write_bytes(idx(VALUES))
    path.chmod(0)
    if os.geteuid() != 0:  # root reads everything
        with pytest.raises(UserError, match="cannot be read"):
            read_idx(path)


@pytest.mark.parametrize("shape", [(0,), (2, 0, 4), (2**31, 2**31), (600_000_000,)])
def test_a_header_that_promises_nothing_or_far_too_much(tmp_path: Path, shape: tuple[int, ...]) -> None:
    header = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
    (tmp_path / "a.gz").write_bytes(gzip.compress(header))
    with pytest.raises(UserError, match=r"a\.gz: its header promises .* values, where 1 to "):
        read_idx(tmp_path / "a.gz")


def test_no_more_is_read_than_the_header_promises(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx(VALUES) + bytes(50_000_000)))
    tracemalloc.start()
    with pytest.raises(UserError, match="holds more than 24 bytes"):
        read_idx(tmp_path / "a.gz")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5_000_000
