"""``python -m cl_sparse.report README.md docs/results.md``: rewrite the generated parts of documents, or check them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cl_sparse.errors import UserError
from cl_sparse.report.docs import Sources, is_current, publish, update


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 1 for a stale document under ``--check``, 2 for bad input."""
    default = Sources()
    parser = argparse.ArgumentParser(prog="python -m cl_sparse.report", description=__doc__)
    parser.add_argument("documents", nargs="*", type=Path, metavar="DOCUMENT", help="Markdown files")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a document is stale")
    parser.add_argument(
        "--publish", nargs="+", type=Path, default=[], metavar="RESULT", help="first copy these results to --published"
    )
    parser.add_argument("--published", type=Path, default=default.published_dir, help="committed results (%(default)s)")
    parser.add_argument("--numbers", type=Path, default=default.numbers, help="published numbers (%(default)s)")
    parser.add_argument("--figures", type=Path, default=default.figures_dir, help="folder of figures (%(default)s)")
    given = parser.parse_args(arguments)
    sources = Sources(given.published, given.numbers, given.figures)
    try:
        for path in given.publish:
            print(publish(path, sources.published_dir))
        if given.check:
            stale = [document for document in given.documents if not is_current(document, sources)]
            for document in stale:
                print(f"{document} is stale: run python -m cl_sparse.report {document}", file=sys.stderr)
            return 1 if stale else 0
        for document in given.documents:
            print(f"{document}: {'rewritten' if update(document, sources) else 'current'}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
