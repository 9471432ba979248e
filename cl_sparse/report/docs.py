"""Keeps the generated parts of Markdown documents in step with the committed results.

A part stands between two comments and is rewritten whole:

    <!-- results:begin published -->
    <!-- results:end -->

The first names what to show, of all results or of experiments whose names' patterns follow, ``all Split* iCIFAR10*``:

- ``published``: ours beside published numbers, of a file that may follow in the patterns' place;
- ``tuned``: methods tuned alike, by the sweep whose file follows in their place;
- ``all``: every column of every experiment;
- ``figure``: accuracy over tasks;
- ``differences``: an experiment, named first, beside the others, seed by seed;
- ``sizes``, ``synapses``: live synapses and units, and a figure of them over tasks;
- ``compressed``: nets that learn their widths beside nets that begin with these;
- ``capacity``: what the capacity probe has measured;
- ``noise``: of the training loss, by epoch;
- ``against``: a figure; a quantity of :data:`cl_sparse.report.curves.QUANTITIES` comes first, a pattern is a line.
- ``study``: what follows is the file of a study and the name of one of its parts (:mod:`cl_sparse.report.study`).
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from cl_sparse.errors import UserError
from cl_sparse.report.capacity import capacity_table
from cl_sparse.report.compressed import compressed_table
from cl_sparse.report.curves import QUANTITIES, accuracy_against_png
from cl_sparse.report.differences import differences_table
from cl_sparse.report.epochs import over_epochs_png
from cl_sparse.report.figures import accuracy_over_tasks_png
from cl_sparse.report.images import images_png
from cl_sparse.report.maps import maps_png, points_png
from cl_sparse.report.noise import noise_table
from cl_sparse.report.published import load_published, published_table
from cl_sparse.report.rows import Result, rows_of, slim
from cl_sparse.report.sizes import sizes_table, synapses_over_tasks_png
from cl_sparse.report.study import chosen_of, load_part, study_table
from cl_sparse.report.table import markdown_table
from cl_sparse.report.tuned import tuned_table
from cl_sparse.results import file_name_of, find_results, json_text, load_complete_result, write_atomically

_BEGIN = re.compile(r"^<!-- results:begin(?P<words>[^\n]*?) -->[ \t]*$", re.MULTILINE)
_END = "<!-- results:end -->"


@dataclass(frozen=True)
class Sources:
    """What the generated parts are made of.

    Attributes:
        published_dir: committed results, as JSON.
        numbers: YAML file of published numbers.
        figures_dir: where figures are written.
    """

    published_dir: Path = Path("results/published")
    numbers: Path = Path("docs/published_numbers.yaml")
    figures_dir: Path = Path("docs/figures")


def render(document: Path, sources: Sources, *, draw: bool = False) -> str:
    """Return the document with its generated parts made anew.

    Args:
        document: a Markdown file.
        sources: what to make them of.
        draw: write the figures as well.

    Raises:
        UserError: the document or a source is absent or damaged, or a part is unknown or has no end.
    """
    text = _read(document)
    results = (
        [load_complete_result(path) for path in find_results(sources.published_dir)] if _BEGIN.search(text) else []
    )
    done, position = [], 0
    for begin in _BEGIN.finditer(text):
        end = text.find(_END, begin.end())
        following = _BEGIN.search(text, begin.end())
        if end < 0 or (following and following.start() < end):
            raise UserError(f"{document}: {begin[0].strip()} has no {_END} of its own")
        part = _part(begin["words"].split() or ["all"], results, document, sources, draw)
        done += [text[position : begin.end()], "\n", part]
        position = end
    return "".join(done) + text[position:]


def update(document: Path, sources: Sources) -> bool:
    """Rewrite a document's generated parts and draw its figures; return whether its text changed.

    Raises:
        UserError: as :func:`render`; or the document cannot be written.
    """
    text = render(document, sources, draw=True)
    if text == _read(document):
        return False
    try:
        write_atomically(document, text.encode())
    except OSError as error:
        raise UserError(f"{document}: cannot be written ({error.strerror})") from error
    return True


def is_current(document: Path, sources: Sources) -> bool:
    """Whether a document's generated parts are what :func:`update` would write, and its figures exist.

    Raises:
        UserError: as :func:`render`.
    """
    text = _read(document)
    drawn = re.findall(r"^!\[[^\]]*\]\(([^)]+\.png)\)$", text, re.MULTILINE)
    return text == render(document, sources) and all((document.parent / figure).is_file() for figure in drawn)


def publish(path: Path, published_dir: Path) -> Path:
    """Copy a result as JSON, without its per-unit arrays, to where the documents take their numbers from.

    Args:
        path: a ``.pkl`` or ``.json`` of :func:`cl_sparse.results.save_result`; it keeps its name.
        published_dir: created where absent.

    Raises:
        UserError: the result cannot be read, or the copy cannot be written.
    """
    config, stats = load_complete_result(path)
    target = published_dir / f"{path.stem}.json"
    try:
        published_dir.mkdir(parents=True, exist_ok=True)
        write_atomically(target, json_text({"config": config, "stats": slim(stats)}).encode())
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})") from error
    return target


def _part(words: list[str], results: list[Result], document: Path, sources: Sources, draw: bool) -> str:
    kind, *patterns = words
    chosen = _named(results, patterns) if patterns else results
    parts: dict[str, Callable[[], str]] = {
        "published": lambda: _published(patterns, results, sources),
        "tuned": lambda: tuned_table(results, Path(patterns[0] if patterns else "")),
        "all": lambda: markdown_table(rows_of(chosen)),
        "capacity": lambda: capacity_table(chosen),
        "noise": lambda: noise_table(chosen),
        "compressed": lambda: compressed_table(chosen),
        "sizes": lambda: sizes_table(chosen),
        "differences": lambda: differences_table(_named(results, patterns), patterns[0] if patterns else ""),
        "figure": lambda: _over_tasks(patterns, chosen, document, sources, draw),
        "synapses": lambda: _synapses(patterns, chosen, document, sources, draw),
        "study": lambda: _study(patterns, results, document, sources, draw),
        "against": lambda: _against(patterns, results, document, sources, draw),
    }
    if kind not in parts:
        raise UserError(f"{document}: results:begin {kind}: unknown part: use {', '.join(parts)}")
    return parts[kind]()


def _published(files: list[str], results: list[Result], sources: Sources) -> str:
    return published_table(results, load_published(Path(files[0]) if files else sources.numbers))


def _named(results: list[Result], patterns: list[str]) -> list[Result]:
    return [result for result in results if any(fnmatchcase(result[0]["name"], pattern) for pattern in patterns)]


def _over_tasks(patterns: list[str], chosen: list[Result], document: Path, sources: Sources, draw: bool) -> str:
    if not chosen:
        return ""
    path = _figure_path(patterns or ["all"], sources)
    if draw:
        path.parent.mkdir(parents=True, exist_ok=True)
        accuracy_over_tasks_png(chosen, path)
    return _link("Mean accuracy on the tasks so far", path, document)


def _synapses(patterns: list[str], chosen: list[Result], document: Path, sources: Sources, draw: bool) -> str:
    path = _figure_path(["synapses", *(patterns or ["all"])], sources)
    if draw:
        path.parent.mkdir(parents=True, exist_ok=True)
        synapses_over_tasks_png(chosen, path)
    return _link("Live synapses after each task", path, document)


def _against(words: list[str], results: list[Result], document: Path, sources: Sources, draw: bool) -> str:
    name, *patterns = words or [""]
    if name not in QUANTITIES or not patterns:
        known = " or ".join(QUANTITIES)
        raise UserError(f"{document}: results:begin against: goes on with {known}, then patterns of experiments")
    path = _figure_path(words, sources)
    families = {pattern.strip("*_"): _named(results, [pattern]) for pattern in patterns}
    if draw:
        path.parent.mkdir(parents=True, exist_ok=True)
        accuracy_against_png(families, QUANTITIES[name], path)
    return _link(f"Accuracy against {name}", path, document)


def _study(words: list[str], results: list[Result], document: Path, sources: Sources, draw: bool) -> str:
    if len(words) != 2:
        raise UserError(f"{document}: results:begin study: goes on with a file and the name of one of its parts")
    file, name = Path(words[0]), words[1]
    part = load_part(file, name)
    drawn = [
        (part.lines is not None, over_epochs_png, "over epochs"),
        (part.images is not None, images_png, "of each pixel"),
        (part.points is not None, points_png, "of each run"),
        (part.drawn, maps_png, "as a heat map"),
    ]
    of_part = [(draw_png, title) for asked, draw_png, title in drawn if asked]
    if not of_part:
        return study_table(results, part)
    if not chosen_of(results, part):
        return ""
    path = _figure_path([file.stem, name], sources)
    draw_png, title = of_part[0]
    if draw:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_png(results, part, path)
    return _link(f"{', '.join(part.numbers)} {title}", path, document)


def _figure_path(words: list[str], sources: Sources) -> Path:
    return sources.figures_dir / f"{file_name_of('_'.join(word.strip('*') for word in words))}.png"


def _link(title: str, path: Path, document: Path) -> str:
    return f"![{title}]({Path(os.path.relpath(path, document.parent)).as_posix()})\n"


def _read(document: Path) -> str:
    try:
        return document.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{document}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{document}: not UTF-8 text") from error
