"""Generated deliveries and API calls, right and wrong. For benchmarks/fuzz.py."""

import base64
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

SECRETS = {name: f"secret-of-{name}-long-enough-to-be-one" for name in ("issues", "jira", "hooks")}
SECRETS |= {name: f"token-of-{name}-long-enough-to-be-one" for name in ("portal", "dsr", "dpo")}
_SOURCE = 'models = ["digits@*"]\ndatasets = ["data/*"]\n'
POLICY = f"""
version = "fuzz"
[approval]
approvers = ["dpo"]
[models."*"]
max_ids = 50
[sources.issues]
kind = "github"
secrets = ["env:FUZZ_ISSUES"]
{_SOURCE}
[sources.jira]
kind = "jira"
secrets = ["env:FUZZ_JIRA"]
{_SOURCE}
[sources.jira.fields]
model = "issue.fields.model"
dataset = "issue.fields.dataset"
classes = "issue.fields.classes"
subjects = "issue.fields.subjects"
[sources.hooks]
kind = "standard-webhooks"
secrets = ["env:FUZZ_HOOKS"]
{_SOURCE}
[sources.dsr]
kind = "opendsr"
secrets = ["env:FUZZ_DSR"]
{_SOURCE}
[sources.portal]
kind = "plain"
{_SOURCE}
[[tokens]]
name = "portal"
secret = "env:FUZZ_PORTAL"
actor = "portal"
may = ["submit", "read", "operate"]
source = "portal"
[[tokens]]
name = "dpo"
secret = "env:FUZZ_DPO"
actor = "dpo"
may = ["read", "approve", "operate"]
"""
# Stands for the id of one of the first requests, which no strategy can know.
PLACE, KNOWN = "PLACE{}.", 50
SIGNATURES = ("right",) * 10 + ("wrong", "missing", "swapped", "other body", "old")


@dataclass(frozen=True)
class Call:
    """One request to the service. `believed`: its signature or token is right."""

    method: str
    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    believed: bool


# What tickets are made of

_text = st.text(max_size=8) | st.sampled_from(
    ["\x00", "\ud800", "a\udfff", "ada@example.org", "é" * 50, "\u2028", "'; DROP TABLE requests"]
)
_numbers = st.integers() | st.sampled_from([10**400, -(10**30), 2**53, 2**63, 0]) | st.floats()
_leaves = st.none() | st.booleans() | _numbers | _text
junk = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=12,
)
_number = st.integers(1, 5000)
_ids = st.lists(st.sampled_from([f"s-{n}" for n in range(30)]), min_size=1, max_size=3)
_model = st.sampled_from(["digits@champion", "digits@next", "digits/3", "digits", "other@x"])
_dataset = st.sampled_from(
    ["data/digits"] * 5 + ["data/watch", "../etc/passwd", "/etc", "models/x"]
)


@st.composite
def _wanted(draw: st.DrawFn) -> dict[str, Any]:
    return {"model": draw(_model), "dataset": draw(_dataset), "subjects": draw(_ids)}


@st.composite
def _ticket(draw: st.DrawFn, source: str) -> dict[str, Any]:
    """A right ticket of a source."""
    n, wanted = draw(_number), draw(_wanted())
    match source:
        case "issues":
            filled = wanted | {"subjects": ", ".join(wanted["subjects"])}
            labels = {"model": "Model", "dataset": "Data set", "subjects": "Subjects"}
            form = "\n\n".join(f"### {labels[key]}\n\n{value}" for key, value in filled.items())
            return {
                "action": draw(st.sampled_from(["labeled", "labeled", "labeled", "deleted"])),
                "label": {"name": "data-deletion"},
                "issue": {"number": n, "body": form},
                "repository": {"full_name": "example/privacy"},
            }
        case "jira":
            event = draw(st.sampled_from(["created", "created", "updated", "deleted"]))
            return {
                "webhookEvent": f"jira:issue_{event}",
                "timestamp": round(time.time() * 1000),
                "issue": {"key": f"PRIV-{n}", "fields": wanted | {"labels": ["data-deletion"]}},
            }
        case "hooks":
            kind = draw(st.sampled_from(["requested", "requested", "cancelled"]))
            return {"type": f"deletion.{kind}", "data": wanted | {"ticket": f"T-{n}"}}
        case "dsr":
            person = {"identity_type": "controller_customer_id", "identity_format": "raw"}
            return {
                "regulation": "gdpr",
                "subject_request_id": f"a7551968-d5d6-44b2-9831-{n:012x}",
                "subject_request_type": "erasure",
                "submitted_time": "2026-11-02T15:00:00Z",
                "subject_identities": [person | {"identity_value": s} for s in wanted["subjects"]],
                "extensions": {"lethe": {k: wanted[k] for k in ("model", "dataset")}},
            }
        case _:
            return wanted | {"ticket": f"P-{n}"}


