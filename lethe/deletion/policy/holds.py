"""Legal holds: which one a request meets."""

from datetime import datetime
from fnmatch import fnmatchcase

from lethe.deletion.policy.model import Policy, registered_name
from lethe.deletion.policy.parts import Hold
from lethe.deletion.request import DeletionRequest


def hold_on(policy: Policy, request: DeletionRequest, now: datetime) -> Hold | None:
    """The first hold that the request meets; None if there is none.

    Args:
        policy: in force.
        request: what was asked for.
        now: with a time zone.
    """
    return next((hold for hold in policy.holds if _meets(hold, request, now)), None)


def _meets(hold: Hold, request: DeletionRequest, now: datetime) -> bool:
    if hold.until is not None and now >= hold.until:
        return False
    name, dataset = registered_name(request.model), request.forget.dataset
    return (
        (not hold.models or any(fnmatchcase(name, registered_name(p)) for p in hold.models))
        and (not hold.datasets or any(fnmatchcase(dataset, p) for p in hold.datasets))
        and (not hold.sources or request.source in hold.sources)
    )
