# ruff: noqa: INP001 (a script, not a package)
"""Write the parts of the documentation that follow from the code.

    python docs/generate.py

Each part stands between two comments, `<!-- generated: NAME -->` and `<!-- end: NAME -->`; what
stands around them is written by hand. tests/unit/test_docs.py fails when a part is out of date.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

from cli.main import app
from lethe import errors
from lethe.audit.statement import PREDICATE_TYPE, Statement
from lethe.errors import LetheError
from lethe.settings import PREFIX, Settings, leaves

DOCS = Path(__file__).parent
SCHEMA = DOCS / "statement.schema.json"
PART = re.compile(
    r"(?P<head><!-- generated: (?P<name>[\w-]+) -->\n).*?(?P<foot><!-- end: (?P=name) -->)",
    re.DOTALL,
)


def commands(group: Any = None, words: tuple[str, ...] = ("lethe",)) -> Iterator[tuple[str, Any]]:
    """Every command with its full name, such as `lethe data import npz`, in the order of --help."""
    group = typer.main.get_command(app) if group is None else group
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


def example(command: Any) -> str | None:
    """The command line after `Example:` in a command's help."""
    found = re.search(r"^\s*Example: (.+)$", command.help or "", re.MULTILINE)
    return found[1] if found else None


def exit_codes() -> str:
    """Exit codes: what the command, its parser and every kind of error end with."""
    kinds: dict[int, list[type[LetheError]]] = {}
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, LetheError):
            kinds.setdefault(kind.exit_code, []).append(kind)
    rows = [["0", "Done, or done before.", ""]]
    for code, found in sorted(kinds.items()):
        ordered = sorted(found, key=lambda kind: len(kind.__mro__))
        meaning = " ".join(inspect.getdoc(kind) or "" for kind in ordered)
        meaning = "Anything else." if LetheError in found else meaning
        meaning += " Also: the command line itself is wrong." if code == 2 else ""
        rows.append([str(code), meaning, ", ".join(f"`{kind.__name__}`" for kind in ordered)])
    return _table(["code", "meaning", "error"], rows)


def settings() -> str:
    """Every setting with its default, its name in the environment and what it means."""
    rows = [
        [f"`{name}`", _default(name), f"`{variable(name)}`", _sentence(meaning)]
        for name, meaning in leaves(Settings)
    ]
    return _table(["setting", "default", "environment", "meaning"], rows)


def variable(setting: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + setting.replace(".", "__").upper()


def reference() -> str:
    """Every command: what it does, its arguments and options, an example."""
    return "\n".join(_command(name, command) for name, command in commands())


PARTS: dict[str, Callable[[], str]] = {
    "exit-codes": exit_codes,
    "settings": settings,
    "commands": reference,
}


def render(text: str) -> str:
    """A page with its generated parts as they follow from the code."""
    return PART.sub(lambda part: part["head"] + PARTS[part["name"]]() + part["foot"], text)


def pages() -> list[Path]:
    """Pages with a generated part."""
    return [page for page in sorted(DOCS.rglob("*.md")) if PART.search(page.read_text("utf-8"))]


def _command(name: str, command: Any) -> str:
    text = inspect.cleandoc(command.help or "")
    words = re.sub(r"\n*Example: .+$", "", text, flags=re.MULTILINE).strip()
    rows = [[f"`{_written(one)}`", _explained(one)] for one in command.params if one.name != "help"]
    table = "\n" + _table(["argument or option", "meaning"], rows) if rows else ""
    return f"### {name}\n\n{words}\n\n    {example(command)}\n{table}"


def _written(one: Any) -> str:
    if one.param_type_name == "argument":
        return str(one.name).upper()
    return " / ".join((*one.opts, *one.secondary_opts))


def _explained(one: Any) -> str:
    text = str(one.help)
    if one.required:
        return f"{text} Required."
    if one.default in (None, False, ()) or "default:" in text:
        return text
    return f"{text} Default: `{one.default}`."


def _default(setting: str) -> str:
    value: Any = Settings
    for part in setting.split("."):
        fields = (value if inspect.isclass(value) else type(value)).model_fields
        value = fields[part].get_default(call_default_factory=True)
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{json.dumps(value)}`"
    return f"`{value}`"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def statement_schema() -> str:
    """JSON Schema (2020-12) of the statement, as its canonical bytes are written."""
    made = Statement.model_json_schema(by_alias=True, mode="serialization")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": PREDICATE_TYPE}
    _readable(made)
    return json.dumps(head | made, indent=1, ensure_ascii=False) + "\n"


def _readable(schema: Any) -> None:
    """Whole numbers beyond 2**53 are written as text."""
    for definition in schema["$defs"].values():
        for field in definition.get("properties", {}).values():
            if field.get("type") == "integer" and field.get("title") == "Seed":
                field["type"] = ["integer", "string"]
                field["pattern"] = "^-?[0-9]+$"


def main() -> None:
    """Bring every generated part up to date."""
    for page in pages():
        page.write_text(render(page.read_text("utf-8")), "utf-8")
    SCHEMA.write_text(statement_schema(), "utf-8")


if __name__ == "__main__":
    main()
