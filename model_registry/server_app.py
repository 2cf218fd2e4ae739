"""MLflow's server with user accounts, and nothing but its health open to strangers.

    mlflow server --app-name lethe-guarded ...

The same as MLflow's own `--app-name basic-auth`, with its settings, behind `model_registry.guard`.
"""

from model_registry.guard import Guard


def create_app() -> Guard:
    """The application, for uvicorn; MLflow finds it by the entry-point group `mlflow.app`."""
    from mlflow.server import auth
    from starlette.concurrency import run_in_threadpool

    async def check(user: str, word: str) -> bool:
        return bool(await run_in_threadpool(auth.store.authenticate_user, user, word))

    return Guard(auth.create_app(), realm="mlflow", open_paths={"/health"}, check=check)
