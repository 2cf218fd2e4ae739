"""Settings: one frozen, strict model.

Values come, first one wins, from arguments, `LETHE_*` environment variables (`__` between levels:
`LETHE_DATA__MIRROR`), `lethe.toml` in this folder or one above it, and the embedded defaults, which
keep everything in files under `.lethe/` and need no server. `lethe config show` prints every value
and where it came from.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from lethe.choosing import AUTO
from lethe.errors import SettingsError
from lethe.evaluation.gates import GateThresholds

FILE_NAME = "lethe.toml"
PREFIX = "LETHE_"

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
    body_limit_kib: int = Field(default=1024, ge=1, description="largest ticket that is read")
    tolerance_seconds: int = Field(
        default=300, ge=1, description="age at which a signed timestamp is too old"
    )
    deployment: str = Field(
        default="deletion-requests/on-demand",
        description="Prefect deployment that a request to be carried out at once starts",
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


class _Environment(EnvSettingsSource):
    """Environment values are text: read each as its field's type, strictly after that."""

    def __call__(self) -> dict[str, Any]:
        return _from_text(self.settings_cls, super().__call__())


class Settings(BaseSettings):
    """Everything that can be set; see the module's text for where values come from."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
    )

    home: SettingPath = Field(default=Path(".lethe"), description="folder for all local state")
    device: Literal["auto", "cuda", "mps", "cpu"] = Field(
        default="auto", description="where to compute; auto takes the best there is"
    )
    seed: int = Field(default=0, ge=0, description="seed of everything random")
    worker: str | None = Field(
        default=None, description="name of this worker's accelerator slot; default: the host name"
    )
    key_file: SettingPath | None = Field(
        default=None,
        description="secret behind fingerprints and the ledger's encryption, one for all machines "
        "of a project; default: record.key under home",
    )
    mlflow: MlflowSettings = MlflowSettings()
    data: DataSettings = DataSettings()
    models: ModelSettings = ModelSettings()
    unlearning: UnlearningSettings = UnlearningSettings()
    accelerator: AcceleratorSettings = AcceleratorSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    gates: GateThresholds = GateThresholds()
    ledger: LedgerSettings = LedgerSettings()
    policy: PolicySettings = PolicySettings()
    intake: IntakeSettings = IntakeSettings()
    audit: AuditSettings = AuditSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (pydantic's signature)
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment; `load_settings` passes the file's values as defaults."""
        return init_settings, _Environment(settings_cls)

    @cached_property
    def state(self) -> Path:
        """The state folder as an absolute path; a relative one lies in the project's folder."""
        return (project_folder() / self.home).resolve()

    @cached_property
    def ledger_url(self) -> str:
        """The database of the ledger."""
        url = self.ledger.url
        return url.get_secret_value() if url else f"sqlite:///{self.state / 'ledger.db'}"

    @cached_property
    def record_key_file(self) -> Path:
        """The file of the record's secret; see `lethe.keys.record_key`."""
        if self.key_file is None:
            return self.state / "record.key"
        return (project_folder() / self.key_file).resolve()

    @cached_property
    def audit_folder(self) -> Path:
        """The folder of the audit trail's keys, log and checkpoint."""
        if self.audit.folder is None:
            return self.state / "audit"
        return (project_folder() / self.audit.folder).resolve()

    @cached_property
    def policy_file(self) -> Path:
        """The policy file as an absolute path; a relative one lies in the project's folder."""
        return (project_folder() / self.policy.file).resolve()

    @cached_property
    def tracking_uri(self) -> str:
        """The MLflow store to talk to."""
        return self.mlflow.tracking_uri or f"sqlite:///{self.state / 'mlflow.db'}"


def load_settings(**arguments: Any) -> Settings:
    """Settings from all sources, checked.

    Raises:
        SettingsError: if a value is misspelt, unknown or out of range.
    """
    path = find_file()
    unknown = sorted(set(_lethe_variables()) - {_variable(leaf) for leaf, _ in leaves(Settings)})
    if unknown:
        raise SettingsError(
            f"Unknown setting in the environment: {', '.join(unknown)}. Nothing was done. "
            f"`lethe config show` lists every name."
        )
    try:
        environment = _Environment(Settings)()
        return Settings.model_validate(_merge(_read(path), environment, arguments))
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise SettingsError(
            f"These settings are wrong: {'; '.join(lines)}. Nothing was done. "
            f"Correct {path or 'the environment'}; `lethe config show` lists names and values."
        ) from error


def find_file() -> Path | None:
    """The nearest `lethe.toml`, here or in a folder above, if there is one."""
    here = Path.cwd()
    return next((f for d in (here, *here.parents) if (f := d / FILE_NAME).is_file()), None)


def project_folder() -> Path:
    """The folder of `lethe.toml`, else the root of the git checkout, else this folder."""
    file = find_file()
    if file is not None:
        return file.parent
    here = Path.cwd()
    return next((d for d in (here, *here.parents) if (d / ".git").exists()), here)


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted name and description of every single setting."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.description or ""


def origins(settings: Settings) -> Iterator[tuple[str, Any, str]]:
    """Dotted name, value and source of every single setting."""
    file = _read(path := find_file())
    for leaf, _ in leaves(Settings):
        value: Any = settings
        for part in leaf.split("."):
            value = getattr(value, part)
        if _variable(leaf) in _lethe_variables():
            source = f"environment {_variable(leaf)}"
        elif _has(file, leaf):
            source = str(path)
        else:
            source = "default"
        yield leaf, value, source


def _variable(leaf: str) -> str:
    return PREFIX + leaf.replace(".", "__").upper()


def _lethe_variables() -> list[str]:
    return [name for name in os.environ if name.startswith(PREFIX)]


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}. Nothing was done.") from error


def _merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            nested = isinstance(value, Mapping) and isinstance(merged.get(key), dict)
            merged[key] = _merge(merged[key], value) if nested else value
    return merged


def _has(values: Mapping[str, Any], leaf: str) -> bool:
    value: Any = values
    for part in leaf.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return True


def _from_text(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Read text as the types of a model's fields; what is no text stays as it is."""
    read: dict[str, Any] = {}
    for name, value in values.items():
        field = model.model_fields.get(name)
        if field is None or field.annotation is None:
            read[name] = value
        elif isinstance(value, Mapping) and isinstance(field.annotation, type):
            nested = issubclass(field.annotation, BaseModel)
            read[name] = _from_text(field.annotation, value) if nested else value
        elif isinstance(value, str):
            try:
                read[name] = TypeAdapter(field.annotation).validate_strings(value)
            except ValidationError:
                read[name] = value  # the strict model says what is wrong with it
        else:
            read[name] = value
    return read
