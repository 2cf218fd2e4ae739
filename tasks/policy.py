"""How tasks behave: what is retried, and that nothing of the data is kept by Prefect."""

from typing import Any

from prefect.cache_policies import NO_CACHE

from lethe.errors import LetheError
from model_registry.outage import as_outage

# Samples and networks pass between tasks in memory; Prefect stores none of it.
IN_MEMORY: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


def worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a failed task may do better next time: not when the input itself was refused."""
    try:
        state.result()
    except LetheError:
        return False
    except Exception as error:  # noqa: BLE001 (whatever else went wrong is what retries are for)
        return as_outage(error) is None  # MLflow's client has asked again for minutes
    return False


# For steps that only read, or that do nothing twice.
SAFE_TO_RETRY: dict[str, Any] = {
    **IN_MEMORY,
    "retries": 2,
    "retry_delay_seconds": [1, 5],
    "retry_condition_fn": worth_retrying,
}
