"""What the settings are, in words: allowed values, near matches, a commented file, tables for the documentation.

All of it is read from one JSON Schema, so that nothing that is said about a setting can drift from it.
"""

import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from abidance.kernel.config import WORDS
from abidance.run.sources import Key, shown

Node = Mapping[str, Any]

NONE = "none"
"""How a file switches a setting off: TOML has no word for nothing."""

_WIDTH = 118


class Reference:
    """The settings of a JSON Schema as a tree that can be asked; it is made when somebody does."""

    def __init__(self, schema: Callable[[], Node]) -> None:
        self._schema = schema

    @cached_property
    def _root(self) -> Node:
        return self._schema()

    @property
    def _definitions(self) -> Mapping[str, Node]:
        definitions: Mapping[str, Node] = self._root.get("$defs", {})
        return definitions

    def at(self, key: Key) -> Node | None:
        """Return what is known about a setting, or None when there is no such."""
        node: Node | None = self._root
        for part in key:
            node = next((child for child in self._children(node, part)), None)
            if node is None:
                return None
        return node

    def options(self, node: Node) -> list[Node]:
        """Return the alternatives of a setting, one schema each."""
        if "$ref" in node:
            return self.options(self._definitions[node["$ref"].rpartition("/")[2]])
        if "anyOf" in node:
            return [option for each in node["anyOf"] for option in self.options(each)]
        return [node]

    def kinds(self, node: Node) -> set[str]:
        """Return the JSON types that a setting may have."""
        return {str(option.get("type", "string")) for option in self.options(node)}

    def names(self, key: Key) -> list[str]:
        """Return the settings of a table."""
        node = self.at(key)
        return (
            [name for option in self.options(node) for name in option.get("properties", ())] if node else []
        )

    def is_open(self, node: Node) -> bool:
        """Say whether the names in this table are the user's own."""
        return any(isinstance(option.get("additionalProperties"), Mapping) for option in self.options(node))

    def allowed(self, node: Node) -> str:
        """Return in words what a setting may be."""
        return " or ".join(dict.fromkeys(self._phrase(option) for option in self.options(node)))

    def nearest(self, key: Key) -> str:
        """Return a sentence that leads from an unknown setting to a known one."""
        name = str(key[-1])
        known = self.names(key[:-1])
        if near := get_close_matches(name.lower().replace("-", "_"), known, 1, 0.7):
            return f"Did you mean {shown((*key[:-1], near[0]))}?"
        if elsewhere := [path for path, _ in self.walk() if path[-1] == name]:
            return f"Did you mean {' or '.join(map(shown, elsewhere))}?"
        return f"Known here: {', '.join(known)}." if known else "Leave it out."

    def walk(self) -> Iterator[tuple[Key, Node]]:
        """Yield every named setting with its schema; positions in lists are left out of its place."""
        yield from self._walk((), self._root)

    def _walk(self, at: Key, node: Node) -> Iterator[tuple[Key, Node]]:
        for option in self.options(node):
            for name, child in option.get("properties", {}).items():
                yield (*at, name), child
                yield from self._walk((*at, name), child)
            if "items" in option:
                yield from self._walk(at, option["items"])

    def _children(self, node: Node | None, part: str | int) -> Iterator[Node]:
        for option in self.options(node or {}):
            if isinstance(part, str) and part in option.get("properties", {}):
                yield option["properties"][part]
            elif isinstance(part, str) and isinstance(option.get("additionalProperties"), Mapping):
                yield option["additionalProperties"]
            elif isinstance(part, int) and "items" in option:
                yield option["items"]

    def _phrase(self, option: Node) -> str:
        if WORDS in option:
            return str(option[WORDS])
        if "const" in option:
            return json.dumps(option["const"])
        if "enum" in option:
            return "one of " + ", ".join(map(json.dumps, option["enum"]))
        match option.get("type"):
            case "null":
                return f'"{NONE}"'
            case "boolean":
                return "true or false"
            case "number":
                return "a number" + _bounds(option)
            case "integer":
                return "a whole number" + _bounds(option)
            case "array":
                return f"a list of {_plural(self.allowed(option['items']))}"
            case "object" if isinstance(option.get("additionalProperties"), Mapping):
                return f"a table of names, each with {self.allowed(option['additionalProperties'])}"
            case "object":
                return "a table"
        return "text"

    # --- what people read

    def tables(self) -> str:
        """Return Markdown that lists every setting with its type, default and meaning, one table per section."""
        return "\n".join(self._section("The run", "", self._root))

    def _section(self, title: str, heading: str, node: Node) -> Iterator[str]:
        (option,) = (each for each in self.options(node) if "properties" in each)
        yield f"### {title}\n"
        if heading:
            yield f"{heading}. {_line(option.get('description', ''))}\n"
        yield "| setting | type | default | meaning |"
        yield "|---|---|---|---|"
        inner = []
        for name, child in option["properties"].items():
            if found := self._table_in(child):
                inner.append((name, child, *found))
            yield self._row(name, child, name not in option.get("required", ()))
        yield ""
        for name, _, form, table in inner:
            path = f"{title}.{name}" if heading else name
            yield from self._section(path, form.format(path), table)

    def _table_in(self, node: Node) -> tuple[str, Node] | None:
        """Return how a setting's own table is written and its schema, if it has one that is not told elsewhere."""
        for option in self.options(node):
            if "properties" in option:
                return "Written as `[{}]`", node
            if option.get("type") == "array" and any(
                "properties" in each for each in self.options(option.get("items", {}))
            ):
                return "A list: each entry is written as `[[{}]]`", option["items"]
        return None

    def _row(self, name: str, node: Node, optional: bool) -> str:
        default = "required"
        if optional:
            value = node.get("default", {})
            default = (
                "see below" if isinstance(value, Mapping) and self._table_in(node) else f"`{toml(value)}`"
            )
        cells = (f"`{name}`", self.allowed(node), default, _line(node.get("description", "")))
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    def template(self, values: Mapping[str, Any], title: str) -> str:
        """Return a TOML file that gives `values`, each with its meaning as a comment."""
        lines = [*(f"# {line}" for line in title.splitlines()), "", *self._lines(values, ())]
        return "\n".join(lines) + "\n"

    def _lines(self, values: Mapping[str, Any], at: Key) -> Iterator[str]:
        tables: list[tuple[str, Any]] = []
        for name, value in values.items():
            node = self.at((*at, name)) or {}
            if self._table_in(node) and value:
                tables.append((name, value))
            else:
                yield from _commented(name, value, node)
        for name, value in tables:
            path = ".".join(str(part) for part in (*at, name) if isinstance(part, str))
            if isinstance(value, list):
                for number, entry in enumerate(value):
                    yield from ("", f"[[{path}]]", *self._lines(entry, (*at, name, number)))
                continue
            lines = list(self._lines(value, (*at, name)))
            if lines[0]:  # a table of nothing but tables needs no heading
                yield from ("", f"[{path}]")
            yield from lines


