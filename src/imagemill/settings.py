"""Settings: loaded once, in assembly; rooms get values.

What is given on the command line wins over the environment (`IMAGEMILL_PORT=9000`), which wins over
the configuration file (TOML, `port = 9000`), which wins over the defaults.
"""

import os
import re
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from imagemill.credits import MICRO, Price
from imagemill.errors import Fault, Kind, invalid
from imagemill.model_spec import FixedLora, ModelDefaults, ModelSpec
from imagemill.upstream_spec import UpstreamSpec, check_upstream_name, upstream_of

PREFIX = "IMAGEMILL_"
FOR_OTHERS = {"IMAGEMILL_URL", "IMAGEMILL_EXEC"}  # what `imagemill exec` tells what it runs
LOOPBACK = ("127.0.0.1", "::1", "localhost")
ANY = "*"  # stands for every host, or every origin

_HOST = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_PREFIX = re.compile(r"(/[\w.~@+-]*[\w~@+-]){1,16}", re.ASCII)  # no steps such as ..
_DEVICE = re.compile(r"cpu|cuda:\d+")
# With stars for all names below one, all ports, and all that a browser's extensions may be called.
_ORIGIN = re.compile(
    r"\*|null|(?!https?://\*(?!\.))[a-z][a-z0-9+.-]*://(\*|(\*\.)?[^/?#@*\s]*?(:\*)?)"
)


def _host(text: str) -> str:
    host = text.strip().lower().removesuffix(".")
    if not _HOST.fullmatch(host):
        raise ValueError("give names without scheme, port and path, as images.example.com")
    return host


def _origin(text: str) -> str:
    origin = text.strip().lower().removesuffix("/")
    if not _ORIGIN.fullmatch(origin):
        raise ValueError("give scheme, host and port, as http://localhost:3000 or http://a.org:*")
    return origin


def prefixed(text: str) -> str:
    """A prefix of paths as `/mill`, or nothing; raises a ValueError for what is none."""
    prefix = "".join(f"/{part}" for part in text.strip().split("/") if part)
    if prefix and not _PREFIX.fullmatch(prefix):
        raise ValueError("give the beginning of a path, as /mill")
    return prefix


def _device(text: str) -> str:
    device = text.strip().lower()
    if not _DEVICE.fullmatch(device):
        raise ValueError("give cpu, or GPUs by their numbers, as cuda:0")
    return device


