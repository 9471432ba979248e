"""Experiments by name: reading `exps/*.yaml`, inheritance, groups, and what the user overrides.

A file maps names to experiments or groups:

    MLP_1LayerSparse:              # an experiment: parameters of `cl_sparse.config.ExperimentConfig`, and
        inherits: MLP_1Layer       #   another experiment, of any file, whose parameters it starts from
        sparsify: true
    compare_mlps:                  # a group: several experiments to compare
        description: ...
        group: [MLP_1Layer, MLP_1LayerSparse]      # names or shell patterns
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from cl_sparse.config.model import ExperimentConfig, build_config
from cl_sparse.config.registry import unknown_name
from cl_sparse.config.wording import explain, near, shortened
from cl_sparse.config.yaml_files import YamlError, parse, read_mapping, shown
from cl_sparse.errors import UserError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")  # names become parts of file names, on any file system
_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Entry:
    """An experiment or a group, as its file has it.

    Attributes:
        file: where it is from, as messages show it.
        parameters: an experiment's own parameters, unchecked; empty for a group.
        inherits: the experiment it starts from.
        members: a group's experiments, as names or patterns; None for an experiment.
    """

    name: str
    file: str
    description: str
    parameters: Mapping[str, Any]
    inherits: str | None = None
    members: tuple[str, ...] | None = None

    @property
    def place(self) -> str:
        """What a message about the entry starts with."""
        return f"{self.file}: {self.name}"


@dataclass(frozen=True)
class Selection:
    """Experiments to compare with each other: a group, or what else the user named."""

    title: str
    configs: tuple[ExperimentConfig, ...]


class Catalogue:
    """All experiments and groups, by name."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        """Hold ``entries``, name → entry; parents and members are looked up in it."""
        self._entries = dict(entries)

    @property
    def groups(self) -> list[Entry]:
        """The groups, in the files' order."""
        return [entry for entry in self._entries.values() if entry.members is not None]

    @property
    def experiments(self) -> list[Entry]:
        """The experiments, in the files' order."""
        return [entry for entry in self._entries.values() if entry.members is None]

    def config(
        self,
        name: str,
        overrides: Mapping[str, object] | None = None,
        places: Mapping[str, str] | None = None,
    ) -> ExperimentConfig:
        """Return the checked configuration of one experiment.

        Args:
            name: the experiment's exact name.
            overrides: parameters that win over the files' (``--set``); the key of a plugin's argument,
                ``plugins.NAME.ARGUMENT``, changes that argument (with ``.KEY`` behind it an entry of one that is a
                mapping), or adds the plugin with it, and ``stream.ARGUMENT`` an argument of the benchmark's own.
            places: override → what a message about it starts with; default: ``--set KEY``.

        Raises:
            UserError: if there is no such experiment, or something in it, in its parents or in the overrides is wrong.
        """
        entry = self._experiment(name)
        lineage = self._lineage(entry)
        overrides = overrides or {}
        merged: dict[str, object] = {}
        where = {"": entry.place}
        for ancestor in reversed(lineage):
            merged |= ancestor.parameters
            where |= {key: f"{ancestor.place}.{key}" for key in ancestor.parameters}
        where |= {key: _said(key, places) for key in overrides}
        arguments = {key: value for key, value in overrides.items() if key.startswith("plugins.")}
        where |= {
            ".".join(key.split(".")[:3]): where[key] for key in arguments
        }  # an entry's whole argument may be at fault
        of_stream = {key: value for key, value in overrides.items() if key.startswith("stream.")}
        merged |= {key: value for key, value in overrides.items() if key not in {**arguments, **of_stream}}
        stream = merged.get("stream", {})
        if of_stream and isinstance(stream, dict):
            merged["stream"] = stream | {key.removeprefix("stream."): value for key, value in of_stream.items()}
        if arguments:
            merged["plugins"] = _with_arguments(merged.get("plugins", []), arguments, places)
        return build_config(name, {**merged, "description": overrides.get("description", entry.description)}, where)

    def select(
        self, patterns: Sequence[str], overrides: Mapping[str, object] | None = None, option: str = "--name"
    ) -> list[Selection]:
        """Return what the user named: one selection per group, and one for all single experiments.

        A pattern stands for all groups and experiments it matches; an experiment of a chosen group is not repeated
        among the single ones.

        Args:
            patterns: names or shell patterns.
            overrides: parameters that win over the files', in every experiment.
            option: what a message about a pattern starts with.

        Raises:
            UserError: for a name or pattern that matches nothing (with near names), or an experiment with a fault.
        """
        names = list(dict.fromkeys(name for pattern in patterns for name in self._matches(pattern, option)))
        chosen = {name: self._members(self._entries[name]) for name in names if self._is_group(name)}
        grouped = {member for members in chosen.values() for member in members}
        singles = [name for name in names if not self._is_group(name) and name not in grouped]
        if singles:
            chosen[singles[0] if len(singles) == 1 else "+".join(patterns)] = singles
        configs = {name: self.config(name, overrides) for members in chosen.values() for name in members}
        return [Selection(title, tuple(configs[name] for name in members)) for title, members in chosen.items()]

    def _is_group(self, name: str) -> bool:
        return self._entries[name].members is not None

    def _matches(self, pattern: str, option: str) -> list[str]:
        if pattern in self._entries:
            return [pattern]
        names = [name for name in self._entries if fnmatchcase(name, pattern)] if _PATTERN.search(pattern) else []
        if not names:
            raise UserError(f"{option}: unknown experiment {pattern!r}{_nearest(pattern, self._entries)}")
        return names

    def _members(self, group: Entry) -> list[str]:
        experiments = [entry.name for entry in self.experiments]
        members: dict[str, None] = {}
        for pattern in group.members or ():
            names = [name for name in experiments if name == pattern or fnmatchcase(name, pattern)]
            if not names:
                raise UserError(f"{group.place}.group: unknown experiment {pattern!r}{_nearest(pattern, experiments)}")
            members |= dict.fromkeys(names)
        return list(members)

    def _experiment(self, name: str) -> Entry:
        entry = self._entries.get(name)
        if entry is None or entry.members is not None:
            known = [experiment.name for experiment in self.experiments]
            raise UserError(f"unknown experiment {name!r}{_nearest(name, known)}")
        return entry

    def _lineage(self, entry: Entry) -> list[Entry]:
        """Return the entry, its parent, its parent's parent, ..."""
        lineage = [entry]
        while (parent_name := lineage[-1].inherits) is not None:
            place = f"{lineage[-1].place}.inherits"
            parent = self._entries.get(parent_name)
            if parent is None:
                known = [experiment.name for experiment in self.experiments]
                raise UserError(f"{place}: unknown experiment {parent_name!r}{_nearest(parent_name, known)}")
            if parent.members is not None:
                raise UserError(f"{place}: {parent_name!r} is a group: only experiments can be inherited from")
            if parent in lineage:
                circle = " -> ".join(e.name for e in [*lineage[lineage.index(parent) :], parent])
                raise UserError(f"{place}: goes in a circle: {circle}")
            lineage.append(parent)
        return lineage


