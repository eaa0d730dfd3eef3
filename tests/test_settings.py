"""Settings: every one can be given in three ways, and nothing wrong is passed over."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from imagemill.errors import Fault
from imagemill.model_spec import ModelSpec
from imagemill.settings import PREFIX, PriceSpec, Settings, load
from imagemill.upstream_spec import UpstreamSpec

# Every setting, once: as TOML and the environment spell it, and what is read.
GIVEN: dict[str, tuple[str, str, Any]] = {
    "host": ('"0.0.0.0"', "0.0.0.0", "0.0.0.0"),
    "port": ("9000", "9000", 9000),
    "data_dir": ('"kept"', "kept", Path("kept")),
    "queue": ("3", "3", 3),
    "cache_bytes": ("0", "0", 0),
    "cache_age": ("60", "60", 60.0),
    "body_limit": ("2048", "2048", 2048),
    "database": (
        '"postgresql+asyncpg://h/d"',
        "postgresql+asyncpg://h/d",
        "postgresql+asyncpg://h/d",
    ),
    "files": ('"s3://bucket"', "s3://bucket", "s3://bucket"),
    "running": ("1", "1", 1),
    "retention": ("60", "60", 60.0),
    "upload_age": ("60", "60", 60.0),
    "upload_bytes": ("0", "0", 0),
    "upload_bytes_each": ("1", "1", 1),
    "input_limit": ("2048", "2048", 2048),
    "input_memory": ("1048576", "1048576", 2**20),
    "input_disk": ("1048576", "1048576", 2**20),
    "lora_dir": ('"/loras"', "/loras", Path("/loras")),
    "lora_bytes": ("1048576", "1048576", 2**20),
    "controlnets": (
        '{ canny = "/nets/canny" }',
        '{"canny": "/nets/canny"}',
        {"canny": "/nets/canny"},
    ),
    "controlnet_bytes": ("1048576", "1048576", 2**20),
    "ip_adapters": ('{ mine = "/ip/a" }', '{"mine": "/ip/a"}', {"mine": "/ip/a"}),
    "ip_adapter_bytes": ("1048576", "1048576", 2**20),
    "connections": ("8", "8", 8),
    "fetch_hosts": ('["a.local"]', '["a.local"]', ["a.local"]),
    "behind_proxy": ("true", "true", True),
    "root_path": ('"mill/"', "/mill", "/mill"),
    "hosts": ('["Images.Example.com"]', '["images.example.com."]', ["images.example.com"]),
    "origins": (
        '["http://localhost:3000/"]',
        '["http://localhost:3000"]',
        ["http://localhost:3000"],
    ),
    "open": ("true", "true", True),
    "prices": (
        '{ "*" = { image = 0.5 } }',
        '{"*": {"image": 0.5}}',
        {"*": PriceSpec(image=Decimal("0.5"))},
    ),
    "on_hang_up": ('{ fal = "finish" }', '{"fal": "finish"}', {"fal": "finish"}),
    "strict": ("true", "true", True),
    "chat_url": ('"http://chat/v1"', "http://chat/v1", "http://chat/v1"),
    "chat_key": ('"secret"', "secret", "secret"),
    "chat_model": ('"small"', "small", "small"),
    "safety": ('"always"', "always", "always"),
    "safety_threshold": ("0.5", "0.5", 0.5),
    "safety_checker": ('"/models/checker"', "/models/checker", "/models/checker"),
    "safety_terms": ('["a", "b c"]', '["a", "b c"]', ["a", "b c"]),
    "matte": ('"/models/u2net.onnx"', "/models/u2net.onnx", "/models/u2net.onnx"),
    "style_age": ("60", "60", 60.0),
    "tls": ("true", "true", True),
    "stand_ins": ("false", "false", False),
    "wait_time": ("1.5", "1.5", 1.5),
    "shutdown_time": ("0", "0", 0.0),
    "lock_wait": ("5", "5", 5.0),
    "threads": ("2", "2", 2),
    "devices": ('["cuda:1", "CUDA:0"]', '["cuda:1", "cuda:0"]', ["cuda:1", "cuda:0"]),
    "memory": ("16_000_000_000", "16000000000", 16_000_000_000),
    "step_timeout": ("60", "60", 60.0),
    "load_timeout": ("60", "60", 60.0),
    "models": ('{ "a/b" = "folder" }', '{"a/b": "folder"}', {"a/b": ModelSpec("folder")}),
    "upstreams": (
        '{ fal = { kind = "fal", url = "https://queue.fal.run", key_env = "FAL_KEY" } }',
        '{"fal": {"kind": "fal", "url": "https://queue.fal.run", "key_env": "FAL_KEY"}}',
        {"fal": UpstreamSpec("fal", "https://queue.fal.run", key_env="FAL_KEY")},
    ),
    "log_format": ('"json"', "json", "json"),
    "log_level": ('"debug"', "debug", "debug"),
}


def written(folder: Path, text: str) -> Path:
    path = folder / "imagemill.toml"
    path.write_text(text, "utf-8")
    return path


def test_every_setting_is_in_the_table() -> None:
    assert list(GIVEN) == list(Settings.model_fields)


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize("name", GIVEN)
def test_a_setting_is_read_from_the_file(name: str, tmp_path: Path) -> None:
    toml, _, expected = GIVEN[name]
    settings = load(written(tmp_path, f"{name} = {toml}"))
    assert getattr(settings, name) == expected != getattr(Settings(), name)


@pytest.mark.parametrize("name", GIVEN)
def test_a_setting_is_read_from_the_environment(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, variable, expected = GIVEN[name]
    monkeypatch.setenv(PREFIX + name.upper(), variable)
    assert getattr(load(), name) == expected


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = written(tmp_path, 'port = 1\nqueue = 1\nhost = "one"')
    monkeypatch.setenv("IMAGEMILL_PORT", "2")
    monkeypatch.setenv("IMAGEMILL_QUEUE", "2")
    settings = load(config, port=3, host=None)
    assert (settings.port, settings.queue, settings.host) == (3, 2, "one")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prot = 1", "unknown setting prot; one of host, port"),
        ("port = 70000", "port = 70000: Input should be less than or equal to 65535"),
        ('queue = "many"', "queue = 'many': Input should be a valid integer"),
        ("port = ", "is not TOML"),
        ('log_format = "xml"', "'plain' or 'json'"),
        ('models = { "a/b" = "upstream:x/y" }', "models.a/b: there is no upstream x; add upstr"),
        ('upstreams = { x = { kind = "fal" } }', "upstreams.x.url is missing"),
        ('upstreams = { x = { kind = "fal", url = "ftp://a" } }', "url 'ftp://a' is none"),
        ('upstreams = { x = { kind = "fal", url = "http://u:p@a" } }', "give the key by key_env"),
        ('upstreams = { x = { kind = "fal", url = "http://a", key = "k" } }', "unknown setting"),
        ('upstreams = { "X Y" = { kind = "fal", url = "http://a" } }', "no name of an upstream"),
        ('upstreams = { x = { kind = "sd", url = "http://a" } }', "'fal', 'openai', 'replicate'"),
    ],
)
def test_a_wrong_file_is_told(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(Fault, match=told):
        load(written(tmp_path, text))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="no configuration file"):
        load(tmp_path / "none.toml")


def test_a_misspelt_variable_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMILL_PROT", "1")
    with pytest.raises(Fault, match="unknown variable IMAGEMILL_PROT"):
        load()
