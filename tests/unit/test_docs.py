"""The documentation says what the code does."""

import importlib.util
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import typer
import yaml
from typer.exceptions import TyperException

from cli.main import app
from lethe import errors
from lethe.audit import predicate
from lethe.deletion.states import MOVES, State
from lethe.settings import Settings, leaves, origins
from model_registry import tags
from tasks import report, train

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "infra" / "README.md",
    *sorted(DOCS.rglob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
MAX_PICTURE_BYTES = 150_000


def _load_generator():
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = _load_generator()
COMMANDS = dict(generate.commands())


def read(page):
    return page.read_text(encoding="utf-8")


def name_of(page):
    return str(page.relative_to(ROOT))


def code_lines(text):
    """Lines of indented and shell blocks, and code inside sentences; not Python, TOML or output."""
    prose = FENCE.sub(lambda block: block[2] if block[1] in {"sh", "bash"} else "", text)
    yield from re.findall(r"^(?: {4}|\t)\s*(.+)$", prose, re.MULTILINE)
    yield from re.findall(r"`([^`\n]+)`", prose)


def lethe_lines():
    """Every `lethe ...` command line of the documentation, with the page it stands on."""
    for page in PAGES:
        for line in code_lines(read(page)):
            for part in re.split(r"\s(?:&&|\|)\s|;|^if ! ", line):
                found = re.match(r"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(lethe [a-z-].*)", part.strip())
                if found:
                    yield name_of(page), re.sub(r"\s+(?:#|>).*$", "", found[1])


def make_targets():
    return set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.MULTILINE))