def _devices(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("one is named twice; an engine has a device for itself")
    if "cpu" in names and len(names) > 1:
        raise ValueError("cpu stands alone: beside GPUs it would keep jobs waiting")
    return names


def _model(value: Any) -> Any:
    """A model whose source alone is given needs no table."""
    return {"source": value} if isinstance(value, str) else value


Host = Annotated[str, AfterValidator(_host)]
Origin = Annotated[str, AfterValidator(_origin)]
Prefix = Annotated[str, AfterValidator(prefixed)]
Devices = Annotated[list[Annotated[str, AfterValidator(_device)]], AfterValidator(_devices)]
Model = Annotated[ModelSpec, BeforeValidator(_model)]
UpstreamName = Annotated[str, AfterValidator(check_upstream_name)]


class PriceSpec(BaseModel):
    """What the images of a model cost, in credits with up to six decimals."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: Decimal = Field(default=Decimal(0), ge=0, le=10**6, decimal_places=6)
    megapixel_step: Decimal = Field(default=Decimal(0), ge=0, le=10**6, decimal_places=6)

    def price(self) -> Price:
        return Price(*(int(each * MICRO) for each in (self.image, self.megapixel_step)))


def _room(default: int, description: str) -> Any:
    """A setting of bytes, at least a megabyte."""
    return Field(default=default, ge=2**20, description=description)


class Settings(BaseSettings):
    """Every setting of `imagemill serve`, with its default."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(
        default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one."
    )
    data_dir: Path = Field(default=Path("data"), description="Folder for all that is kept.")
    queue: int = Field(
        default=64, ge=1, description="Generations accepted at a time, running ones included."
    )
    cache_bytes: int = Field(
        default=2**30, ge=0, description="Disk space for finished pictures; 0 keeps none."
    )
    cache_age: float = Field(
        default=30 * 86400.0, gt=0, description="Seconds after which a kept picture is forgotten."
    )
    body_limit: int = Field(
        default=2**20, ge=1024, description="Largest request body that is read, in bytes."
    )
    database: str | None = Field(
        default=None, description="URL of a PostgreSQL database; else SQLite in the data folder."
    )
    files: str | None = Field(
        default=None,
        description="Where files are stored: s3://, gs:// or az://; else in the data folder.",
    )
    running: int = Field(
        default=32,
        ge=1,
        description="Jobs given to an engine at a time, times the engines; others wait.",
    )
    retention: float = Field(
        default=7 * 86400.0,
        gt=0,
        description="Seconds after which ended jobs and their files are forgotten.",
    )
    upload_age: float = Field(
        default=30 * 86400.0,
        gt=0,
        description="Seconds that uploads are kept, and that callers may have any file kept.",
    )
    upload_bytes: int = Field(
        default=32 * 2**30, ge=0, description="Disk space for what callers upload, in all."
    )
    upload_bytes_each: int = Field(
        default=8 * 2**30, ge=0, description="Disk space for what one caller uploads."
    )
    input_limit: int = Field(
        default=64 * 2**20,
        ge=1024,
        description="Largest body that may carry pictures within it, in bytes.",
    )
    input_memory: int = _room(
        2**29, "Memory that the inputs of all calls may take at a time, in bytes."
    )
    input_disk: int = _room(2**33, "Disk space for inputs on their way and at work, in bytes.")
    lora_dir: Path | None = Field(
        default=None, description="Folder of LoRAs that callers may name by their files' names."
    )
    lora_bytes: int = _room(2**33, "Disk space for fetched LoRAs; those in use go beyond it.")
    controlnets: dict[str, str] = Field(
        default_factory=dict,
        description="ControlNets that callers may name: alias to folder, file or Hub id.",
    )
    controlnet_bytes: int = _room(
        2**35, "Disk space for fetched ControlNets; those in use go beyond it."
    )
    ip_adapters: dict[str, str] = Field(
        default_factory=dict,
        description="IP-Adapters and encoders: alias to folder, file or Hub id.",
    )
    ip_adapter_bytes: int = _room(2**34, "Disk space for IP-Adapters, and as much for encoders.")
    connections: int = Field(
        default=1000, ge=8, description="Connections open at a time; of more, silent ones go first."
    )
    fetch_hosts: list[str] = Field(
        default_factory=list,
        description="Hosts that may be fetched from and told of results though they are private.",
    )
    behind_proxy: bool = Field(
        default=False,
        description="Believe what a proxy says in x-forwarded-proto, -host, -prefix and -for.",
    )
    root_path: Prefix = Field(
        default="", description="Prefix of all paths for callers, as /mill, where a proxy adds one."
    )
    hosts: list[Host] = Field(
        default_factory=list,
        description="Names by which the server may be called, besides its address and localhost.",
    )
    origins: list[Origin] = Field(
        default_factory=list, description="Origins whose web pages may call the server."
    )
    open: bool = Field(
        default=False,
        description="Ask for no key, also where others reach the server, or accounts are there.",
    )
    prices: dict[str, PriceSpec] = Field(
        default_factory=dict,
        description='What accounts pay: by model, or "*", credits per image and megapixel_step.',
    )
    on_hang_up: dict[str, Literal["cancel", "finish"]] = Field(
        default_factory=dict,
        description="By dialect, what becomes of the work of a caller who hangs up.",
    )
    strict: bool = Field(
        default=False,
        description="Refuse fields that are not known, also where the hosted API passes over them.",
    )
    chat_url: str | None = Field(
        default=None, description="Base URL of an OpenAI-compatible chat API that expands prompts."
    )
    chat_key: str | None = Field(default=None, description="Its key.")
    chat_model: str | None = Field(default=None, description="Its model.")
    safety: Literal["off", "on", "always"] = Field(
        default="on",
        description="Whether images are checked: never, as the APIs and their callers say, or all.",
    )
    safety_threshold: float = Field(
        default=0.8, ge=0, le=1, description="Score from which on the checker flags an image."
    )
    safety_checker: str | None = Field(
        default=None,
        description="Folder or Hub id of a StableDiffusionSafetyChecker; else open_nsfw.",
    )
    safety_terms: list[str] = Field(
        default_factory=list, description="Words and phrases that no prompt may have."
    )
    matte: str | None = Field(default=None, description="ONNX file that finds foregrounds.")
    style_age: float = Field(default=365 * 86400.0, gt=0, description="Seconds that styles live.")
    tls: bool = Field(
        default=False, description="Serve https, by a certificate authority of this server's own."
    )
    stand_ins: bool = Field(
        default=True, description="Serve models that are not configured by the embedded one."
    )
    wait_time: float = Field(
        default=300.0,
        gt=0,
        description="Seconds that a caller who waits for a loading model is kept.",
    )
    shutdown_time: float = Field(
        default=30.0, ge=0, description="Seconds that running work may take to finish at shutdown."
    )
    lock_wait: float = Field(
        default=0.0,
        ge=0,
        description="Seconds to wait at the start for another server on the same folder to end.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        description="Processors that the engine computes on; 0 takes all that the process may use.",
    )
    devices: Devices = Field(
        default_factory=list,
        description="GPUs that get an engine each, or cpu; left out, all that are found.",
    )
    memory: int | None = Field(
        default=None,
        gt=0,
        description="Bytes that models may take on an engine's device; left out, 4/5 of the free.",
    )
    step_timeout: float = Field(
        default=600.0,
        gt=0,
        description="Seconds without a finished step after which the engine is taken for hung.",
    )
    load_timeout: float = Field(
        default=3600.0,
        gt=0,
        description="Seconds that a model may take to be loaded, with what is downloaded for it.",
    )
    models: dict[str, Model] = Field(
        default_factory=dict,
        description="Model id to the folder, file or Hub id that serves it, or to a table.",
    )
    upstreams: dict[UpstreamName, UpstreamSpec] = Field(
        default_factory=dict,
        description="Other servers that paint, by names that models are told by.",
    )
    log_format: Literal["plain", "json"] = Field(
        default="plain", description="How log lines are written."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least level that is logged."
    )

    @model_validator(mode="after")
    def _upstreams_are_there(self) -> "Settings":
        for id, spec in self.models.items():
            name = upstream_of(spec.source)
            if name and name not in self.upstreams:
                raise ValueError(f"models.{id}: there is no upstream {name}; add upstreams.{name}")
        return self


