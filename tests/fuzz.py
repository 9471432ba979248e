"""Look for a file that a reader neither reads nor refuses, guided by which of its branches a file reaches.

    pip install atheris
    python -m tests.fuzz yaml 600    # a reader's name, see tests.readers, and seconds

Ends at the first such file, which it leaves in the working folder: give it to tests/test_readers.py as an example.
"""

import sys
import tempfile
from pathlib import Path

import atheris

ROOMS = ["cl_sparse.config", "cl_sparse.results", "cl_sparse.report", "cl_sparse.data", "cl_sparse.sweep"]
LIBRARIES = ["yaml", "pickle", "pickletools", "json", "zipfile", "gzip"]

with atheris.instrument_imports(include=[*ROOMS, *LIBRARIES]):
    from tests.readers import READERS
    from tests.test_readers import complaint


def main(name: str, seconds: str) -> None:
    """Feed one reader for some seconds."""
    reader = READERS[name]
    folder = Path(tempfile.mkdtemp())
    (folder / "corpus").mkdir()
    for i, data in enumerate(reader.examples):
        (folder / "corpus" / str(i)).write_bytes(data)
    path = folder / f"file{reader.suffix}"

    def feed(data: bytes) -> None:
        try:
            line = complaint(reader, path, data)
            assert "\n" not in line, line
            assert line == "" or line.startswith((str(path), "--name: unknown experiment")), line
        except BaseException:
            Path(f"found_{name}").write_bytes(data)
            raise

    limits = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=5", "-rss_limit_mb=2048", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *limits, "-print_final_stats=1", str(folder / "corpus")], feed)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
