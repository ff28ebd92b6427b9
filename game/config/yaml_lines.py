"""Values changed in the text of a YAML file of which every other character stays: comments, order, entries unknown."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

Keys = tuple[str, ...]
"""They lead to an entry, from the outermost on."""
_VALUE = r'(?:"(?:[^"\\\r\n]|\\.)*"|[-+.\w]+|\[\])'


def by_words(read: Callable[..., Any], text: str | bytes) -> Any:
    """What `read`, yaml.load or yaml.compose, makes of a text, with every word as text. Raises yaml.YAMLError."""
    try:
        return read(text, Loader=yaml.CBaseLoader)  # in a tenth of the time
    except (AttributeError, yaml.YAMLError):  # there is no libyaml, or a half of a character, which it refuses
        return read(text, Loader=yaml.BaseLoader)


def with_value(text: str, keys: Keys, value: str) -> str:
    """`text` with another value at `keys`, which is added where it is not there, with those above it.

    value: all that follows the colon, the space before it or a line's end too. An entry that is only there as a
    comment, `# name: value`, gives its place to it. Raises ValueError where the text is not made of mappings in lines
    down to that entry, yaml.YAMLError where it is no YAML.
    """
    here, known = by_words(yaml.compose, text), 0
    name: Any = None
    while here is not None and known < len(keys):
        if not isinstance(here, yaml.MappingNode) or here.flow_style:
            raise ValueError(f"{'.'.join(keys)} does not stand in lines")
        found = [pair for pair in here.value if pair[0].value == keys[known]]
        if not found:
            break
        (name, here), known = found[-1], known + 1
    newline = "\r\n" if "\r\n" in text else "\n"
    if known == len(keys):
        colon = text.index(":", name.end_mark.index) + 1
        indented = value.replace("\n", newline + " " * name.start_mark.column)
        return text[:colon] + indented + text[max(colon, _end(here)) :]
    if len(keys) == 1 and (told := _as_comment(keys[0]).search(text)):
        return f"{text[: told.start()]}{keys[0]}:{value.replace(chr(10), newline)}{text[told.end() :]}"
    column, at = (0, len(text)) if here is None else (here.start_mark.column, _line_end(text, _end(here)))
    indents = [newline + " " * (column + 2 * i) for i in range(len(keys) - known)]
    lines = [f"{indent}{key}:" for indent, key in zip(indents, keys[known:], strict=True)]
    added = "".join(lines) + value.replace("\n", indents[-1])
    if not text[:at] or text[:at].endswith("\n"):
        added = added.removeprefix(newline)
    return text[:at] + added + (text[at:] or newline)


def _as_comment(name: str) -> re.Pattern[str]:
    """An entry, and the list below it, as a comment."""
    return re.compile(rf"^# ?{re.escape(name)}:(?: {_VALUE})?(?:\r?\n# +- {_VALUE})*(?=\r?$)", re.MULTILINE)


def _end(node: yaml.Node) -> int:
    """Where a node's last character is: marks of what stands in lines include what follows it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(node, yaml.MappingNode) else last)
    return node.end_mark.index


def _line_end(text: str, at: int) -> int:
    found = re.compile(r"\r?\n|$").search(text, at)
    return found.start() if found else len(text)