def toml(value: object) -> str:
    """Return a value as TOML writes it; None as `"none"`."""
    if value is None:
        return f'"{NONE}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_name(name)} = {toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return repr(value)


def _name(name: object) -> str:
    text = str(name)
    return text if text.isascii() and text.replace("_", "").replace("-", "").isalnum() else toml(text)


def _commented(name: str, value: object, node: Node) -> Iterator[str]:
    setting = f"{_name(name)} = {toml(value)}"
    if value in (None, "", {}, []) and value == node.get("default", value):
        setting = f"# {setting}"
    meaning = _line(node.get("description", ""))
    if len(setting) + len(meaning) + 4 <= _WIDTH:
        yield f"{setting}  # {meaning}" if meaning else setting
        return
    yield from textwrap.wrap(meaning, _WIDTH, initial_indent="# ", subsequent_indent="# ")
    yield setting


def _line(text: str) -> str:
    return " ".join(text.split())


def _plural(phrase: str) -> str:
    return {"text": "texts", "a table": "tables"}.get(phrase, phrase)


def _bounds(option: Node) -> str:
    words = {
        "exclusiveMinimum": "above",
        "minimum": "of at least",
        "exclusiveMaximum": "below",
        "maximum": "of at most",
    }
    found = [f"{word} {option[name]:g}" for name, word in words.items() if name in option]
    return f" {' and '.join(found)}" if found else ""
