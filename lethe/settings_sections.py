"""The sections of the settings, each a frozen, strict model; `lethe.settings` reads them."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from lethe.choosing import AUTO

# TOML and the environment know no paths, only strings.
SettingPath = Annotated[Path, Field(strict=False)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class MlflowSettings(_Section):
    """Where model versions and runs are recorded."""

    tracking_uri: str | None = Field(
        default=None, description="MLflow server or database; default: SQLite under home"
    )
    experiment: str = Field(default="lethe", description="experiment that holds Lethe's runs")
    ui_port: int = Field(default=5000, ge=1, le=65535, description="port of `lethe ui`")


class DataSettings(_Section):
    """Where data sets come from and how much of one may be forgotten."""

    repository: str = Field(default=".", description="git repository, path or URL, with DVC data")
    mirror: SettingPath | None = Field(
        default=None, description="folder with original data files, read instead of downloading"
    )
    max_share: float = Field(
        default=0.5, gt=0, lt=1, description="largest share of a data set that one edit may forget"
    )
    memory_budget_mib: int = Field(
        default=512, ge=1, description="a forget set above this streams instead of being loaded"
    )


class ModelSettings(_Section):
    """How model versions are pulled and promoted."""

    alias: str = Field(default="champion", description="alias that promotion moves")
    promote: bool = Field(
        default=True, description="move the alias to a successor that passed its gates"
    )
    allow_pickle: bool = Field(
        default=False, description="load pickled models; runs the code inside them"
    )
    factories: tuple[str, ...] = Field(
        default=("lethe.models.networks",),
        strict=False,
        description="modules that an architecture's factory may be imported from",
    )


class UnlearningSettings(_Section):
    """How to forget."""

    method: str = Field(
        default="pte",
        description="name in the entry-point group lethe.methods, or `auto`: see docs/choosing.md",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="settings of the method, see docs/methods/"
    )
    search_budget: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="settings of a method that are tried before an edit, its own among them; 0 "
        "and 1 try none",
    )

    @model_validator(mode="after")
    def _options_of_a_method(self) -> Self:
        if self.method == AUTO and self.options:
            message = "options belong to one method; leave them out where method is auto"
            raise ValueError(message)
        return self


class AcceleratorSettings(_Section):
    """What is looked at before an edit begins on an accelerator."""

    free_memory_mib: int = Field(
        default=0, ge=0, description="memory of a GPU that must be free before an edit; 0: any"
    )
    otherwise: Literal["cpu", "wait"] = Field(
        default="cpu",
        description="where there is no accelerator, or too little of its memory is free: compute "
        "on the CPU, or wait",
    )
    wait_seconds: int = Field(
        default=600, ge=0, description="longest wait; then the requests wait for the next run"
    )


class EvaluationSettings(_Section):
    """How it is measured whether something was forgotten."""

    feature_level: bool = Field(
        default=True, description="measure hidden layers too; without it no edit is called erased"
    )
    reference: bool = Field(
        default=False,
        description="compare with a network retrained without the forget set, which is kept and "
        "used again; only where the parent says how it was trained",
    )


class LedgerSettings(_Section):
    """Where deletion requests are kept."""

    url: SecretStr | None = Field(
        default=None,
        description="SQLAlchemy URL, such as postgresql+psycopg://…; default: SQLite under home",
    )
    lease_seconds: int = Field(
        default=300, ge=5, description="a worker that is silent for longer loses its batch"
    )
    batch_limit: int = Field(
        default=1000, ge=1, description="most requests that one edit carries out"
    )
    purge_after_months: int = Field(
        default=6,
        ge=1,
        description="months after its end for which what a request selected, and where its answer "
        "went, is kept at most",
    )


class PolicySettings(_Section):
    """Which requests are allowed, and how they are carried out."""

    file: SettingPath = Field(
        default=Path("policy.toml"), description="policy file, relative to the project's folder"
    )


class IntakeSettings(_Section):
    """The service that takes tickets in."""

    host: str = Field(default="127.0.0.1", description="address that `lethe intake` listens on")
    port: int = Field(default=8020, ge=0, le=65535, description="its port; 0 takes a free one")
    public_url: str | None = Field(
        default=None, description="address under which people reach it, for links in answers"
    )
    tls_certificate: SettingPath | None = Field(
        default=None, description="certificate chain in PEM; with it the service speaks TLS itself"
    )
    tls_key: SettingPath | None = Field(default=None, description="its private key in PEM")
    body_limit_kib: int = Field(default=1024, ge=1, description="largest ticket that is read")
    tolerance_seconds: int = Field(
        default=300, ge=1, description="age at which a signed timestamp is too old"
    )
    deployment: str = Field(
        default="deletion-requests/on-demand",
        description="Prefect deployment that a request to be carried out at once starts",
    )


class LogSettings(_Section):
    """How log lines are written."""

    format: Literal["text", "json"] = Field(
        default="text", description="json: one object a line, with the ids of what it is about"
    )


class S3Settings(_Section):
    """Write-once copies of records."""

    bucket: str | None = Field(default=None, description="bucket for write-once copies of records")
    prefix: str = Field(default="lethe", description="what their names begin with")
    endpoint_url: str | None = Field(default=None, description="S3 endpoint; default: AWS")
    region: str | None = Field(default=None, description="region of the bucket")
    lock: Literal["compliance", "governance", "none"] = Field(
        default="compliance", description="Object Lock mode; none: only never overwritten"
    )


class AuditSettings(_Section):
    """How records are signed and where they are kept beside the ledger."""

    folder: SettingPath | None = Field(
        default=None, description="keys, log and checkpoint; default: audit/ under home"
    )
    key: SecretStr | None = Field(
        default=None, description="private Ed25519 key in PEM, in place of a file in the folder"
    )
    signer: str | None = Field(
        default=None, description="PACKAGE.MODULE:FUNCTION that gives a signer, such as of a KMS"
    )
    overlap_days: int = Field(
        default=7, ge=0, description="how long the key before may still sign after a rotation"
    )
    retention_months: int = Field(
        default=24, ge=1, description="how long records are kept at least"
    )
    controller: str = Field(
        default="", description="name and address of the controller, for certificates"
    )
    s3: S3Settings = S3Settings()
