"""A file of ours is known by every address that it was given out under, whoever names it then."""

import pytest

from imagemill.app import create_app
from imagemill.http.hosts import HOSTS
from imagemill.jobs.input_files import STORED, InputFiles, stored_at
from imagemill.settings import Settings
from tests.engines import PlainEngine
from tests.http.test_input_access import DIALECTS, EACH, Dialect, Door
from tests.http.test_input_access import door as door

KEY = "files/b/0badcafe/AbCdEfGhIjKlMnOpQrStUv_cat.png"
ADDRESSES = (
    "https://{host}/{key}",
    "https://{host}:443/fal/cdn/{key}",
    "http://{host}/{key}",
)


@pytest.mark.anyio
@EACH
async def test_a_file_given_out_under_another_host_was_no_address(
    door: Door, dialect: Dialect
) -> None:
    key = (await door.uploaded("")).partition("/files/")[2]
    for host in ("rest.fal.ai", "api.replicate.com", "queue.fal.run"):
        await door.uses(dialect, f"https://{host}/files/{key}")
    await door.uses(dialect, f"https://v3.fal.media/files/{key}")


@pytest.mark.anyio
async def test_a_lora_given_out_under_another_host_was_no_address(door: Door) -> None:
    headers = {"content-type": "application/octet-stream", "authorization": "Key a:b"}
    place = "/fal/cdn/files/upload"
    url = (await door.client.post(place, content=b"lora", headers=headers)).json()["access_url"]
    path = url.replace("http://localhost", "https://rest.fal.ai")
    body = {"model": "imagemill/pico", "prompt": "a cat", "image_loras": [{"path": path}]}
    reply = await door.client.post(DIALECTS["together"].path, json=body)
    assert reply.status_code == 200, reply.text
    assert len(door.engine.submitted) == 1


@pytest.mark.anyio
async def test_what_belongs_to_another_caller_stays_theirs_under_every_host(door: Door) -> None:
    url = await door.uploaded("bWU6c2VjcmV0", access="hide")
    await door.lacks(DIALECTS["fal"], f"https://rest.fal.ai/files/{url.partition('/files/')[2]}")


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("address", ADDRESSES)
def test_every_host_that_is_answered_for_has_our_files(host: str, address: str) -> None:
    assert stored_at(address.format(host=host, key=KEY), HOSTS) == STORED + KEY


@pytest.mark.parametrize(
    "url",
    [
        f"https://fal.run:8443/{KEY}",
        f"https://fal.run.example.com/{KEY}",
        f"https://example.com/{KEY}",
        f"https://me@fal.run/{KEY}",
        f"https://fal.run/{KEY}?v=1",
        f"https://fal.run/other/{KEY}",
        "https://huggingface.co/files/b/resolve/main/cat.png",
        "https://huggingface.co/files/i/0badcafe/AbCdEfGhIjKlMnOpQrStUv",
        "",
        None,
    ],
)
def test_what_is_somebody_elses_stays_an_address(url: str | None) -> None:
    assert stored_at(url, HOSTS) is None


def known(settings: Settings) -> InputFiles:
    inputs: InputFiles = create_app(settings, PlainEngine()).state.backend.inputs
    return inputs


def test_the_operators_names_and_this_machines_are_ours_at_their_ports(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        port=8123,
        hosts=["my.example.com", "*.b.example.com"],
    )
    own = known(settings).own
    for host in (
        "my.example.com",
        "my.example.com:8123",
        "localhost:8123",
        "[::1]:8123",
        "127.0.0.1:8123",
    ):
        assert own(f"http://{host}/{KEY}") == STORED + KEY
    for host in ("localhost:8124", "a.b.example.com", "my.example.com:81"):
        assert own(f"http://{host}/{KEY}") == f"http://{host}/{KEY}"
