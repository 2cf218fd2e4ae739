"""The body of an issue that was opened through an issue form.

GitHub writes what was filled in as markdown, per field a heading of the third level with the
field's label and the value below it, and `_No response_` for a field left empty:

    ### Data set

    data/digits

    ### Classes

    - [X] 3
    - [ ] 5

`read_form` makes of it `{"data_set": "data/digits", "classes": ["3"]}`. Whoever opens the issue
can write anything into it, so nothing is guessed. Of a heading that comes twice the value is
`{"repeated": true}`, which no field of a request can be: to read it as left empty could widen what
is asked for. Headings inside a code block are text.
"""

import re

_CHECKBOX = re.compile(r"- \[([ xX])\] ?(.*)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_NO_RESPONSE = "_No response_"

Value = str | list[str] | dict[str, bool]


def read_form(body: str) -> dict[str, Value]:
    """Label to value; a list of what was ticked for checkboxes. Fields left empty are not in it.

    Takes time in proportion to the length of the body, whatever is in it.
    """
    lines = body.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    code = _code(lines)
    sections: dict[str, list[str]] = {}
    twice: set[str] = set()
    key = ""
    for number, line in enumerate(lines):
        if number in code or not line.startswith("### "):
            sections.setdefault(key, []).append(line)
            continue
        key = _key(line)
        if key in sections:
            twice.add(key)
        sections[key] = []
    form: dict[str, Value] = {
        key: value
        for key, section in sections.items()
        if key and (value := _value(section)) is not None
    }
    return form | {key: {"repeated": True} for key in twice if key}


def _key(line: str) -> str:
    """A label in lower case with underscores, so that JMESPath needs no quotes around it."""
    return re.sub(r"\W+", "_", line.strip("# ").lower()).strip("_")


def _code(lines: list[str]) -> set[int]:
    """Numbers of the lines of closed code blocks, fences included."""
    inside: set[int] = set()
    start, fence = 0, ""
    for number, line in enumerate(lines):
        found = _FENCE.match(line)
        if found is None:
            continue
        if not fence:
            start, fence = number, found[1]
        elif found[1].startswith(fence) and not found[2].strip():
            inside.update(range(start, number + 1))
            fence = ""
    return inside


def _value(lines: list[str]) -> str | list[str] | None:
    text = "\n".join(lines).strip()
    if text in {"", _NO_RESPONSE}:
        return None
    written = [line.strip() for line in text.split("\n") if line.strip()]
    boxes = [box for line in written if (box := _CHECKBOX.fullmatch(line))]
    if len(boxes) == len(written):
        return [box[2].strip() for box in boxes if box[1] != " "]
    fence = _FENCE.match(written[0])
    # A field with `render` comes as a code block; the text is what is in it.
    if fence and len(written) > 1 and written[-1] == fence[1]:
        return text.split("\n", 1)[1].rsplit("\n", 1)[0].strip() or None
    return text
