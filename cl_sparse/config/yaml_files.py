"""Reading YAML as plain data, strictly: no tags, no repeated keys, and every fault in one line with its place."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from cl_sparse.config.wording import explain, shortened
from cl_sparse.errors import UserError

_MOST_DIGITS = 100
_MOST_KEYS = 100_000  # in one mapping, with what it takes from others by ``<<``


class _Loader(yaml.SafeLoader):
    """The safe loader; refuses tags and repeated keys and reads ``1e-4``, as YAML 1.2 does, as a number."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML is untyped
        tag = getattr(event, "tag", None)
        if tag is not None:
            problem = f"the tag {shortened(tag.replace('tag:yaml.org,2002:', '!!'))} is not allowed: plain data only"
            raise yaml.constructor.ConstructorError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag == "tag:yaml.org,2002:int" and len(node.value) > _MOST_DIGITS:
            problem = f"{shortened(node.value)}: a whole number has at most {_MOST_DIGITS} digits"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # e.g. the date 2024-13-45
            problem = f"{shortened(node.value)}: {error}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _MOST_KEYS:
            problem = f"takes more than {_MOST_KEYS} keys from other mappings"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    problem = f"{shortened(key.value)} is there twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def shown(path: Path) -> str:
    """Return the path as messages show it: relative to the working directory when it is below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping that is the file's content; its keys are text.

    Raises:
        UserError: if the file cannot be read, is no plain YAML, is empty, or holds something else.
    """
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{shown(path)}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{shown(path)}: is not text in UTF-8") from None
    except YamlError as error:
        line = f":{error.line}" if error.line else ""
        raise UserError(f"{shown(path)}{line}: {error}") from None
    if content is None:
        raise UserError(f"{shown(path)}: is empty: a mapping from experiment names to parameters is needed")
    if not isinstance(content, dict):
        raise UserError(f"{shown(path)}: {_not_a_mapping(content)} from experiment names to parameters is needed")
    for key in content:
        if not isinstance(key, str):
            raise UserError(f"{shown(path)}: the name {shortened(key)} is not text: put it in quotes")
    return content


class YamlError(Exception):
    """Text that is no plain YAML; ``line`` counts from 1, or is None where that is not known."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        """Say what is wrong, in one line."""
        super().__init__(problem)
        self.line = line


def parse(text: str) -> Any:
    """Return the plain data that ``text`` stands for.

    Raises:
        YamlError: if it is not YAML, or holds a tag or a repeated key.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader: builds plain data only
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(str(error.problem or error.context), mark.line + 1 if mark else None) from None
    except yaml.YAMLError as error:
        raise YamlError(" ".join(str(error).split())) from None
    except RecursionError:
        raise YamlError("is nested too deeply") from None


def _not_a_mapping(content: object) -> str:
    return explain({"type": "dict_type", "input": content}).removesuffix(" is needed")
