"""Upstreams that speak fal's queue, as fal's own clients do: submit, look, fetch, cancel."""

from collections.abc import Mapping
from typing import Any

from imagemill.generation import Generation
from imagemill.images.data_uris import as_data_uri
from imagemill.upstreams.api import Api, ApiCall, UpstreamReply, garbled
from imagemill.upstreams.dialect import marks
from imagemill.upstreams.fal_tables import TABLES
from imagemill.upstreams.outcome import RemoteImages, RemoteState
from imagemill.upstreams.refusals import Complaint, failure, refusal
from imagemill.upstreams.wire import Table, WireBody, table_of

CALLERS = (400, 413, 422)  # of errors that the caller can mend
POLICY = "content_policy_violation"
NAMESPACES = frozenset({"workflows", "comfy"})  # one part more of an application's name


class FalQueue:
    """Implements `dialect.UpstreamDialect`."""

    scheme, queues = "Key", True

    def table(self, model: str) -> Table:
        return table_of(TABLES, model)

    def image(self, content: bytes, field: str, model: str) -> str:
        return as_data_uri(content, "image/png")

    def submission(self, outgoing: Generation, model: str, body: WireBody) -> ApiCall:
        return ApiCall("POST", f"/{model}", dict(body.fields))

    def accepted(self, api: Api, reply: UpstreamReply, table: Table) -> str:
        if reply.status >= 400:
            raise refusal(api, reply, _complaint(reply), table)
        answer = reply.json()
        id = answer.get("request_id") if isinstance(answer, dict) else None
        if not isinstance(id, str):
            raise garbled(api.name, "a submission was answered without a request_id")
        return id

    async def look(self, api: Api, model: str, id: str, table: Table, until: float) -> RemoteState:
        place = _place(model, id)
        reply = await api.send(ApiCall("GET", f"{place}/status?logs=1"), until)
        if reply.status >= 400:
            raise refusal(api, reply, _complaint(reply), table)
        answer = reply.json()
        if not isinstance(answer, dict) or not isinstance(answer.get("status"), str):
            raise garbled(api.name, "the status of a request was no object with a status")
        lines = _lines(answer)
        if answer["status"] != "COMPLETED":
            return RemoteState(lines)
        # What failed is answered with the status of its error, which asking again would not mend.
        result = await api.send(ApiCall("GET", place, final="error" in answer), until)
        if result.status >= 400:
            complaint = _complaint(result)
            if "error" in answer and result.status not in CALLERS:
                raise failure(api, complaint.message)
            raise refusal(api, result, complaint, table)
        return RemoteState(lines, _images(api, result))

    def cancellation(self, model: str, id: str) -> ApiCall:
        return ApiCall("PUT", f"{_place(model, id)}/cancel")


def _place(model: str, id: str) -> str:
    """Of a request: below the application, without what follows its name."""
    parts = model.split("/")
    kept = parts[: 3 if parts[0] in NAMESPACES else 2]
    return f"/{'/'.join(kept)}/requests/{id}"


def _lines(answer: Mapping[str, Any]) -> tuple[str, ...]:
    logs = answer.get("logs")
    rows = [each for each in logs if isinstance(each, dict)] if isinstance(logs, list) else []
    return tuple(str(each.get("message", "")) for each in rows)


def _images(api: Api, reply: UpstreamReply) -> RemoteImages:
    output = reply.json()
    files = _files(output) if isinstance(output, dict) else []
    places = tuple(each["url"] for each in files if isinstance(each.get("url"), str))
    if not places:
        raise garbled(api.name, "the result has no images with a url")
    said = marks(reply.headers, len(places))
    if isinstance(flags := output.get("has_nsfw_concepts"), list):
        said["flagged"] = tuple(map(bool, flags[: len(places)]))
    return RemoteImages(places, cost=_cost(reply.headers), **said)


def _files(output: Mapping[str, Any]) -> list[dict[str, Any]]:
    files = output.get("images") or [output.get("image")]
    return [each for each in files if isinstance(each, dict)] if isinstance(files, list) else []


def _cost(headers: Mapping[str, str]) -> dict[str, float]:
    try:
        return {"billable_units": float(headers["x-fal-billable-units"])}
    except (KeyError, ValueError):
        return {}


def _complaint(reply: UpstreamReply) -> Complaint:
    answer = reply.json()
    detail = answer.get("detail") if isinstance(answer, dict) else None
    rows = [each for each in detail if isinstance(each, dict)] if isinstance(detail, list) else []
    if not rows:
        return Complaint(str(detail or f"status {reply.status}"))
    places = [[str(part) for part in each.get("loc", ()) if part != "body"] for each in rows]
    return Complaint(
        "; ".join(str(each.get("msg", "")) for each in rows),
        next((place[0] for place in places if place), ""),
        any(each.get("type") == POLICY for each in rows),
    )
