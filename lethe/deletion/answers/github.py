"""Answers on GitHub: a comment on the issue, and the issue closed.

    GET   /repos/{repo}/issues/{number}/comments   is our comment there already?
    POST  /repos/{repo}/issues/{number}/comments   if not
    GET   /repos/{repo}/issues/{number}            is it open?
    PATCH /repos/{repo}/issues/{number}            then close it

The comment carries `<!-- lethe:KEY MARK -->`, which GitHub does not show. Whether it is there is
looked up before every POST, not only before the second: a ledger that was restored from a backup
knows nothing of what it had sent. An issue that is closed already stays as it was closed. The token
needs the right to write issues of that repository, nothing else.

GitHub answers for a repository that was renamed with a redirect to itself; it is followed.

Source: docs.github.com, REST API version 2022-11-28, "Issue comments", "Issues", "Best practices
for using the REST API".
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from lethe.deletion.answers.addresses import check_own
from lethe.deletion.answers.credentials import answer_of, header_text, mark, secret, utc_now
from lethe.deletion.answers.errors import SendError
from lethe.deletion.answers.http import LARGE, PATIENCE, Call, Caller, Patience, Reply
from lethe.deletion.answers.statuses import GONE, check
from lethe.deletion.ledger.types import Letter
from lethe.deletion.policy.model import Policy

API: Final = "https://api.github.com"
_REPO = re.compile(r"(?!\.{1,2}/)[A-Za-z0-9._-]{1,100}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_PAGE = 100
_MOST_PAGES = 100
_REDIRECTS = 2


def github_sender(
    policy: Policy,
    record_key: bytes,
    *,
    patience: Patience = PATIENCE,
    clock: Callable[[], datetime] = utc_now,
) -> Callable[[Letter], None]:
    """What sends letters of the kind "github".

    Its letters hold `target` (the source), `repo`, `number`, `body`, `close` (a state_reason, or
    null to leave the issue open) and `may_be_gone`.
    """

    def send(letter: Letter) -> None:
        payload = letter.payload
        answer = answer_of(policy, payload["target"])
        api = (answer.api or API).rstrip("/")
        check_own(api)
        if not _REPO.fullmatch(payload["repo"]):
            raise SendError("the ticket names no repository", permanent=True)
        issue = f"{api}/repos/{payload['repo']}/issues/{int(payload['number'])}"
        hub = _Hub(Caller(patience), header_text(secret(answer.token, clock())), clock)
        found = mark(record_key, letter.key)
        try:
            if not hub.has_comment(issue, found):
                text = f"{payload['body']}\n\n<!-- lethe:{letter.key} {found} -->"
                hub.ask("POST", f"{issue}/comments", {"body": text})
            if payload["close"] is not None and answer.close:
                hub.close(issue, payload["close"])
        except SendError as error:
            if not (payload["may_be_gone"] and error.what in {f"HTTP {s}" for s in GONE}):
                raise

    return send


class _Hub:
    """GitHub's API for one letter."""

    def __init__(self, caller: Caller, token: str, clock: Callable[[], datetime]) -> None:
        self._caller, self._clock = caller, clock
        self._headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def ask(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> Reply:
        reply = self._caller.make(
            Call(
                method,
                url,
                headers=self._headers,
                body=None if body is None else json.dumps(body).encode(),
                most=LARGE,
                redirects=_REDIRECTS,
            )
        )
        check(reply, now=self._clock())
        return reply

    def has_comment(self, issue: str, found: str) -> bool:
        for page in range(1, _MOST_PAGES + 1):
            reply = self.ask("GET", f"{issue}/comments?per_page={_PAGE}&page={page}")
            if any(found in (comment.get("body") or "") for comment in reply.json()):
                return True
            if 'rel="next"' not in reply.headers.get("link", ""):
                return False
        # Rather no second comment than one among ten thousand.
        raise SendError("the issue has too many comments", permanent=True)

    def close(self, issue: str, reason: str) -> None:
        if self.ask("GET", issue).json().get("state") == "open":
            self.ask("PATCH", issue, {"state": "closed", "state_reason": reason})
