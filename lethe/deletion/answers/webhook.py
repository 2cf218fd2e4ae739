"""Notifications to the policy's `[[notify]]` targets, as Standard Webhooks 1.0.

- `webhook-id` is a hash of the letter's key: the same for each try, so the receiver can tell that
  it has this one already.
- `webhook-timestamp` is the time of the try, `webhook-signature` is made by the library
  `standardwebhooks` over `id.timestamp.body`.
- any 2xx means taken; 410 that the target wants no more; everything else is tried again. Redirects
  are not followed.

Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime

from lethe.deletion.answers.addresses import check_own
from lethe.deletion.answers.announce import target_of
from lethe.deletion.answers.credentials import secret, utc_now
from lethe.deletion.answers.errors import SendError
from lethe.deletion.answers.http import PATIENCE, Call, Caller, Patience
from lethe.deletion.answers.statuses import SLOWLY, check
from lethe.deletion.ledger.types import Letter
from lethe.deletion.policy.model import Notify, Policy
from lethe.deletion.tickets.errors import SecretError
from lethe.deletion.tickets.standard import decode


def webhook_sender(
    policy: Policy,
    *,
    patience: Patience = PATIENCE,
    clock: Callable[[], datetime] = utc_now,
) -> Callable[[Letter], None]:
    """What sends letters of the kind "webhook".

    Its letters hold `target` (see `target_of`) and `body`.
    """

    def send(letter: Letter) -> None:
        notify = _find(policy, letter.payload["target"])
        check_own(notify.url)
        body = json.dumps(letter.payload["body"], sort_keys=True, separators=(",", ":"))
        headers = {"Content-Type": "application/json"}
        headers |= signed(message_id(letter.key), body, notify, clock())
        call = Call("POST", notify.url, headers=headers, body=body.encode())
        check(Caller(patience).make(call), permanent={410}, now=clock())

    return send


def message_id(letter_key: str) -> str:
    """The id of the message: the same for every try of a letter."""
    return f"msg_{hashlib.sha256(letter_key.encode()).hexdigest()[:32]}"


def signed(message: str, body: str, notify: Notify, now: datetime) -> dict[str, str]:
    """The three headers of Standard Webhooks.

    Raises:
        SendError: if the target's secret is not there or not usable.
    """
    from standardwebhooks import Webhook

    try:
        key = decode(secret(notify.secret, now))
    except SecretError:
        key = None
    if key is None:
        raise SendError("a secret is not set or not usable", retry_after=SLOWLY, down=True)
    return {
        "webhook-id": message,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(key).sign(message, now.astimezone(UTC), body),
    }


def _find(policy: Policy, target: str) -> Notify:
    for notify in policy.notify:
        if target_of(notify.url) == target:
            return notify
    raise SendError("the policy does not notify this target any more", permanent=True)
