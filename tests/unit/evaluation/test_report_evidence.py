"""What the report shows of hidden layers, membership, landing and calibration."""

import re
from itertools import product

import pytest
from feature_levels import ERASED, REMEMBERING, UNCLEAR
from reports import Page, a_request, content, write_statement

from lethe.evaluation.drawing import save
from lethe.evaluation.evidence import attack_words
from lethe.evaluation.feature_plots import relearn_curves
from lethe.evaluation.gates import GateThresholds
from lethe.evaluation.landing import Distribution, Flow, Gap, Landing
from lethe.evaluation.membership import Membership
from lethe.evaluation.report import Picture, render_report
from lethe.evaluation.results import MembershipSides
from lethe.evaluation.verdict import Verdict, decide


def inside(evaluation, features):
    return evaluation.model_copy(update={"features": features})


def read(evaluation, **changes) -> Page:
    page = Page(render_report(content(evaluation, **changes)))
    page.text = page.text.replace("\N{NO-BREAK SPACE}", " ")
    assert page.open == []
    return page


def section(page: Page, title: str, end: str) -> str:
    return re.sub(r"\s+", " ", page.text.split(f"\n{title}\n", 1)[1].split(f"\n{end}\n", 1)[0])


def attacked(auc, low=None, high=None, **changes) -> Membership:
    given = {"members": 50, "non_members": 200, "tpr_at_01_percent": None}
    given |= {"auc": auc, "low": low or auc, "high": high or auc}
    return Membership(**given | {"tpr_at_1_percent": 0.04, "advantage": 0.1} | changes)


def test_suppressed_says_whether_hidden_layers_were_measured(evaluation):
    found = {
        name: read(inside(evaluation, features)).text.split("Before and after")[0]
        for name, features in (
            ("unmeasured", None),
            ("unclear", UNCLEAR),
            ("remembers", REMEMBERING),
        )
    }
    assert "Whether it still knows it inside was not measured" in found["unmeasured"]
    assert "could not show whether it still knows it inside" in found["unclear"]
    assert "Inside it still knows it: its hidden layers were measured" in found["remembers"]
    for name, words in found.items():
        assert "o not call it erased" in words
        assert ("not measured" in words) == (name == "unmeasured")


def test_erased_is_said_of_answers_and_hidden_layers(evaluation):
    report = content(inside(evaluation, ERASED))
    assert report.decision.verdict is Verdict.ERASED
    opening = Page(render_report(report)).text.split("Before and after")[0]
    assert "do not hold it either" in opening
    assert "do not call" not in opening.lower()
    assert "2 of 2" in opening


def test_each_reading_shows_where_it_stands_and_its_limit(evaluation):
    page = read(inside(evaluation, REMEMBERING))
    text = section(page, "Hidden layers", "Gates")
    assert "0.33 within the limit of 0.50" in text
    assert "0.83 above the limit of 0.50" in text
    assert "0.50 within the limit of 0.80" in text
    assert "cannot tell parent and fresh network are hardly apart" in text
    assert "2 of 3 readings that can tell are within the limit. 1 of 4 cannot tell." in text
    assert text.count("needs no retained data") == 1
    assert "There is no retrained network, so 0 is where one with fresh weights stands" in text
    assert "Readings whose limit is 0.80 show only whether layers moved" in text
    assert "Retrained" not in text
    pairs = zip(page.all("circle"), page.all("line"), strict=True)
    dots = [(dot["cx"], line["x1"]) for dot, line in pairs]
    assert dots[:3] == [("33.3%", "50.0%"), ("83.3%", "50.0%"), ("50.0%", "80.0%")]
    assert page.all("svg")[0]["aria-label"].startswith(
        "Position 0.33 from 0, fresh network, to 1, parent"
    )


def test_a_position_beyond_the_ends_is_drawn_at_the_end_and_written_out(evaluation):
    page = read(inside(evaluation, ERASED))
    assert "\N{MINUS SIGN}0.60 within" in section(page, "Hidden layers", "Gates")
    assert [dot["cx"] for dot in page.all("circle")][:2] == ["20.0%", "0.0%"]
    assert "Retrained" in section(page, "Hidden layers", "Gates")


def test_the_limit_is_the_one_that_was_set(evaluation):
    strict = GateThresholds(max_feature_position=0.25)
    page = read(inside(evaluation, REMEMBERING), thresholds=strict)
    assert "0.33 above the limit of 0.25" in section(page, "Hidden layers", "Gates")
    assert page.all("line")[0]["x1"] == "25.0%"


def test_hidden_layers_that_were_not_measured_are_said_to_be_unknown(evaluation):
    page = read(evaluation)
    text = section(page, "Hidden layers", "Gates")
    assert "Not measured. The model may still hold inside" in text
    assert "cannot tell" not in text
    assert "within the limit not measured" in re.sub(r"\s+", " ", page.text)


def test_pictures_of_hidden_layers_stand_with_their_readings(evaluation, tmp_path):
    path = tmp_path / "relearn.png"
    alt = save(relearn_curves(REMEMBERING), path)
    picture = Picture(name="relearn_curves", path=path, alt=alt)
    page = read(inside(evaluation, REMEMBERING), pictures=(picture,))
    assert [image["alt"] for image in page.all("img")] == [alt]
    assert "learned again from a few" in section(page, "Hidden layers", "Gates")
    assert "Pictures" not in page.text


