import re
from itertools import pairwise

import pytest
from pydantic import ValidationError
from reports import Page, a_request, content, write_statement

from lethe.audit.predicate import Choice
from lethe.audit.statement import Statement, digest
from lethe.evaluation.gates import GateThresholds
from lethe.evaluation.plots import curves, save
from lethe.evaluation.report import Link, Picture, ReportContent, render_report
from lethe.evaluation.results import Part
from lethe.evaluation.verdict import decide


@pytest.fixture
def report(evaluation, tmp_path):
    path = tmp_path / "curves.png"
    picture = Picture(name="curves", path=path, alt=save(curves({"push": [2.0, 1.0]}), path))
    link = Link(words="Run", url="http://127.0.0.1:5000/#/runs/1")
    return content(evaluation, pictures=(picture,), links=(link,))


def unchanged(evaluation):
    return evaluation.model_copy(update={"after": evaluation.before})


def test_it_says_what_happened_before_anything_else(report):
    page = Page(render_report(report))
    assert page.open == []
    opening = page.text.split("Before and after")[0]
    assert "digits 2 was made to forget class 3" in opening
    assert "suppressed" in opening
    assert "do not call it erased" in opening
    assert report.decision.reason in opening.replace("\N{NO-BREAK SPACE}", " ")
    # 0.5 s of probe and 0.75 s of edit are a quarter of 5 s.
    assert "1.25" in opening
    assert "25 % of it" in opening


def test_every_part_of_the_record_is_there(report, evaluation):
    text = Page(render_report(report)).text.replace("\N{NO-BREAK SPACE}", " ")
    for gate in report.decision.gates:
        assert gate.words in text
    for words in report.decision.not_covered:
        assert words in text
    predicate = report.statement.predicate
    for value in (
        predicate.data.git_rev,
        predicate.data.dvc_md5,
        predicate.data.set_digest,
        predicate.parent.weights_sha256,
        predicate.successor.weights_sha256,
        predicate.code.environment_sha256,
        digest(report.statement),
        "data/digits",
        "137 of 1,347 training rows",
        "epochs",
        "req-1",
    ):
        assert value in text
    forgotten = next(row for row in evaluation.per_class if row.forgotten)
    assert f"{forgotten.nearest[0].label} {100 * forgotten.nearest[0].share:.1f} %" in text


def test_a_refusal_looks_like_one(evaluation):
    page = Page(render_report(content(unchanged(evaluation))))
    assert "digits was to forget class 3: refused" in page.text
    assert "none was registered" in page.text
    assert page.text.count("✗ failed") == 2


def test_what_was_not_measured_is_said(evaluation):
    bare = evaluation.model_copy(
        update={
            "after": evaluation.after.model_copy(update={"retained_held_out": None}),
            "before": evaluation.before.model_copy(update={"retained_held_out": None}),
            "per_class": (),
            "drift": None,
            "confidence": None,
            "not_measured": (Part.RETAINED_HELD_OUT,),
        }
    )
    text = Page(render_report(content(bare))).text
    assert text.count(" not measured") >= 3
    assert "nothing is known per class" in text
    assert "Not measured, since no such rows were given: retained held-out rows." in text


def test_a_retrained_reference_gets_its_column(evaluation):
    with_reference = evaluation.model_copy(update={"reference": evaluation.before})
    assert "Retrained" not in Page(render_report(content(evaluation))).text.split("Gates")[0]
    assert "Retrained" in Page(render_report(content(with_reference))).text.split("Gates")[0]


def test_it_asks_no_server_for_anything(report):
    html = render_report(report)
    page = Page(html)
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert "url(" not in html
    assert "@import" not in html
    policies = [m["content"] for m in page.all("meta") if m.get("http-equiv")]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_it_can_be_read_without_eyes_and_mouse(report):
    page = Page(render_report(report))
    assert page.all("html")[0]["lang"] == "en"
    assert [image["alt"] for image in page.all("img")] == [report.pictures[0].alt]
    assert all("scope" in cell for cell in page.all("th"))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(region["tabindex"] == "0" for region in page.all("div") if "role" in region)


def test_labels_cannot_carry_markup(evaluation):
    evil = "<script>alert(1)</script>"
    rows = tuple(row.model_copy(update={"label": evil}) for row in evaluation.per_class)
    html = render_report(content(evaluation.model_copy(update={"per_class": rows})))
    assert evil not in html
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "ftp://x", " #/x"])
def test_links_lead_to_pages_only(url):
    with pytest.raises(ValidationError):
        Link(words="x", url=url)


def test_many_classes_are_folded_away(evaluation):
    rows = evaluation.per_class * 5
    page = Page(render_report(content(evaluation.model_copy(update={"per_class": rows}))))
    assert "All 50 classes" in page.text


def test_a_batch_shows_what_is_left_of_each_request_and_counts_those_it_does_not_list(evaluation):
    requests = tuple(
        a_request(id=f"req-{n}", ticket=f"DPO-{n}", rows=7, recognised=n / 100) for n in range(60)
    )
    statement = write_statement(evaluation, decide(evaluation, GateThresholds()), requests=requests)
    content = ReportContent(
        statement=statement,
        evaluation=evaluation,
        decision=decide(evaluation, GateThresholds()),
    )
    html = render_report(content)
    assert "carried out together" in html
    table = html.split("own training rows", 1)[1].split("</table>", 1)[0]
    assert table.count("<tr>") == 51
    assert "the first 50 requests" in html
    assert "DPO-49" in table
    assert "49.0" in table


CHOICE = Choice.model_validate(
    {
        "facts": {"kind": "class", "rows": 137},
        "rungs": (
            {"method": "delete", "because": "It is first.", "outcome": "refused",
             "said": "Too much <b>was</b> lost.", "run_id": "aaaa"},
            {"method": "pte", "settings": {"epochs": 9}, "because": "It is next.",
             "outcome": "accepted", "run_id": "RUN"},
            {"method": "retrain", "because": "It is last.", "outcome": "not_tried"},
        ),
        "at": 1,
        "left_out": ({"method": "ssd", "because": "there is no card"},),
        "search": {
            "budget": 4,
            "trials": (
                {"settings": {}, "forgotten": 1.0, "drift": 0.25, "score": 0.2},
                {"settings": {"epochs": 9}, "forgotten": 1.0, "drift": 0.125, "score": 0.111},
                {"settings": {"epochs": 1}, "forgotten": 0.0, "drift": None, "score": 2.0},
            ),
            "best": 1,
            "seconds": 1.5,
        },
    }
)  # fmt: skip


def test_the_ladder_is_told_step_by_step_with_the_search(evaluation):
    plain = content(evaluation)
    run = plain.statement.predicate.run_id
    rungs = tuple(
        rung.model_copy(update={"run_id": run}) if rung.outcome == "accepted" else rung
        for rung in CHOICE.rungs
    )
    choice = CHOICE.model_copy(update={"rungs": rungs})
    said = Statement.of(plain.statement.predicate.model_copy(update={"choice": choice}))
    page = Page(render_report(plain.model_copy(update={"statement": said})))
    assert page.open == []
    for words in (
        "This is step 2 of 3",
        "Too much <b>was</b> lost.",
        "Run aaaa",
        "It is last.",
        "Not tried.",
        "Left out: ssd, since there is no card.",
        "3 trials in 1.50",
        "number 2 was taken",
        "failed",
    ):
        assert words in page.text, words


def test_a_record_of_before_says_nothing_of_a_ladder(report):
    assert "How it came to this method" not in render_report(report)
