"""What can be set about the stack: `STACK_*` environment variables."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).parents[2]
Port = Annotated[int, Field(ge=1, le=65535)]
Absolute = Annotated[Path, AfterValidator(lambda path: (ROOT / path).resolve())]


class StackSettings(BaseSettings):
    """Folder, addresses and ports. Passwords are made, never set."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="STACK_", extra="ignore")

    home: Absolute = Field(
        default=ROOT / ".lethe" / "stack", description="folder for data, secrets and logs"
    )
    project: Absolute = Field(
        default=ROOT, description="checkout that flows run in: code, prefect.yaml, data, policy"
    )
    host: str = Field(default="127.0.0.1", description="address that all servers listen on")
    postgres_port: Port = 5433
    s3_port: Port = 9000
    mlflow_port: Port = 5000
    prefect_port: Port = 4200
    intake_port: Port = 8020
    tickets_port: Port = Field(default=8021, description="the demo's stand-in for GitHub")
    postgres_bin: Path | None = Field(
        default=None, description="folder with initdb and postgres; default: the embedded package"
    )
    postgres_user: str = Field(
        default="pgserver", description="account of PostgreSQL where root starts the stack"
    )
    gpu_workers: int | None = Field(
        default=None, ge=0, description="workers of the pool gpu; default: one per GPU, at least 1"
    )
    policy: Path | None = Field(
        default=None, description="policy file; default: policy.toml of the project, else a sample"
    )
    notify_url: str | None = Field(
        default=None, description="address that automations call; kept as a secret"
    )
    tls: bool = Field(
        default=False, description="all servers speak TLS, with certificates of an own authority"
    )
    healthy_within: float = Field(default=240, gt=0, description="seconds to wait for health")

    @property
    def secrets(self) -> Path:
        """Folder of everything that nobody else may read."""
        return self.home / "secrets"

    @property
    def run(self) -> Path:
        """Folder of the process manager's configuration, socket and PID."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """Folder of all logs."""
        return self.home / "logs"

    def url(self, port: int) -> str:
        """Address of one of the servers."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{port}"

    @property
    def tickets_url(self) -> str:
        """Address of the demo's stand-in for GitHub, which is no server of the stack."""
        return f"http://{self.host}:{self.tickets_port}"

    @property
    def prefect_api(self) -> str:
        """Address of Prefect's API."""
        return f"{self.url(self.prefect_port)}/api"

    def as_environment(self) -> dict[str, str]:
        """The settings as variables, for processes of the stack."""
        values = self.model_dump(mode="json", exclude_none=True, exclude={"notify_url"})
        return {f"STACK_{name.upper()}": str(value) for name, value in values.items()}


def as_root() -> bool:
    """Whether the stack is started by root, under whom PostgreSQL does not run."""
    return os.geteuid() == 0