@pytest.mark.parametrize(
    ("after", "reference", "words"),
    [
        ((0.52, 0.48, 0.56), None, "the target is 0.50, chance. It lies within the interval"),
        ((0.70, 0.65, 0.75), None, "It is 0.20 above: forgotten training rows still stand out"),
        ((0.30, 0.25, 0.35), None, "It is 0.20 below: the rows were pushed too far"),
        ((0.52, 0.50, 0.54), 0.6, "the target is 0.60, the retrained network's. It is 0.08 below"),
    ],
)
def test_the_membership_attack_is_held_to_its_target_and_not_to_the_minimum(
    evaluation, after, reference, words
):
    sides = MembershipSides(
        before=attacked(0.8, 0.7, 0.9),
        after=attacked(*after),
        reference=None if reference is None else attacked(reference),
    )
    page = read(evaluation.model_copy(update={"membership": sides}))
    text = section(page, "Membership", "Where the forgotten rows go")
    assert words in text
    assert "0.80 (0.70 to 0.90)" in text
    assert "4.0 %" in text
    assert "50 and 200" in text
    assert "not the lowest value" in text
    assert ("There is no retrained network" in text) == (reference is None)


def test_an_attack_that_could_not_be_made_is_said():
    sides = MembershipSides(before=attacked(0.6), after=None)
    assert "could not be made" in attack_words(sides, "This version")


def test_membership_says_when_rows_are_too_few(evaluation):
    sides = MembershipSides(before=None, after=attacked(0.5, tpr_at_1_percent=None))
    text = read(evaluation.model_copy(update={"membership": sides})).text
    assert "too few rows" in text
    none = read(evaluation.model_copy(update={"membership": None}))
    assert "Not measured: there are too few" in section(
        none, "Membership", "Where the forgotten rows go"
    )


LANDING = Landing(
    count=40,
    classes=("a", "b", "<i>c</i>"),
    successor=Distribution(
        shares=(0.9, 0.1, 0.0),
        probabilities=(0.8, 0.15, 0.05),
        largest=(Flow(label="a", share=0.9, probability=0.8),),
    ),
)
REFERENCE = Distribution(
    shares=(0.2, 0.1, 0.7),
    probabilities=(0.25, 0.15, 0.6),
    largest=(Flow(label="<i>c</i>", share=0.7, probability=0.6),),
)
GAP = Gap(total_variation=0.55, jensen_shannon=0.46, row_variation=0.61, answers=0.7)


def test_where_rows_go_is_shown_beside_a_retrained_network(evaluation):
    landing = LANDING.model_copy(update={"reference": REFERENCE, "gap": GAP})
    page = read(evaluation.model_copy(update={"landing": landing}))
    text = section(page, "Where the forgotten rows go", "Classes")
    # The largest of either network; b is nobody's.
    assert "a90.0 % (80.0 %)20.0 % (25.0 %) <i>c</i>0.0 % (5.0 %)70.0 % (60.0 %)" in text
    assert "0.55 between" in text
    assert "0.61 row by row" in text
    assert "i" not in [tag for tag, _ in page.tags]


def test_where_rows_go_says_what_there_is_not(evaluation):
    alone = read(evaluation.model_copy(update={"landing": LANDING}))
    words = section(alone, "Where the forgotten rows go", "Classes")
    assert "There is no retrained network" in words
    assert "Retrained" not in words
    none = read(evaluation.model_copy(update={"landing": None}))
    assert "no held-out rows of the forgotten classes" in none.text


def test_calibration_stands_beside_drift(evaluation):
    text = section(read(evaluation), "Drift of everything else", "What this shows")
    for side in (evaluation.calibration.before, evaluation.calibration.after):
        assert f"{side.ece:.3f}{side.brier:.3f}" in text
    bare = evaluation.model_copy(update={"calibration": None})
    assert "Calibration was not measured" in read(bare).text


def rows_request(evaluation, **changes):
    """The same figures, as if people and not a class had been forgotten."""
    sides = MembershipSides(before=attacked(0.9, 0.85, 0.95), after=attacked(0.54))
    return evaluation.model_copy(
        update={"forgotten": (), "landing": None, "membership": sides, **changes}
    )


def about_people(evaluation) -> dict[str, object]:
    plain = write_statement(evaluation, decide(evaluation, GateThresholds())).predicate
    data = plain.data.model_copy(update={"kind": "subject", "classes": ()})
    return {"data": data, "requests": (a_request(kind="subject"),)}


@pytest.mark.parametrize("features", [None, UNCLEAR], ids=["output level", "both levels"])
def test_people_are_held_to_never_seen_and_not_to_accuracy(evaluation, features):
    found = rows_request(evaluation, features=features)
    page = read(found, said=about_people(found))
    opening = re.sub(r"\s+", " ", page.text.split("Before and after")[0])
    # 0.54 lies a tenth of the way from 0.5 to 0.9.
    assert "0 as if never seen, 1 as before 0.10" in opening
    assert "forgotten held-out rows" not in opening
    assert "more like rows that it never saw" in opening
    gates = section(page, "Gates", "Membership")
    assert "Rows are like rows never seen" in gates
    assert "0.10≤ 0.50✓ passed" in gates
    assert "the rows keep their class" in section(page, "Where the forgotten rows go", "Classes")


@pytest.mark.parametrize(
    ("features", "people"), [*product([None, ERASED, REMEMBERING, UNCLEAR], [False, True])]
)
def test_every_page_can_be_read_without_eyes_and_mouse(evaluation, features, people):
    found = rows_request(evaluation) if people else evaluation
    found = inside(found, features)
    page = read(found, said=about_people(found) if people else None)
    assert all("scope" in cell for cell in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(one["role"] == "img" and one["aria-label"] for one in page.all("svg"))
    assert all(one["tabindex"] == "0" for one in page.all("div") if "role" in one)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
