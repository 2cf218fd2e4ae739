"""Which version came from which: read from a real registry, and drawn."""

import json
import re
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lethe.errors import ModelError, SettingsError
from model_registry import tags
from model_registry.lineage_picture import PER_BAND, _places, draw, write
from model_registry.lineage_tree import (
    BY_OTHERS,
    Node,
    as_recorded,
    children,
    generations,
    line,
    tree,
)
from model_registry.version import VersionRef

DAY = datetime(2026, 11, 21, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db")


@pytest.fixture
def model(client, request):
    """Registers versions of a model of the test's own: name, and a function that adds one."""
    name = re.sub(r"\W+", "-", request.node.name)[:80]
    client.create_registered_model(name)

    def add(parent=None, classes=(), **more):
        found = {tags.ORIGIN: "trained" if parent is None else "unlearned"} | more
        if parent is not None:
            found |= {tags.PARENT: f"{name}/{parent}", tags.VERDICT: "suppressed"}
        if classes:
            found |= {tags.FORGET_KIND: "class", tags.FORGOTTEN: json.dumps(classes)}
        return int(client.create_model_version(name, "/nowhere", tags=found).version)

    return name, add


def node(version, above=None, **changes):
    """A version as `tree` gives it; unlearned if it has a parent."""
    made = {
        "version": version,
        "parent": None if above is None else f"digits/{above}",
        "above": above,
        "forgot": "" if above is None else f"class {version}",
        "verdict": "" if above is None else "suppressed",
        "origin": "trained" if above is None else "unlearned",
        "aliases": (),
        "superseded_by": "",
        "created": DAY,
    }
    return Node(**(made | changes))


def words(nodes, path):
    """The texts of a picture, as its SVG file holds them."""
    write(draw("digits", nodes), path)
    return ["".join(one.itertext()).strip() for one in ET.parse(path).iter(f"{SVG}text")]  # noqa: S314


def test_siblings_stand_beside_each_other(client, model):
    name, add = model
    first = add()
    made = [add(first, [str(label)]) for label in range(3)]
    client.set_registered_model_alias(name, "champion", str(made[1]))
    client.set_registered_model_alias(name, "blue", str(made[1]))
    client.set_model_version_tag(name, str(first), tags.SUPERSEDED_BY, f"{name}/{made[1]}")
    root, *rest = tree(client, name)
    assert (root.version, root.above, root.forgot, root.standing) == (first, None, "", "trained")
    assert root.superseded_by == f"{name}/{made[1]}"
    assert [one.version for one in rest] == made
    assert {one.above for one in rest} == {first}
    assert [one.forgot for one in rest] == ["class 0", "class 1", "class 2"]
    assert [one.aliases for one in rest] == [(), ("blue", "champion"), ()]
    assert all(one.verdict == one.standing == "suppressed" for one in rest)
    assert abs((datetime.now(UTC) - root.created).total_seconds()) < 300
    assert children([root, *rest], first) == rest


def test_a_chain_of_twelve_is_one_line(client, model):
    name, add = model
    made = [add()]
    for label in range(11):
        made.append(add(made[-1], [str(label)]))
    nodes = tree(client, name)
    assert [one.version for one in nodes] == made
    assert [one.above for one in nodes] == [None, *made[:-1]]
    assert list(generations(nodes).values()) == list(range(12))


def test_a_version_keeps_what_it_forgot_when_its_parent_is_deleted(client, model, tmp_path):
    name, add = model
    middle = add(add(), ["a"])
    last = add(middle, ["b", "c"])
    client.delete_model_version(name, str(middle))
    nodes = tree(client, name)
    assert [one.version for one in nodes] == [1, last]
    assert nodes[1].above is None
    assert nodes[1].lost_parent == f"{name}/{middle}"
    assert nodes[1].forgot == "classes b, c"
    shown = " ".join(words(nodes, tmp_path / "lost.svg"))
    assert "gone" in shown
    assert "classes b, c" in shown


def test_a_version_that_lethe_did_not_make_is_shown_as_such(client, model):
    name, _ = model
    client.create_model_version(name, "/nowhere")
    (only,) = tree(client, name)
    assert (only.standing, only.parent, only.forgot) == (BY_OTHERS, None, "")


def test_rows_are_counted_and_persons_not_named(client, model):
    name, add = model
    first = add()
    for kind, rows in (("subject", "4321"), ("samples", "1"), ("samples", "")):
        add(first, **{tags.FORGET_KIND: kind, tags.FORGET_ROWS: rows})
    found = [one.forgot for one in tree(client, name)[1:]]
    assert found == ["4,321 rows of persons", "1 row", "samples"]


def test_a_circle_of_tags_is_cut(client, model):
    name, add = model
    add(2, ["a"])
    add(1, ["b"])
    nodes = tree(client, name)
    assert [(one.version, one.above) for one in nodes] == [(1, None), (2, 1)]
    assert nodes[0].lost_parent == f"{name}/2"


def test_a_parent_of_another_model_is_named(client, model):
    name, add = model
    add()
    add(**{tags.PARENT: "other/1", tags.ORIGIN: "adopted"})
    adopted = tree(client, name)[1]
    assert (adopted.above, adopted.lost_parent, adopted.standing) == (None, "other/1", "adopted")


def test_an_unknown_model_is_refused_with_the_next_command(client):
    with pytest.raises(ModelError, match=r"no registered model 'absent'.*lethe model list"):
        tree(client, "absent")
    with pytest.raises(ModelError, match="cannot name a registered model"):
        tree(client, "a' OR name LIKE '%")


def test_the_picture_says_everything_in_words(tmp_path):
    nodes = [
        node(1, superseded_by="digits/2"),
        node(2, 1, aliases=("champion",)),
        node(3, 1, verdict="retrained", forgot="a word too long to stand on any arrow" * 3),
    ]
    shown = words(nodes, tmp_path / "all.svg")
    assert "digits: 3 versions, 2 made by forgetting" in shown
    for word in (
        "version 1",
        "superseded by 2",
        "forgot class 2",
        "suppressed",
        "champion",
        "retrained",
    ):
        assert word in shown
    assert shown.count("2026-11-21") == 2
    assert not [one for one in shown if len(one) > 60]


def test_superseded_versions_are_faint_unless_they_serve(tmp_path):
    def opacities(nodes):
        write(draw("digits", nodes), tmp_path / "faint.svg")
        return (tmp_path / "faint.svg").read_text(encoding="utf-8").count("opacity: 0.55")

    assert opacities([node(1)]) == 0
    assert opacities([node(1, superseded_by="digits/2")]) > 0
    assert opacities([node(1, superseded_by="digits/2", aliases=("champion",))]) == 0


def test_a_line_goes_on_below_and_says_from_where(tmp_path):
    chain = [node(1), *(node(number, number - 1) for number in range(2, 13))]
    shown = words(chain, tmp_path / "chain.svg")
    assert [one for one in shown if one.startswith("from ")] == ["from version 4", "from version 8"]
    assert draw("digits", chain).get_size_inches()[0] < 14


def test_the_same_figure_gives_the_same_file(tmp_path):
    for ending in (".png", ".svg"):
        files = [tmp_path / f"{place}{ending}" for place in "ab"]
        titles = {write(draw("digits", [node(1), node(2, 1)]), file) for file in files}
        assert titles == {"digits: 2 versions, 1 made by forgetting"}
        assert files[0].read_bytes() == files[1].read_bytes()


def test_as_recorded_a_version_has_its_verdict_and_its_parent_is_superseded():
    nodes = [
        node(1),
        node(2, 1, aliases=("champion",)),
        node(3, 2, verdict=""),
        node(4, 2, superseded_by="digits/9"),
    ]
    found = as_recorded(nodes, VersionRef("digits", 3), "suppressed")
    assert [(one.verdict, one.superseded_by, one.aliases) for one in found] == [
        ("", "", ()),
        ("suppressed", "digits/3", ()),
        ("suppressed", "", ()),
        ("suppressed", "digits/9", ()),
    ]
    # A first version has no parent; nobody else is changed for it.
    (alone,) = as_recorded([node(1)], VersionRef("digits", 1), "suppressed")
    assert (alone.verdict, alone.superseded_by) == ("suppressed", "")


def test_a_line_leaves_siblings_out_and_says_where_it_begins(tmp_path):
    chain = [node(1), *(node(number, number - 1) for number in range(2, 31)), node(31, 2)]
    assert [one.version for one in line(chain, 30, 99)] == list(range(1, 31))
    last = line(chain, 30, 3)
    assert [one.version for one in last] == [28, 29, 30]
    assert list(generations(last).values()) == [0, 1, 2]
    shown = words(last, tmp_path / "line.svg")
    assert "digits: the last 3 versions up to version 30" in shown
    assert "from version 27" in shown
    assert not [one for one in shown if "gone" in one]


def test_the_new_version_is_marked_as_such(tmp_path):
    nodes = [node(1), node(2, 1)]
    assert "new" not in words(nodes, tmp_path / "old.svg")
    write(draw("digits", nodes, new=2), tmp_path / "new.svg")
    assert (tmp_path / "new.svg").read_text(encoding="utf-8").count(">new<") == 1


def test_a_model_without_versions_is_drawn_too(tmp_path):
    assert "No version is registered." in words([], tmp_path / "none.svg")


def test_a_name_that_is_no_picture_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"\.png or \.svg"):
        write(draw("digits", [node(1)]), tmp_path / "picture.pdf")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 39)), min_size=1, max_size=40))
def test_no_two_boxes_share_a_place(parents):
    nodes = [
        node(version, None if parent is None or version == 1 else parent % (version - 1) + 1)
        for version, parent in enumerate(parents, 1)
    ]
    places, columns, height = _places(nodes)
    assert set(places) == {one.version for one in nodes}
    assert len(set(places.values())) == len(nodes)
    assert columns <= PER_BAND
    assert all(0 < y < height for _, y in places.values())
    for one in nodes:
        if one.above is not None and places[one.version][0] > 0:
            assert places[one.above][0] < places[one.version][0]
            assert places[one.above][1] <= places[one.version][1]
