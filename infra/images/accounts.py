"""Makes the account that workers have in MLflow, or gives it its password again.

Runs as MLflow's administrator (MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, which the
entrypoint reads from files). The account's name and password are files as well: account-user and
account-password in the folder ACCOUNT_DIR, by default /run/secrets.
"""

import os
import sys
from pathlib import Path


def main() -> int:
    """Make the account; say what was done, without its password."""
    from mlflow.exceptions import MlflowException
    from mlflow.server import get_app_client

    folder = Path(os.environ.get("ACCOUNT_DIR", "/run/secrets"))
    name, password = (
        (folder / f"account-{what}").read_text(encoding="utf-8").strip()
        for what in ("user", "password")
    )
    client = get_app_client("basic-auth", tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
    try:
        client.get_user(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_user(name, password)
        print(f"MLflow has a new account {name}")
    else:
        client.update_user_password(name, password)
        print(f"MLflow's account {name} has its password")
    return 0


if __name__ == "__main__":
    sys.exit(main())