def _said(key: str, places: Mapping[str, str] | None) -> str:
    return (places or {}).get(key, f"--set {key}")


def _with_arguments(plugins: object, arguments: Mapping[str, object], places: Mapping[str, str] | None) -> object:
    """Return the list of plugins with some arguments set, keyed ``plugins.NAME.ARGUMENT``.

    ``plugins.NAME.ARGUMENT.KEY`` sets one entry of an argument that is a mapping, and leaves the others.
    """
    if not isinstance(plugins, list) or not all(isinstance(plugin, dict) for plugin in plugins):
        return plugins  # a fault that is found where all others are
    changed: list[dict[str, object]] = [dict(plugin) for plugin in plugins]
    for key, value in arguments.items():
        name, _, argument = key.removeprefix("plugins.").partition(".")
        problem = unknown_name("plugin", name)
        if problem:
            raise UserError(f"{_said(key, places)}: {problem}")
        if not argument:
            raise UserError(f"{_said(key, places)}: plugins.{name}.ARGUMENT=VALUE is needed")
        if argument == "name":
            raise UserError(f"{_said(key, places)}: is no argument: the plugin's name, {name}, stands in the key")
        plugin = next((plugin for plugin in changed if plugin.get("name") == name), None)
        if plugin is None:
            plugin = {"name": name}
            changed.append(plugin)
        argument, _, entry = argument.partition(".")
        if entry:
            known = plugin.get(argument)
            value = {**(known if isinstance(known, dict) else {}), entry: value}
        plugin[argument] = value
    return changed


