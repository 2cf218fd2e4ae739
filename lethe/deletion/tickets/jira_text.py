"""Jira's fields as plain text, so that a policy's expression reads them all alike.

What is text stays text. A document (Atlassian Document Format) becomes its lines, a selected
option its value, a list of options the list of their values. So `plain.customfield_10010` is the
data set, whether the field is a line, a paragraph or a drop-down.

Source: developer.atlassian.com, "Atlassian Document Format".
"""

from collections.abc import Mapping
from typing import Any

# Nodes with a line of their own.
_LINES = frozenset({"paragraph", "heading", "codeBlock", "tableRow", "rule", "blockCard"})
_INLINE = {"mention": "text", "emoji": "text", "status": "text", "date": "timestamp"}
_LINKS = frozenset({"inlineCard", "blockCard"})

Plain = str | list[str]


def plain_fields(fields: Mapping[str, Any]) -> dict[str, Plain]:
    """Every field that has a text, by its key."""
    return {key: text for key, value in fields.items() if (text := plain(value)) is not None}


def plain(value: Any) -> Plain | None:
    """The text of one field; None if it has none.

    >>> plain({"self": "https://example.org/10", "value": "data/digits", "id": "10"})
    'data/digits'
    >>> plain([{"value": "3"}, {"value": "5"}])
    ['3', '5']
    """
    if isinstance(value, list):
        texts = [text for item in value if isinstance(text := plain(item), str)]
        return texts or None
    if isinstance(value, Mapping):
        if value.get("type") == "doc":
            return document_text(value)
        value = value.get("value", value.get("name"))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def document_text(document: Mapping[str, Any]) -> str:
    """The lines of a document: one per paragraph, heading, list item, table row and line break."""
    parts: list[str] = []
    _collect(document, parts)
    lines = (line.strip() for line in "".join(parts).split("\n"))
    return "\n".join(line for line in lines if line)


def _collect(node: Any, parts: list[str]) -> None:
    """Append a node's text; the depth is limited by `lethe.deletion.tickets.json_body`."""
    if not isinstance(node, Mapping):
        return
    kind, attributes = _text(node.get("type")), node.get("attrs")
    attributes = attributes if isinstance(attributes, Mapping) else {}
    if kind == "text":
        parts.append(_text(node.get("text")))
    elif kind == "hardBreak":
        parts.append("\n")
    elif kind in _INLINE:
        parts.append(_text(attributes.get(_INLINE[kind])))
    elif kind in _LINKS:
        parts.append(_text(attributes.get("url")))
    content = node.get("content")
    for child in content if isinstance(content, list) else ():
        _collect(child, parts)
    if kind in {"tableCell", "tableHeader"}:
        _end_cell(parts)
    elif kind in _LINES:
        parts.append("\n")


def _end_cell(parts: list[str]) -> None:
    """A cell's paragraphs end with a tab, so that a row is one line."""
    while parts and parts[-1] == "\n":
        parts.pop()
    parts.append("\t")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
