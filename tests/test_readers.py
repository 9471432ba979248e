"""Whatever is in a file, its reader returns, or refuses in one line that begins with the file's name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_sparse.errors import UserError
from tests.readers import READERS, SWEEP, Reader


def complaint(reader: Reader, path, data: bytes) -> str:
    """Return what the reader says of a file that holds ``data``, or nothing where it reads it."""
    path.write_bytes(data)
    try:
        reader.read(path)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", READERS)
def test_the_examples_are_read(name: str, tmp_path) -> None:
    for data in READERS[name].examples:
        assert complaint(READERS[name], tmp_path / f"file{READERS[name].suffix}", data) == ""


@st.composite
def damaged(draw, examples: tuple[bytes, ...]) -> bytes:
    """Draw any bytes, or an example in which pieces are replaced, repeated or left out."""
    data = draw(st.sampled_from([b"", *examples]))
    for _ in range(draw(st.integers(1, 3))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
        piece = draw(st.one_of(st.binary(max_size=40), st.just(data[start:end] * 2), st.sampled_from(_PIECES)))
        data = data[:start] + piece + data[draw(st.sampled_from([start, end])) :]
    return data


_PIECES = [b"1e999", b"9" * 5000, b"[" * 3000, b"*base", b"!!int", b"\xff\xff\xff\x7f", b"-1", b"null", b"nan", b"{}"]


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60)
@given(draw=st.data())
def test_any_file_is_read_or_refused_in_one_line(name: str, tmp_path_factory, draw) -> None:
    reader = READERS[name]
    path = tmp_path_factory.getbasetemp() / f"file{reader.suffix}"
    line = complaint(reader, path, draw.draw(damaged(reader.examples)))
    assert line == "" or line.startswith((str(path), "--name: unknown experiment"))
    assert "\n" not in line


def test_what_a_file_puts_into_a_message_stays_on_its_line(tmp_path) -> None:
    for key in ("a\\nb", "a\\rb", "a\\u2028b", "\\e[2J", "a\\tb"):
        data = SWEEP.encode() + f'"{key}": 1\n'.encode()
        line = complaint(READERS["sweep"], tmp_path / "s.yaml", data)
        assert line.startswith(f"{tmp_path / 's.yaml'}: ")
        assert line.isprintable()
