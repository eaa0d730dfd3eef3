"""Bodies taken at their word: JSON as the standard has it, and values that are what they say."""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagemill.errors import Fault, Kind, invalid
from imagemill.generation import LONGEST_PICTURE
from imagemill.http import long_json
from imagemill.http.fields import GUIDANCE, SEED, SIDE, STEPS, without_length
from imagemill.http.unknown_fields import UnknownFields
from imagemill.scheduler_names import SCHEDULERS
from imagemill.value_checks import LONGEST_URL, MAX_PROMPT

Body = TypeVar("Body", bound=BaseModel)

SHOWN_ERRORS = 8  # of one body
# Commas and brackets of a body: what it can cost to read and to complain of. Long ones are pictures
# in base64, which has none of them; the longest prompt, and what not to paint, fit.
MOST_SIGNS = 30_000
DEEPEST = 64  # levels; what is told again must be written, with less room than it was read with

# By pydantic's own name of what is wrong; {value} is what came.
WRONG: dict[str, str] = {
    "missing": "is required",
    "int_type": "{value} is not an integer",
    "int_parsing": "{value} is not an integer",
    "int_from_float": "{value} is not an integer",
    "float_type": "{value} is not a number",
    "float_parsing": "{value} is not a number",
    "finite_number": "{value} is not a finite number",
    "bool_type": "{value} is not true or false",
    "bool_parsing": "{value} is not true or false",
    "string_type": "{value} is not a string",
    "string_too_long": "the text has {length} characters; at most {max_length} are read",
    "string_unicode": "the string has half of a surrogate pair; send whole ones",
    "model_type": "{value} is not an object",
}


class Lax(BaseModel):
    """A body as FastAPI takes it: a number may come in quotes, and an integer as 7.0; no unknown
    field.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_max_length=LONGEST_URL)


class Strict(Lax):
    """A body without coercion: no number in quotes, no boolean for a number, no unknown field."""

    model_config = ConfigDict(strict=True)


class Reply(Strict):
    """What is sent back: pictures within it may be of any length."""

    model_config = ConfigDict(str_max_length=None)


def _field(description: str, extra: dict[str, Any], **limits: Any) -> Any:
    return Field(description=description, json_schema_extra=extra, **limits)


def picture(description: str) -> Any:
    """A field for an address or a picture itself, as base64 or a data URI. How long an address may
    be is checked by Generation.
    """
    return Field(
        description=description, max_length=LONGEST_PICTURE, json_schema_extra=without_length
    )


# Generation tells how long a prompt may be, for every door alike.
_PROMPT = {"max_length": LONGEST_PICTURE}
Prompt = Annotated[
    str, _field("What to paint.", {"minLength": 1, "maxLength": MAX_PROMPT}, **_PROMPT)
]
Negative = Annotated[str | None, _field("What not to paint.", {"maxLength": MAX_PROMPT}, **_PROMPT)]
Side = Annotated[int | None, SIDE.stated()]
Steps = Annotated[int | None, STEPS.stated()]
Guidance = Annotated[float | None, GUIDANCE.stated()]
Scheduler = Annotated[
    str | None, _field("Class name of a scheduler of diffusers.", {"enum": [*SCHEDULERS, None]})
]
Seed = Annotated[int | None, SEED.stated()]


def text(body: bytes) -> str:
    try:
        return long_json.decoded(body)
    except UnicodeDecodeError as error:
        raise invalid(
            "body", f"the body is not UTF-8: byte {error.start} cannot be read; send UTF-8"
        ) from None


def parse(body: str) -> Any:
    """The JSON value in `body`."""
    if not body.strip():
        raise invalid("body", "the body is empty; send JSON")
    if long_json.exceeds(body, ",[{", MOST_SIGNS):
        raise invalid("body", f"the body has more than {MOST_SIGNS} values; a few are enough")
    try:
        value = long_json.loads(body, _no_twins, _no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise invalid("body", f"the body is not JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:  # Python's own bound on the digits of an integer
        raise invalid("body", "the body has an integer of thousands of digits") from None
    _check_levels(value)
    return value


def with_integers(value: Any) -> Any:
    """A JSON value with 7 for 7.0, which JSON Schema takes for an integer and Python does not."""
    if isinstance(value, dict):
        return {name: with_integers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [with_integers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check_levels(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for each in level for inner in within(each)]
    if level:
        raise _too_deep()


def _too_deep() -> Fault:
    return invalid("body", f"the body is nested too deeply; give at most {DEEPEST} levels")


def within(value: Any) -> Iterable[Any]:
    """What a JSON value consists of."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def take(model: type[Body], value: Any, unknown: UnknownFields | None = None) -> Body:
    """`value` as a `model`; a Fault names everything that is wrong with it. unknown: what becomes
    of unknown fields; left out, they are refused.
    """
    try:
        return (unknown or UnknownFields()).take(model, value)
    except ValidationError as error:
        errors = error.errors(include_url=False)[:SHOWN_ERRORS]
        message = "; ".join(_tell(model, one) for one in errors)
        raise Fault(Kind.INVALID, message) from None  # its fields are the wire's, not canonical


@cache
def schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON Schema with everything in its place, as OpenAPI has no room for definitions beside."""
    whole = model.model_json_schema()
    definitions = whole.pop("$defs", {})

    def inline(part: Any) -> Any:
        if isinstance(part, list):
            return [inline(one) for one in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return inline(definitions[part["$ref"].rpartition("/")[2]])
        return {name: inline(value) for name, value in part.items()}

    return dict(inline(whole))


def names(*models: type[BaseModel]) -> frozenset[str]:
    """Of all fields of bodies, and of what is within them."""
    known = set[str]()
    for model in models:
        for name, field in model.model_fields.items():
            known |= {name, field.alias or name, *names(*_models(field.annotation))}
    return frozenset(known)


def _tell(model: type[BaseModel], error: Any) -> str:
    path = _path(error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown field {path!r}; known are {', '.join(_known(model, error['loc']))}"
    if not path:
        return f"the body: {shown(error['input'])} is not an object"
    return f"{path}: {wrong(error)}"


def wrong(error: Any) -> str:
    """What is wrong with a value, of pydantic's errors; without its name."""
    if error["type"] not in WRONG:
        return str(error["msg"])
    value = error["input"]
    facts = {"value": shown(value), "length": len(value) if isinstance(value, str) else 0}
    return WRONG[error["type"]].format(**facts, **error.get("ctx", {}))


def _known(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    for part in loc[:-1]:
        if isinstance(part, str):  # not the place in a list
            model = _within(model.model_fields[part].annotation)
    return [field.alias or name for name, field in model.model_fields.items()]


def _within(annotation: Any) -> type[BaseModel]:
    """The model in `Model | None`, `list[Model]` and the like."""
    return next(_models(annotation))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _models(each)


def _path(loc: tuple[Any, ...]) -> str:
    return ".".join(f"{part!s:.80}" for part in loc)


def shown(value: Any) -> str:
    """Short, and never deep."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int) and value.bit_length() > 100:
        return f"an integer of {value.bit_length()} bits"
    return f"{json.dumps(value[:80] if isinstance(value, str) else value):.80}"


def _no_constant(name: str) -> Any:
    raise invalid("body", f"{name} is not JSON, and no value here may be it; give a finite number")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise invalid("body", "the body has an object with the same name twice; give each once")
    return members
