"""What fal's own JavaScript client can do besides what fal's pages print.

Files in parts, streams by a token instead of a key, statuses as a stream, sockets, cancelling.
"""

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

APP = "fal-ai/flux/dev"
SMALL = {"prompt": "a red cat", "image_size": {"width": 64, "height": 64}, "seed": 7}
STEPS = 3
SHORT = SMALL | {"num_inference_steps": STEPS}
LONG = SMALL | {"image_size": {"width": 1024, "height": 1024}, "num_inference_steps": 50}

# Node has no address book for sockets either; Node 20 has sockets behind an option.
SOCKETS = """
const Plain = globalThis.WebSocket;
globalThis.WebSocket = class extends Plain {
    constructor(address) {
        const url = new URL(address);
        const here = process.env.FAL_LOCAL.replace(/^http/, "ws");
        super(url.host === "fal.run" ? here + "/fal/run" + url.pathname + url.search : address);
    }
};
"""
# Each call as the client makes it: verb and path.
CALLS = """
const calls = [], redirected = globalThis.fetch;
const fetch = (resource, options) => {
    calls.push(`${options.method} ${new URL(resource).pathname}`);
    return redirected(resource, options);
};
fal.config({ credentials: "id:secret", fetch });
"""


def run(code: str, server: str, packages: Path) -> Any:
    """What `code` tells: a module that has `fal`, `app`, `short` and `long`."""
    names = {"app": APP, "short": SHORT, "long": LONG}
    whole = "\n".join(
        [
            'import { fal } from "@fal-ai/client";',
            *(f"const {name} = {json.dumps(value)};" for name, value in names.items()),
            "const tell = (value) => console.log(JSON.stringify(value));",
            code,
        ]
    )
    done = subprocess.run(
        ["node", "--experimental-websocket", "--require", "./redirect.cjs", "--input-type=module",
         "--eval", whole],
        cwd=packages, env=os.environ | {"FAL_KEY": "id:secret", "FAL_LOCAL": server},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.cell("@fal-ai/client", "fal", "upload in parts")
def test_a_file_of_more_than_90_mib_arrives_in_parts_and_whole(server: str, packages: Path) -> None:
    told = run(
        f"""
        import {{ createHash, randomFillSync }} from "node:crypto";
        {CALLS}
        const bytes = randomFillSync(new Uint8Array(91 * 2 ** 20 + 17));
        const blob = new Blob([bytes], {{ type: "application/x-large" }});
        const url = await fal.storage.upload(blob);
        const digest = createHash("sha256").update(bytes).digest("hex");
        tell({{ url, digest, size: blob.size, calls }});
        """,
        server,
        packages,
    )
    first, *parts, last = told["calls"]
    assert first == "POST /storage/upload/initiate-multipart"
    assert [call.rpartition("/")[2] for call in parts] == [str(n) for n in range(1, 11)]
    assert last.endswith("/complete")
    digest, size = hashlib.sha256(), 0
    with requests.get(told["url"], stream=True, timeout=60) as reply:
        assert reply.headers["content-type"] == "application/x-large"
        for piece in reply.iter_content(2**20):
            digest.update(piece)
            size += len(piece)
    assert (digest.hexdigest(), size) == (told["digest"], told["size"])


@pytest.mark.cell("@fal-ai/client", "fal", "stream", "temporary tokens")
@pytest.mark.parametrize("mode", ["server", "client"])
def test_a_stream_ends_with_the_picture_by_key_or_by_token(
    server: str, packages: Path, mode: str
) -> None:
    told = run(
        f"""
        const stream = await fal.stream(app, {{ input: short, connectionMode: "{mode}" }});
        const events = [];
        for await (const event of stream) events.push(event);
        tell({{ events, last: await stream.done(), id: stream.requestId }});
        """,
        server,
        packages,
    )
    *before, last = told["events"]
    assert told["last"] == last
    assert told["id"]
    progress = [event["progress"] for event in before]  # where steps are quick, some are not shown
    assert progress == sorted(progress)
    assert set(progress) <= {round(step / STEPS, 3) for step in range(1, STEPS)}
    assert last["images"][0]["url"].startswith(f"{server}/fal/cdn/")


@pytest.mark.cell("@fal-ai/client", "fal", "temporary tokens")
def test_a_stream_by_a_token_that_is_none_is_refused(server: str, packages: Path) -> None:
    told = run(
        """
        const tokenProvider = async () => "no.real.token";
        const asked = { input: short, connectionMode: "client", tokenProvider };
        const stream = await fal.stream(app, asked);
        tell(await stream.done().catch((error) => error.status));
        """,
        server,
        packages,
    )
    assert told == 401


@pytest.mark.cell("@fal-ai/client", "fal", "subscribe", "stream of statuses")
def test_subscribing_with_a_stream_of_statuses_gathers_the_log(server: str, packages: Path) -> None:
    told = run(
        """
        const updates = [];
        const result = await fal.subscribe(app, {
            input: short, mode: "streaming", logs: true,
            onQueueUpdate: (update) => updates.push(structuredClone(update)),
        });
        tell({ updates, result });
        """,
        server,
        packages,
    )
    last = told["updates"][-1]
    assert last["status"] == "COMPLETED"
    messages = [line["message"] for line in last["logs"]]
    assert len(messages) == len(set(messages)) >= STEPS
    assert told["result"]["requestId"] == last["request_id"]
    assert len(told["result"]["data"]["images"]) == 1


@pytest.mark.cell("@fal-ai/client", "fal", "stream of statuses")
@pytest.mark.parametrize("mode", ["server", "client"])
def test_statuses_stream_until_the_request_is_completed(
    server: str, packages: Path, mode: str
) -> None:
    told = run(
        f"""
        const {{ request_id }} = await fal.queue.submit(app, {{ input: short }});
        const asked = {{ requestId: request_id, logs: true, connectionMode: "{mode}" }};
        const stream = await fal.queue.streamStatus(app, asked);
        const events = [];
        stream.on("data", (event) => events.push(event));
        const last = await stream.done();
        tell({{ request_id, events, last }});
        """,
        server,
        packages,
    )
    statuses = [event["status"] for event in told["events"]]
    assert statuses[-1] == "COMPLETED"
    assert set(statuses) <= {"IN_QUEUE", "IN_PROGRESS", "COMPLETED"}
    assert {event["request_id"] for event in told["events"]} == {told["request_id"]}
    assert told["last"] == told["events"][-1]


@pytest.mark.cell("@fal-ai/client", "fal", "realtime")
def test_a_socket_paints_one_frame_after_another(server: str, packages: Path) -> None:
    told = run(
        f"""
        {SOCKETS}
        {CALLS}
        const prompts = ["a red cat", "a yellow boat", "a blue bird"], frames = [];
        await new Promise((resolve, reject) => {{
            const next = () => connection.send({{
                ...short, prompt: prompts[frames.length], request_id: `frame ${{frames.length}}`,
            }});
            const connection = fal.realtime.connect(app, {{
                throttleInterval: 0,
                onError: reject,
                onResult: (result) => {{
                    frames.push(result);
                    if (frames.length < prompts.length) return next();
                    connection.close();
                    resolve();
                }},
            }});
            next();
        }});
        const shown = frames.map(({{ images: [{{ content, content_type }}], ...rest }}) => ({{
            ...rest, content_type, begins: [...content.slice(0, 3)], size: content.length,
        }}));
        tell({{ shown, calls }});
        """,
        server,
        packages,
    )
    frames = told["shown"]
    assert told["calls"] == ["POST /tokens/"]
    assert [frame["request_id"] for frame in frames] == ["frame 0", "frame 1", "frame 2"]
    assert [frame["prompt"] for frame in frames] == ["a red cat", "a yellow boat", "a blue bird"]
    assert [bytes(frame["begins"]) for frame in frames] == [b"\xff\xd8\xff"] * 3
    assert len({frame["size"] for frame in frames}) > 1


@pytest.mark.cell("@fal-ai/client", "fal", "realtime", "errors")
def test_a_socket_tells_what_is_wrong_and_stays_open(server: str, packages: Path) -> None:
    told = run(
        f"""
        {SOCKETS}
        const heard = [];
        await new Promise((resolve) => {{
            const connection = fal.realtime.connect(app, {{
                throttleInterval: 0,
                onError: (error) => {{
                    if (heard.length) return;  // it calls its own closing an error, of code 1005
                    heard.push(error.message);
                    connection.send(short);
                }},
                onResult: (result) => {{
                    heard.push(result.prompt);
                    connection.close();
                    resolve();
                }},
            }});
            connection.send({{ ...short, num_inference_steps: 0 }});
        }});
        tell(heard);
        """,
        server,
        packages,
    )
    error, prompt = told
    assert error.startswith("INVALID_PAYLOAD: num_inference_steps")
    assert prompt == SHORT["prompt"]


@pytest.mark.cell("@fal-ai/client", "fal", "cancel")
def test_a_request_that_is_cancelled_is_completed_with_an_error(
    server: str, packages: Path
) -> None:
    told = run(
        """
        const { request_id: requestId } = await fal.queue.submit(app, { input: long });
        await fal.queue.cancel(app, { requestId });
        const status = await fal.queue.subscribeToStatus(app, { requestId, mode: "streaming" });
        const { status: code, body } = await fal.queue.result(app, { requestId }).catch((e) => e);
        const again = await fal.queue.cancel(app, { requestId }).catch((e) => e);
        tell({ status, code, body, again: { code: again.status, body: again.body } });
        """,
        server,
        packages,
    )
    assert told["status"]["status"] == "COMPLETED"
    assert told["status"]["error_type"] == "client_cancelled"
    assert (told["code"], told["body"]["error_type"]) == (499, "client_cancelled")
    assert told["again"] == {"code": 400, "body": {"status": "ALREADY_COMPLETED"}}


@pytest.mark.cell("@fal-ai/client", "fal", "stream", "cancel")
def test_a_stream_that_is_aborted_frees_the_engine(server: str, packages: Path) -> None:
    told = run(
        """
        const stream = await fal.stream(app, { input: long });
        await new Promise((resolve) => stream.on("data", resolve));
        stream.abort();
        await stream.done();
        const last = await fal.queue.subscribeToStatus(app, { requestId: stream.requestId });
        tell(last);
        """,
        server,
        packages,
    )
    assert (told["status"], told["error_type"]) == ("COMPLETED", "client_cancelled")
