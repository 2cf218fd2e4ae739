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
from typing import Any, Literal

from pydantic import (
    BaseModel,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from lethe.errors import SettingsError
from lethe.evaluation.gates import GateThresholds
from lethe.settings_sections import (
    AcceleratorSettings,
    AuditSettings,
    DataSettings,
    EvaluationSettings,
    IntakeSettings,
    LedgerSettings,
    LogSettings,
    MlflowSettings,
    ModelSettings,
    PolicySettings,
    SettingPath,
    UnlearningSettings,
)

FILE_NAME = "lethe.toml"
PREFIX = "LETHE_"


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
    logs: LogSettings = LogSettings()

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