@st.composite
def _body(draw: st.DrawFn, source: str) -> bytes:
    """A right ticket, one with a field spoilt, junk, or no JSON."""
    how = draw(st.sampled_from(["right"] * 6 + ["spoilt"] * 3 + ["junk", "bytes"]))
    if how == "bytes":
        deep = st.sampled_from([b"[" * 5000, b'{"a":' * 5000, b"9" * 6000, b"{}" * 10, b"\xff\xfe"])
        return draw(st.binary(max_size=60) | deep)
    value: Any = draw(junk) if how == "junk" else draw(_ticket(source))
    if how == "spoilt":
        _spoil(draw, value)
    text = json.dumps(value, ensure_ascii=draw(st.booleans()))
    body = text.encode(errors="surrogatepass")
    return body[: draw(st.integers(0, len(body)))] if draw(st.integers(0, 19)) == 0 else body


def _spoil(draw: st.DrawFn, value: dict[str, Any]) -> None:
    """Replace or remove one value somewhere in a tree."""
    here = value
    while True:
        key = draw(st.sampled_from(sorted(here)))
        if isinstance(here[key], dict) and here[key] and draw(st.booleans()):
            here = here[key]
            continue
        if draw(st.booleans()):
            here[key] = draw(junk)
        else:
            del here[key]
        return


# How they are sent

_headers = st.lists(
    st.tuples(
        st.sampled_from([b"x-github-event", b"content-type", b"webhook-id", b"x-odd", b"cookie"]),
        st.binary(max_size=12).filter(lambda b: not set(b) & {0, 10, 13}),
    ),
    max_size=1,
)


@st.composite
def deliveries(draw: st.DrawFn) -> Call:
    """A delivery to a webhook, to OpenDSR or to the API."""
    source = draw(st.sampled_from(["issues", "jira", "hooks", "dsr", "portal"]))
    body, how = draw(_body(source)), draw(st.sampled_from(SIGNATURES))
    if how == "old" and source != "hooks":
        how = "wrong"
    delivery = f"d-{draw(st.integers(0, 10**6))}"
    headers = {"content-type": "application/json"} | _signed(source, body, how, delivery)
    path = {"dsr": "/opendsr/dsr/requests", "portal": "/api/v1/requests"}.get(source)
    if path is None or draw(st.integers(0, 9)) == 0:
        path = f"/webhooks/{source}"
    raw = [(k.encode(), v.encode("latin-1")) for k, v in headers.items()]
    extra = draw(_headers) if draw(st.integers(0, 9)) == 0 else []
    return Call("POST", path, raw + extra, body, believed=how == "right")


def _signed(source: str, body: bytes, how: str, delivery: str) -> dict[str, str]:
    other = "jira" if source == "issues" else "issues"
    secret = SECRETS[other if how == "swapped" else source]
    signed = body + b" " if how == "other body" else body
    headers: dict[str, str] = {}
    if source in {"portal", "dsr"}:
        bad = how in {"wrong", "other body"}
        headers["authorization"] = f"Bearer {'not-' if bad else ''}{secret}"
        headers["idempotency-key"] = delivery
        name = "authorization"
    elif source == "hooks":
        now = str(round(time.time()) - (3600 if how == "old" else 0))
        digest = hmac.digest(secret.encode(), f"{delivery}.{now}.".encode() + signed, "sha256")
        name = "webhook-signature"
        headers |= {"webhook-id": delivery, "webhook-timestamp": now}
        headers[name] = f"v1,{base64.b64encode(digest).decode()}"
    else:
        digest = hmac.digest(secret.encode(), signed, "sha256")
        name = "x-hub-signature-256" if source == "issues" else "x-hub-signature"
        headers[name] = f"sha256={digest.hex()}"
        headers["x-github-delivery"] = headers["x-atlassian-webhook-identifier"] = delivery
        headers["x-github-event"] = "issues"
    if how == "missing":
        del headers[name]
    elif how == "wrong":
        headers[name] = headers[name][:-6] + "000000"
    return headers


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """A call of the API that is no delivery; the places in it stand for ids of requests."""
    who = draw(st.sampled_from(["dpo", "dpo", "portal", "nobody", ""]))
    ids = st.integers(0, KNOWN - 1).map(PLACE.format)
    name = draw(ids | st.text(min_size=1, max_size=20))
    word = draw(st.sampled_from(["", "", "approve", "hold", "release", "cancel"]))
    headers = [(b"content-type", b"application/json")]
    if who:
        headers.append((b"authorization", f"Bearer {SECRETS.get(who, 'x' * 30)}".encode()))
    path, method, body = f"/api/v1/requests/{_quote(name)}", "GET", b""
    if word:
        path, method = f"{path}/{word}", "POST"
        said = st.fixed_dictionaries({}, optional={"reason": st.just("Litigation") | junk})
        sent = draw(said | junk)
        body = json.dumps(sent).encode() if draw(st.booleans()) else draw(st.binary(max_size=20))
    elif draw(st.booleans()):
        names = st.sampled_from(["state", "model", "source", "limit", "after", "x"])
        values = _text | ids | st.sampled_from(["approved", "5", "portal", "digits@champion"])
        query = draw(st.lists(st.tuples(names, values), max_size=3))
        path = "/api/v1/requests?" + "&".join(f"{k}={_quote(v)}" for k, v in query)
    return Call(method, path, headers, body, believed=who in SECRETS)


def _quote(text: str) -> str:
    return quote(text.encode(errors="surrogatepass"), safe="")
