"""OpenDSR callbacks: the controller is told of each change of the status, signed.

A POST to each `status_callback_url` of the request. 202, or any other 2xx, means that it was taken;
403 that the signature was not believed, which another try would not change; 404 and 410 that there
is nobody. Redirects are not followed. Where a callback may go: `lethe.deletion.answers.addresses`.

Source: github.com/opengdpr/OpenDSR, specification.md, sections 4.2 and 8.6.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from lethe.deletion.answers.addresses import Resolve, check_theirs, resolve
from lethe.deletion.answers.credentials import answer_of, utc_now
from lethe.deletion.answers.errors import SendError
from lethe.deletion.answers.http import PATIENCE, Call, Caller, Patience
from lethe.deletion.answers.statuses import GONE, SLOWLY, check
from lethe.deletion.ledger.types import Letter
from lethe.deletion.policy.model import Answer, Policy
from lethe.deletion.states import State
from lethe.deletion.tickets import opendsr_reply
from lethe.deletion.tickets.errors import SecretError
from lethe.deletion.tickets.opendsr_models import Callback

_REFUSED: Final = frozenset({403}) | GONE


def opendsr_sender(
    policy: Policy,
    *,
    patience: Patience = PATIENCE,
    clock: Callable[[], datetime] = utc_now,
    look_up: Resolve = resolve,
) -> Callable[[Letter], None]:
    """What sends letters of the kind "opendsr".

    Its letters hold `target` (the source), `url`, `subject_request_id`, `state` and `due_at`.
    """

    def send(letter: Letter) -> None:
        payload = letter.payload
        answer = answer_of(policy, payload["target"])
        url = payload["url"]
        addresses = check_theirs(url, answer.callbacks, look_up=look_up)
        body = _body(letter, answer)
        headers = {"Content-Type": "application/json", **_signature(answer, body)}
        call = Call("POST", url, headers=headers, body=body, addresses=addresses)
        check(Caller(patience).make(call), permanent=_REFUSED, now=clock())

    return send


def _body(letter: Letter, answer: Answer) -> bytes:
    payload = letter.payload
    status = opendsr_reply.status(
        State(payload["state"]),
        controller_id=payload["target"],
        subject_request_id=payload["subject_request_id"],
        due=datetime.fromisoformat(payload["due_at"]),
        domain=_domain(answer),
    )
    callback = Callback(**dict(status), status_callback_url=payload["url"])
    return callback.model_dump_json().encode()


def _signature(answer: Answer, body: bytes) -> dict[str, str]:
    if answer.key is not None:
        try:
            return opendsr_reply.signed_headers(
                body, domain=_domain(answer), key_ref=answer.key.ref
            )
        except SecretError:
            pass  # told below, without the path that the error names
    raise SendError("there is no usable key to sign with", retry_after=SLOWLY, down=True)


def _domain(answer: Answer) -> str:
    return answer.domain or "localhost"