def anchors(page):
    """Addresses of a page's headings as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", FENCE.sub("", read(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def resolve(words):
    """The command that a line means, and the rest of the line.

    A line may stop at a group, or name alternatives as in `lethe data import|list|show`.
    """
    command = typer.main.get_command(app)
    rest = words[1:]
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        alternatives = rest[0].split("|")
        unknown = set(alternatives) - set(command.commands)
        assert not unknown, f"no such command: {unknown}"
        if len(alternatives) > 1:
            return command, []
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


@pytest.mark.parametrize("page", generate.pages(), ids=name_of)
def test_generated_parts_are_up_to_date(page):
    assert generate.render(read(page)) == read(page), "run: python docs/generate.py"


def test_the_published_schema_is_that_of_the_statement():
    written = generate.SCHEMA.read_text("utf-8")
    assert generate.statement_schema() == written, "run: python docs/generate.py"


def test_every_part_that_can_be_generated_stands_on_a_page():
    found = {
        part["name"] for page in generate.pages() for part in generate.PART.finditer(read(page))
    }
    assert found == set(generate.PARTS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_explained_with_an_example(name):
    command = COMMANDS[name]
    section = read(DOCS / "cli.md").split(f"### {name}\n", 1)[1].split("\n### ", 1)[0]
    line = generate.example(command)
    assert line is not None, f"{name} --help has no line 'Example: ...'"
    assert line in section
    assert resolve(shlex.split(line[line.index("lethe ") :]))[0] is not None
    for option in command.params:
        assert option.help, f"{name}: {option.name} has no help text"
        assert all(flag in section for flag in option.opts if flag.startswith("-"))
        assert option.help in section


def test_every_setting_is_listed_with_its_default_and_variable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no lethe.toml
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.*) \|$", read(DOCS / "settings.md"), re.MULTILINE))
    assert set(rows) == {name for name, _ in leaves(Settings)}
    for name, value, source in origins(Settings()):
        assert source == "default"
        default, variable, meaning = rows[name].split(" | ", 2)
        assert variable == f"`LETHE_{name.replace('.', '__').upper()}`"
        assert meaning
        shown = "" if value is None else f"`{value}`"
        if isinstance(value, bool):
            shown = shown.lower()
        if isinstance(value, tuple):
            assert all(f'"{item}"' in default for item in value)
        else:
            assert default == shown


def test_every_exit_code_is_explained():
    table = generate.exit_codes()
    assert table in read(DOCS / "cli.md")
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {k.exit_code for k in kinds if issubclass(k, errors.LetheError)}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == codes | {0}


def test_tags_and_artifacts_are_listed_and_nothing_else():
    text = read(DOCS / "lineage.md")
    known = {value for name, value in vars(tags).items() if name.isupper()}
    names = {value for value in known if value.startswith(tags.PREFIX) and value != tags.PREFIX}
    assert set(re.findall(r"^\| `(lethe\.\w+)` \|", text, re.MULTILINE)) == names
    for artifact in (
        tags.REPORT_FILE,
        tags.STATEMENT_FILE,
        tags.EVALUATION_FILE,
        tags.LINEAGE_FILE,
        tags.LADDER_FILE,
        tags.SEARCH_FILE,
    ):
        assert f"| `{artifact}` |" in text
    assert f"| `{tags.PLOTS_FOLDER}/` |" in text


def test_metrics_are_listed():
    text = read(DOCS / "lineage.md")
    assert {train.ACCURACY, train.SECONDS} <= set(re.findall(r"`([\w/]+)`", text))
    assert all(f"`{tags.SECONDS}{name}`" in text for name in ("probe", "edit", "evaluation"))
    source = "".join(map(read, sorted((ROOT / "tasks").glob("*.py"))))
    prefixes = set(re.findall(r'\{f"(\w+)/\{k\}": ', source))
    assert prefixes == {"edit", "train"}, "a new family of metrics: list it in docs/lineage.md"
    assert all(f"`{prefix}/" in text for prefix in prefixes)


def test_pictures_of_the_report_are_listed():
    drawn = set(
        re.findall(r'^\s+"(\w+)": \(|drawn\["(\w+)"\]', read(Path(report.__file__)), re.MULTILINE)
    )
    assert drawn
    for name in {one or other for one, other in drawn}:
        assert f"`{name}.png`" in read(DOCS / "lineage.md")


def test_every_state_and_every_move_is_on_the_page_of_requests():
    text = read(DOCS / "requests.md")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*)\|$", text, re.MULTILINE)
    said = {state: re.findall(r"`(\w+)`", cell) for state, cell in rows}
    assert len(rows) == len(State)
    assert {state: sorted(to) for state, to in said.items()} == {
        state.value: sorted(MOVES[state]) for state in State
    }


def test_the_picture_of_states_shows_moves_that_there_are():
    picture = re.search(r"```mermaid\n(.*?)```", read(DOCS / "requests.md"), re.DOTALL)[1]
    drawn = re.findall(r"^    (\w+) --> (\w+)$", picture, re.MULTILINE)
    assert len(drawn) == len(set(drawn)) == picture.count("-->") - 1  # one leads in
    assert {(a, b) for a, b in drawn if State(b) not in MOVES[State(a)]} == set()
    assert {State(name) for pair in drawn for name in pair} == set(State) - {
        State.CANCELLED,  # from nearly everywhere
        State.ERASING,
    }


def test_every_deployment_is_on_the_page_of_requests():
    text = read(DOCS / "requests.md")
    deployments = yaml.safe_load(read(ROOT / "prefect.yaml"))["deployments"]
    assert deployments
    for one in deployments:
        file, _, function = one["entrypoint"].partition(":")
        flow = re.search(rf'@flow\(name="([\w-]+)"[^\n]*\)\ndef {function}\(', read(ROOT / file))
        assert f"| `{flow[1]}/{one['name']}` |" in text


def test_numbers_on_the_page_of_requests_are_those_of_the_code():
    text = " ".join(read(DOCS / "requests.md").split())
    for number, file, written in (
        ("max_batches: int = 64", "flows/deletion_requests.py", "A run stops after 64 batches"),
        ("MAX_ATTEMPTS = 5", "flows/carry_out.py", "taken up five times"),
        ("RENEWALS_PER_LEASE = 4", "tasks/lease.py", "renews the lease four times"),
    ):
        assert number in read(ROOT / file)
        assert written in text


def test_the_fields_of_a_request_in_the_statement_are_listed():
    text = read(DOCS / "lineage.md").split("## The statement", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (`[^|]+`) \|", text, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(predicate.Request.model_fields)


def test_every_page_is_linked_from_the_first_one():
    linked = {
        (DOCS / target).resolve()
        for target in re.findall(r"\]\(([^)#\s]+)\)", read(DOCS / "README.md"))
        if not re.match(r"[a-z]+:", target)
    }
    assert {page.resolve() for page in DOCS.rglob("*.md")} - {DOCS / "README.md"} <= linked


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = FENCE.sub("", read(page))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in anchors(file), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_targets_exist(page):
    named = {m for line in code_lines(read(page)) for m in re.findall(r"^make ([a-z-]+)", line)}
    assert named <= make_targets()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_named_in_code_exist(page):
    roots = "cli|flows|tasks|model_registry|lethe|tests|benchmarks|docs"
    for line in code_lines(read(page)):
        for path in re.findall(rf"^((?:{roots})/[\w/.-]+\.(?:py|md|html|json))\b", line):
            assert "NAME" in path or (ROOT / path).is_file(), f"{path} does not exist"


def test_the_architecture_page_names_functions_where_they_are():
    text = " ".join(read(DOCS / "architecture.md").split())
    pairs = re.findall(r"`([\w/]+\.py)`, ((?:`[\w.]+`(?:,? (?:and|then) )?)+)", text)
    assert len(pairs) > 15
    for file, names in pairs:
        for name in re.findall(r"`([\w.]+)`", names):
            last = name.rpartition(".")[2]
            assert re.search(rf"^\s*(?:def |class )?{last}\b", read(ROOT / file), re.MULTILINE), (
                f"{name} is not in {file}"
            )


@pytest.mark.parametrize(("page", "line"), sorted(set(lethe_lines())))
def test_command_lines_parse(page, line):
    command, rest = resolve(shlex.split(line))
    if hasattr(command, "commands"):
        assert set(rest) <= {"--help", "--version"}
        return
    if "--help" in rest or (not rest and any(p.required for p in command.params)):
        return  # a command only mentioned by name
    command.make_context(line, rest)


def test_there_are_command_lines_to_parse():
    """Or the pattern above has stopped to find them."""
    lines = {line for _, line in lethe_lines()}
    assert len(lines) > 25
    assert "lethe unlearn --request REQUEST_ID" in lines
    assert "lethe data import npz wine.npz --name wine" in lines


@pytest.mark.parametrize("line", ["lethe unlern x", "lethe model show x --nope", "lethe data nope"])
def test_a_wrong_command_line_would_be_noticed(line):
    with pytest.raises((AssertionError, TyperException)):
        test_command_lines_parse("", line)


def test_pictures_are_small_and_described():
    for picture in (DOCS / "images").iterdir():
        assert picture.stat().st_size < MAX_PICTURE_BYTES
    svg = ET.parse(DOCS / "images" / "architecture.svg").getroot()  # noqa: S314 (our own)
    space = "{http://www.w3.org/2000/svg}"
    labels = svg.get("aria-labelledby").split()
    assert [svg.find(f"{space}{kind}").get("id") for kind in ("title", "desc")] == labels
    for page in PAGES:
        assert "![](" not in read(page), "a picture without a description"


def test_nothing_of_this_machine_is_named():
    for page in PAGES:
        assert not re.search(r"(?<![\w.])/(?:work|root|home)/", read(page))
