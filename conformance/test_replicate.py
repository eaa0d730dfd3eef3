"""Replicate's own clients, unmodified, against the live server."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from typing import Any, TypeVar

import pytest
from PIL import Image
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError
from replicate.helpers import FileOutput
from replicate.prediction import Prediction
from replicate.webhook import InvalidSignatureError, Webhooks

from conformance.snippets import node
from imagemill import assembly
from imagemill.dialects.replicate import DIALECT, message

MODEL = "black-forest-labs/flux-schnell"
SINGLE = "black-forest-labs/flux-1.1-pro"
SMALL: dict[str, Any] = {
    "prompt": "a red cat", "width": 96, "height": 64, "num_inference_steps": 2,
}  # fmt: skip
LONG = SMALL | {"num_inference_steps": 150, "width": 512, "height": 512, "num_outputs": 4}
PYTHON, JAVASCRIPT = "replicate (Python)", "replicate (JavaScript)"
Test = TypeVar("Test", bound=Callable[..., Any])


def shows(client: str, *calls: str) -> Callable[[Test], Test]:
    """Marks a test with the cells of the matrix that it fills."""

    def mark(test: Test) -> Test:
        for call in calls:
            test = pytest.mark.cell(client, DIALECT, call)(test)
        return test

    return mark


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    found = Client(api_token="r8_abc", base_url=f"{server}/replicate")
    found.poll_interval = 0.05
    yield found
    found._client.close()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def png(colour: str = "red", size: tuple[int, int] = (96, 64)) -> io.BytesIO:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "png")
    buffer.seek(0)
    buffer.name = "cat.png"
    return buffer


def any_model(model: str = "someone/something") -> str:
    return f"{model}:{'ab' * 32}"


@shows(PYTHON, "text to image", "run", "FileOutput")
@pytest.mark.parametrize("options", [{}, {"wait": 60}, {"wait": False}])
def test_run_gives_files_that_can_be_read(client: Client, options: dict[str, Any]) -> None:
    (output,) = client.run(MODEL, input=SMALL, **options)
    assert isinstance(output, FileOutput)
    assert (opened(output.read()).size, opened(output.read()).format) == ((96, 64), "WEBP")


@shows(PYTHON, "run with a version")
def test_run_takes_a_version_and_fetches_its_schema(client: Client) -> None:
    for ref in (any_model(), f"{MODEL}:{client.models.get(MODEL).versions.list()[0].id}"):
        (output,) = client.run(ref, input=SMALL)
        assert opened(output.read()).size == (96, 64)


@shows(PYTHON, "run of a model with one output")
def test_a_model_of_one_picture_gives_one_file(client: Client) -> None:
    output = client.run(SINGLE, input=SMALL | {"output_format": "png"})
    assert isinstance(output, FileOutput)
    assert opened(output.read()).format == "PNG"


@shows(PYTHON, "asynchronous")
@pytest.mark.anyio
async def test_the_asynchronous_run_gives_files_too(client: Client) -> None:
    found: Any = await client.async_run(MODEL, input=SMALL)
    (output,) = found
    assert opened(await output.aread()).size == (96, 64)
    await client._async_client.aclose()


@shows(PYTHON, "image to image", "inpainting", "upload")
def test_a_file_that_is_given_is_uploaded_and_painted_over(client: Client) -> None:
    given = {"prompt": "a red cat", "num_inference_steps": 2, "prompt_strength": 0.5}
    ways: list[dict[str, Any]] = [{}, {"file_encoding_strategy": "base64"}]
    for options in ways:
        (output,) = client.run(
            any_model(), input=given | {"image": png(), "mask": png("white")}, **options
        )
        assert opened(output.read()).size == (96, 64)


@shows(PYTHON, "stream")
def test_a_stream_ends_with_its_files(client: Client) -> None:
    events = list(client.stream(MODEL, input=SMALL))
    kinds = [event.event.value for event in events]
    assert kinds[-2:] == ["output", "done"]
    assert set(kinds[:-2]) == {"logs"}
    (output,) = [event.data for event in events if event.event.value == "output"]
    assert isinstance(output, FileOutput)
    assert opened(output.read()).size == (96, 64)


@shows(PYTHON, "predictions", "progress")
def test_a_prediction_is_created_asked_after_and_listed(client: Client) -> None:
    prediction = client.predictions.create(model=MODEL, input=SMALL | {"seed": 7})
    assert prediction.status == "starting"
    prediction.wait()
    prediction = client.predictions.get(prediction.id)
    assert prediction.status == "succeeded"
    assert prediction.progress == Prediction.Progress(1.0, 2, 2)
    assert "Using seed: 7" in (prediction.logs or "")
    assert prediction.metrics is not None
    assert prediction.metrics["predict_time"] > 0
    assert prediction.id in [each.id for each in client.predictions.list()]


@shows(PYTHON, "cancel")
def test_a_prediction_is_cancelled(client: Client) -> None:
    prediction = client.predictions.create(version=any_model(), input=LONG)
    prediction.cancel()
    assert prediction.status == "canceled"
    assert prediction.error is None


@shows(PYTHON, "deployments")
def test_every_model_can_be_called_as_a_deployment(client: Client) -> None:
    deployment = client.deployments.get(MODEL)
    assert deployment.current_release is not None
    prediction = deployment.predictions.create(input=SMALL)
    prediction.wait()
    assert (prediction.status, prediction.model) == ("succeeded", MODEL)


@shows(PYTHON, "models", "versions", "collections", "hardware", "accounts")
def test_what_can_be_asked_is_told(client: Client) -> None:
    assert MODEL in [model.id for model in client.models.list()]
    assert [model.id for model in client.models.search("flux steps")] == [MODEL]
    version = client.models.get(MODEL).latest_version
    assert version is not None
    assert client.models.get(MODEL).versions.get(version.id) == version
    schemas = version.openapi_schema["components"]["schemas"]
    assert schemas["Input"]["properties"]["num_outputs"]["maximum"] == 4
    (collection,) = client.collections.list()
    assert MODEL in [model.id for model in client.collections.get(collection.slug)]
    assert client.hardware.list()[0].sku
    assert client.accounts.current().username == "imagemill"


@shows(PYTHON, "files")
def test_files_are_kept_listed_and_deleted(client: Client) -> None:
    file = client.files.create(png(), filename="cat.png", metadata={"a": 1})
    assert (file.name, file.content_type, file.metadata) == ("cat.png", "image/png", {"a": 1})
    assert client.files.get(file.id) == file
    assert file.id in [each.id for each in client.files.list()]
    assert client.files.delete(file.id)
    with pytest.raises(ReplicateError, match="no such file"):
        client.files.get(file.id)


@shows(PYTHON, "errors")
def test_errors_are_told(client: Client) -> None:
    with pytest.raises(ReplicateError, match=r"input\.seed: Invalid type\. Expected: integer"):
        client.run(MODEL, input=SMALL | {"seed": "7"})
    with pytest.raises(ModelError, match="image"):
        client.run(MODEL, input=SMALL | {"image": "data:image/png;base64,AAAA"})
    with pytest.raises(ReplicateError, match="models are configured by the operator"):
        client.models.create("a", "b", visibility="public", hardware="cpu")


class Receiver(BaseHTTPRequestHandler):
    heard: Queue[tuple[dict[str, str], str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.send_response(200)
        self.end_headers()
        self.heard.put((dict(self.headers), body))

    def log_message(self, *_: object) -> None:
        pass


@shows(PYTHON, "webhooks")
def test_a_webhook_is_signed_as_the_client_verifies_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(assembly.MESSAGES, DIALECT, message)
    Receiver.heard = Queue()
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        try:
            prediction = client.predictions.create(model=MODEL, input=SMALL, webhook=url)
            headers, body = Receiver.heard.get(timeout=60)
        finally:
            server.shutdown()
            thread.join()
    assert json.loads(body)["id"] == prediction.id
    secret = client.webhooks.default.secret()
    Webhooks.validate(headers=headers, body=body, secret=secret, tolerance=300)
    with pytest.raises(InvalidSignatureError):
        Webhooks.validate(headers=headers, body=f"{body} ", secret=secret)


def javascript(server: str, code: str, folder: Path, *options: str) -> Any:
    """What `code` hands to `tell`."""
    told = node(
        f"""
        import Replicate, {{ parseProgressFromLogs }} from "replicate";
        const baseUrl = "{server}/replicate/v1", model = "{MODEL}";
        const replicate = new Replicate({{ auth: "r8_abc", baseUrl }});
        const small = {json.dumps(SMALL)}, picture = Buffer.from("{png().getvalue().hex()}", "hex");
        const bytes = async (file) => Buffer.from(await (await file.blob()).arrayBuffer());
        const tell = (told) => process.stdout.write(JSON.stringify(told));
        {code}
        """,
        folder,
        *options,
    )
    return json.loads(told)


@shows(JAVASCRIPT, "text to image", "run", "FileOutput", "progress")
@pytest.mark.parametrize("wait", ['{ mode: "block" }', '{ mode: "poll", interval: 50 }'])
def test_javascripts_run_gives_files_that_can_be_read(
    server: str, packages: Path, wait: str
) -> None:
    told = javascript(
        server,
        f"""
        const seen = [];
        const [file] = await replicate.run(
            model, {{ input: small, wait: {wait} }}, (each) => seen.push(each.status, each.logs));
        tell({{ file: (await bytes(file)).toString("hex"), seen,
                progress: parseProgressFromLogs(seen.at(-1)) }});
        """,
        packages,
    )
    assert opened(bytes.fromhex(told["file"])).size == (96, 64)
    assert told["seen"][-2] == "succeeded"
    assert told["progress"] == {"percentage": 1, "current": 2, "total": 2}


@shows(JAVASCRIPT, "image to image", "upload", "run with a version")
@pytest.mark.parametrize("given", ["picture", "new Blob([picture])"])
def test_javascript_paints_over_a_file(server: str, packages: Path, given: str) -> None:
    """It is uploaded: the strategy data-uri of this release sends the client as the input."""
    told = javascript(
        server,
        f"""
        const input = {{ prompt: "a cat", num_inference_steps: 2, image: {given} }};
        const [file] = await replicate.run("{any_model()}", {{ input }});
        tell((await bytes(file)).toString("hex"));
        """,
        packages,
    )
    assert opened(bytes.fromhex(told)).size == (96, 64)


@shows(JAVASCRIPT, "stream")
def test_javascripts_stream_ends_with_its_files(server: str, packages: Path) -> None:
    told = javascript(
        server,
        """
        const events = [];
        for await (const { event, data } of replicate.stream(model, { input: small }))
            events.push([event, data]);
        const [, url] = events.find(([event]) => event === "output");
        const file = await fetch(url);
        tell({ kinds: events.map(([event]) => event), status: file.status });
        """,
        packages,
    )
    assert told["kinds"][-2:] == ["output", "done"]
    assert told["status"] == 200


@shows(JAVASCRIPT, "predictions", "deployments", "paginate", "cancel")
def test_javascripts_predictions(server: str, packages: Path) -> None:
    told = javascript(
        server,
        f"""
        const made = await replicate.predictions.create({{ model, input: small }});
        const done = await replicate.wait(made, {{ interval: 50 }});
        const again = await replicate.predictions.get(made.id);
        const long = await replicate.predictions.create(
            {{ version: "{any_model()}", input: {json.dumps(LONG)} }});
        const stopped = await replicate.predictions.cancel(long.id);
        const [owner, name] = model.split("/");
        const deployed = await replicate.deployments.predictions.create(
            owner, name, {{ input: small, wait: 60 }});
        let listed = false;
        for await (const page of replicate.paginate(replicate.predictions.list))
            listed ||= page.some(({{ id }}) => id === made.id);
        tell([done.status, again.status, stopped.status, deployed.status, listed]);
        """,
        packages,
    )
    assert told == ["succeeded", "succeeded", "canceled", "succeeded", True]


@shows(
    JAVASCRIPT,
    "files",
    "models",
    "versions",
    "collections",
    "hardware",
    "accounts",
    "webhook secret",
)
def test_what_javascript_can_ask_is_told(server: str, packages: Path) -> None:
    told = javascript(
        server,
        """
        const [owner, name] = model.split("/");
        const file = await replicate.files.create(picture, { a: 1 });
        const { latest_version: version } = await replicate.models.get(owner, name);
        const found = await replicate.models.versions.get(owner, name, version.id);
        tell([
            (await replicate.files.get(file.id)).metadata.a,
            (await replicate.files.list()).results.some(({ id }) => id === file.id),
            await replicate.files.delete(file.id),
            found.openapi_schema.components.schemas.Output.type,
            (await replicate.models.list()).results.length > 4,
            (await replicate.models.search("flux steps")).results.map(({ name }) => name),
            (await replicate.collections.list()).results.length,
            (await replicate.hardware.list())[0].sku,
            (await replicate.accounts.current()).username,
            (await replicate.webhooks.default.secret.get()).key.slice(0, 6),
        ]);
        """,
        packages,
    )
    assert told == [
        1, True, True, "array", True, ["flux-schnell"], 1, "local", "imagemill", "whsec_",
    ]  # fmt: skip


@shows(JAVASCRIPT, "errors")
def test_javascript_is_told_of_errors(server: str, packages: Path) -> None:
    told = javascript(
        server,
        """
        const failing = (input) => replicate.run(model, { input }).catch(({ message }) => message);
        tell([await failing({ prompt: "x", seed: "7" }),
              await failing({ ...small, image: "data:image/png;base64,AAAA" })]);
        """,
        packages,
    )
    assert "input.seed: Invalid type. Expected: integer, given: string" in told[0]
    assert told[1].startswith("Prediction failed: ")