def _nearest(name: str, known: Iterable[str]) -> str:
    return near(name, known) or " (all of them: --list)"


def experiment_folders() -> list[Path]:
    """Return the folders experiments come from: the ones that came with the package, then ``./exps``, which wins."""
    package = Path(__file__).resolve().parent.parent
    shipped = next((folder for folder in (package / "exps", package.parent / "exps") if folder.is_dir()), None)
    local = Path("exps").resolve()
    folders = [shipped] if shipped is not None else []
    if local.is_dir() and local not in folders:
        folders.append(local)
    return folders


def load_experiments(paths: Sequence[Path] | None = None) -> Catalogue:
    """Return all experiments and groups of some folders or files.

    Args:
        paths: YAML files, or folders whose ``*.yaml`` are read; a later path's names win over an earlier one's.
            Default: `experiment_folders`.

    Raises:
        UserError: if there are none, a file cannot be read or is not what it should be, or two files of one folder use
            the same name.
    """
    entries: dict[str, Entry] = {}
    for path in experiment_folders() if paths is None else paths:
        entries |= _read(sorted(path.glob("*.yaml")) if path.is_dir() else [path])
    if not entries:
        if paths:
            raise UserError(f"{shown(paths[0])}: holds no experiments")
        raise UserError("no experiments: neither the package nor ./exps holds any *.yaml")
    return Catalogue(entries)


def parse_overrides(settings: Iterable[str], option: str = "--set") -> dict[str, object]:
    """Return ``key=value`` texts, given to ``option``, as a mapping; each value is read as in a file.

    Raises:
        UserError: if a text has no ``=``, a key is there twice, or a value is no YAML.
    """
    overrides: dict[str, object] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise UserError(f"{option} {setting}: KEY=VALUE is needed, for example lr=0.05")
        if key.strip() in overrides:
            raise UserError(f"{option} {key}: is there twice: give it one value")
        try:
            overrides[key.strip()] = parse(text)
        except YamlError as error:
            raise UserError(f"{option} {key}: {shortened(text)}: {error}") from None
    return overrides


def _read(files: Iterable[Path]) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for file in files:
        for name, content in read_mapping(file).items():
            entry = _entry(name, content, shown(file))
            if name in entries:
                first = entries[name].file
                raise UserError(f"{entry.place}: there is one of that name in {first} already: rename one of the two")
            entries[name] = entry
    return entries


def _entry(name: str, content: object, file: str) -> Entry:
    place = f"{file}: {name}"
    if not _NAME.fullmatch(name):
        raise UserError(f"{place}: a name has up to 100 letters, digits and . _ + -, and starts with a letter or digit")
    if not isinstance(content, dict):
        raise UserError(f"{place}: {explain({'type': 'dict_type', 'input': content})}")
    for key in content:
        if not isinstance(key, str):
            raise UserError(f"{place}: the key {shortened(key)} is not text")
    parameters = dict(content)
    texts = {key: parameters.pop(key, None) for key in ("description", "inherits")}
    for key, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise UserError(f"{place}.{key}: {explain({'type': 'string_type', 'input': value})}")
    description = " ".join((texts["description"] or "").split())
    if "group" not in content:
        return Entry(name, file, description, parameters, inherits=texts["inherits"])
    group = content["group"]
    if not isinstance(group, list) or not group or not all(isinstance(member, str) for member in group):
        raise UserError(f"{place}.group: a list of experiments, as names or patterns, is needed")
    for key in content:
        if key not in ("group", "description"):
            raise UserError(f"{place}.{key}: a group has only group and description")
    return Entry(name, file, description, {}, members=tuple(group))
