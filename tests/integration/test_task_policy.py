"""What is tried again: failures of the world around, never refused input."""

import pytest
from prefect import flow, task

from lethe.errors import DataError
from tasks.policy import IN_MEMORY, SAFE_TO_RETRY

pytestmark = pytest.mark.usefixtures("prefect_server")


def attempts(policy, error):
    """How often a task that always raises this error is tried."""
    tried = []

    @task(**{**policy, "retry_delay_seconds": 0} if "retries" in policy else policy)
    def step():
        tried.append(1)
        raise error

    @flow(name="policy")
    def one_step():
        step()

    with pytest.raises(type(error)):
        one_step()
    return len(tried)


@pytest.mark.parametrize(
    ("policy", "error", "expected"),
    [
        (SAFE_TO_RETRY, ConnectionError("the store is away"), 3),
        (SAFE_TO_RETRY, DataError("There is no such data set."), 1),
        (IN_MEMORY, ConnectionError("the store is away"), 1),
    ],
    ids=["a failure around is retried", "refused input is not", "computation is not"],
)
def test_what_is_tried_again(policy, error, expected):
    assert attempts(policy, error) == expected


def test_prefect_keeps_nothing_of_what_passes():
    for policy in (IN_MEMORY, SAFE_TO_RETRY):
        assert policy["persist_result"] is False