def load(config: Path | None = None, **options: Any) -> Settings:
    """Settings from `given`, the environment and the file; a Fault names what is wrong with them.

    Options that are None were not given.
    """
    _refuse_unknown(dict(os.environ))
    reader = Settings if config is None else _reader(config)
    try:
        return reader(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        raise invalid("settings", "; ".join(_tell(one) for one in error.errors())) from None


def _reader(config: Path) -> type[Settings]:
    if not config.is_file():
        raise Fault(Kind.NOT_FOUND, f"there is no configuration file {config}", "config")

    class Configured(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, _file(settings_cls, config)

    return Configured


def _file(settings_cls: type[BaseSettings], config: Path) -> PydanticBaseSettingsSource:
    try:
        return TomlConfigSettingsSource(settings_cls, config)
    except ValueError as error:  # of tomllib, which tells line and column
        raise invalid("config", f"{config} is not TOML: {error}") from None


def _refuse_unknown(environment: dict[str, str]) -> None:
    # On its own the reader passes over a misspelt variable without a word.
    known = {PREFIX + name.upper() for name in Settings.model_fields} | FOR_OTHERS
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise invalid(
            "settings", f"unknown variable {', '.join(unknown)}; one of {', '.join(sorted(known))}"
        )


def _tell(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"])
    input, kind = error["input"], error["type"]
    match kind:
        case "extra_forbidden":
            return f"unknown setting {name}; one of {', '.join(Settings.model_fields)}"
        case "unexpected_keyword_argument":
            fields = ", ".join(_fields(error["loc"]))
            return f"unknown setting {name}; one of {fields}"
        case "missing":
            return f"{name} is missing"
        case "value_error" if isinstance(input, dict):  # whose message names what is wrong in it
            return f"{name}: {error['ctx']['error']}" if name else str(error["ctx"]["error"])
    return f"{name} = {input!r:.80}: {error['msg']}"


def _fields(place: tuple[str | int, ...]) -> list[str]:
    """What the table at `place`, of a model or an upstream, may have."""
    tables = {"loras": FixedLora, "defaults": ModelDefaults}
    whole = UpstreamSpec if place[0] == "upstreams" else ModelSpec
    table = next((tables[str(part)] for part in place[2:-1] if part in tables), whole)
    return [each.name for each in fields(table)]
