"""Answers on Jira: a comment on the issue, and its transition to a closing status.

    GET  /rest/api/2/issue/{key}/comment       is our comment there already?
    POST /rest/api/2/issue/{key}/comment       if not
    GET  /rest/api/2/issue/{key}?fields=status is it open?
    GET  /rest/api/2/issue/{key}/transitions   which of them closes it?
    POST /rest/api/2/issue/{key}/transitions   that one

Version 2 of the API takes text with wiki markup and is there in Jira Cloud and Data Center. The
last line of a comment is its reference, by which it is found before it is written a second time.

`answer.transition` names a transition or the status it leads to; without it the first one is taken
that leads to a status of the category "done". An issue in such a status already stays as it is.
Cloud authenticates with an account and its API token (`answer.user`, `answer.token`), Data Center
with a personal access token (`answer.token` alone).

Source: developer.atlassian.com, "The Jira Cloud platform REST API", version 2: issue comments,
issues; "Basic auth for REST APIs".
"""

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from lethe.deletion.answers.addresses import check_own
from lethe.deletion.answers.credentials import answer_of, header_text, mark, secret, utc_now
from lethe.deletion.answers.errors import SendError
from lethe.deletion.answers.http import LARGE, PATIENCE, Call, Caller, Patience
from lethe.deletion.answers.statuses import GONE, check
from lethe.deletion.ledger.types import Letter
from lethe.deletion.policy.model import Answer, Policy

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}-[0-9]{1,18}")
_PAGE = 100
_MOST_PAGES = 100


def jira_sender(
    policy: Policy,
    record_key: bytes,
    *,
    patience: Patience = PATIENCE,
    clock: Callable[[], datetime] = utc_now,
) -> Callable[[Letter], None]:
    """What sends letters of the kind "jira".

    Its letters hold `target` (the source), `issue` (its key), `body`, `close` (null to leave the
    issue where it is) and `may_be_gone`.
    """

    def send(letter: Letter) -> None:
        payload = letter.payload
        answer = answer_of(policy, payload["target"])
        if answer.api is None:
            raise SendError("answer.api is not set", permanent=True)
        check_own(answer.api)
        if not _KEY.fullmatch(payload["issue"]):
            raise SendError("the ticket names no issue", permanent=True)
        issue = f"{answer.api.rstrip('/')}/rest/api/2/issue/{payload['issue']}"
        jira = _Jira(Caller(patience), _authorization(answer, clock()), clock)
        found = mark(record_key, letter.key)
        try:
            if not jira.has_comment(issue, found):
                body = f"{payload['body']}\n\nReference: lethe-{found}"
                jira.ask("POST", f"{issue}/comment", {"body": body})
            if payload["close"] is not None and answer.close:
                jira.close(issue, answer.transition)
        except SendError as error:
            if not (payload["may_be_gone"] and error.what in {f"HTTP {s}" for s in GONE}):
                raise

    return send


class _Jira:
    """Jira's API for one letter."""

    def __init__(self, caller: Caller, authorization: str, clock: Callable[[], datetime]) -> None:
        self._caller, self._clock = caller, clock
        self._headers = {
            "Accept": "application/json",
            "Authorization": authorization,
            "Content-Type": "application/json",
        }

    def ask(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        reply = self._caller.make(
            Call(method, url, headers=self._headers, body=content, most=LARGE)
        )
        check(reply, now=self._clock())
        return reply.json() if method == "GET" else None

    def has_comment(self, issue: str, found: str) -> bool:
        start = 0
        for _ in range(_MOST_PAGES):
            page = self.ask("GET", f"{issue}/comment?startAt={start}&maxResults={_PAGE}")
            comments = page.get("comments", [])
            if any(found in json.dumps(comment.get("body")) for comment in comments):
                return True
            start += len(comments)
            if not comments or start >= page.get("total", 0):
                return False
        # Rather no second comment than one among ten thousand.
        raise SendError("the issue has too many comments", permanent=True)

    def close(self, issue: str, wanted: str | None) -> None:
        status = self.ask("GET", f"{issue}?fields=status").get("fields", {}).get("status", {})
        if _is_done(status) or _is_named(status, wanted):
            return
        there = self.ask("GET", f"{issue}/transitions").get("transitions", [])
        number = _closing(there, wanted)
        if number is None:
            raise SendError("no transition of that name can be made", permanent=True)
        self.ask("POST", f"{issue}/transitions", {"transition": {"id": number}})


def _closing(transitions: Sequence[Mapping[str, Any]], wanted: str | None) -> str | None:
    """Id of the transition to make; None if there is none."""
    for one in transitions:
        to = one.get("to", {})
        if _is_done(to) if wanted is None else _is_named(one, wanted) or _is_named(to, wanted):
            return str(one["id"])
    return None


def _is_done(status: Mapping[str, Any]) -> bool:
    return bool(status.get("statusCategory", {}).get("key") == "done")


def _is_named(thing: Mapping[str, Any], name: str | None) -> bool:
    return name is not None and str(thing.get("name", "")).casefold() == name.casefold()


def _authorization(answer: Answer, now: datetime) -> str:
    token = secret(answer.token, now)
    if answer.user is None:
        return f"Bearer {header_text(token)}"
    pair = secret(answer.user, now) + b":" + token
    return f"Basic {base64.b64encode(pair).decode()}"
