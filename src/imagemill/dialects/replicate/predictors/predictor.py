"""A predictor: what goes into a model and what comes out of it, as Replicate has them."""

from dataclasses import dataclass
from typing import Any

from imagemill.dialects.replicate.predictors import drafts
from imagemill.dialects.replicate.predictors.inputs import Usual
from imagemill.generation import Draft

_FILE = {"type": "string", "format": "uri"}


@dataclass(frozen=True)
class Predictor:
    """A model, as its page at Replicate has it."""

    #: As at Replicate.
    id: str
    #: A sentence.
    description: str
    #: What it takes.
    Input: type[Usual]
    #: Those that the model's own page names, in its order; all others are read as well.
    fields: tuple[str, ...]
    #: One image comes out, not a list.
    single: bool = False
    #: The Hub id of open weights; None where there are none.
    weights: str | None = None
    #: An image decides the shape of the result, whatever aspect_ratio says.
    follows: bool = False

    def read(self, body: Usual) -> tuple[Draft, list[str]]:
        """The draft, and remarks on what does nothing."""
        return drafts.read(body, self.follows)

    def openapi(self) -> dict[str, Any]:
        """The schema of a version, as Cog writes it."""
        files = {"type": "array", "items": _FILE}
        output = (_FILE if self.single else files) | {"title": "Output"}
        return {
            "openapi": "3.0.2",
            "info": {"title": "Cog", "version": "0.1.0"},
            "paths": {},
            "components": {"schemas": {"Input": self._input(), "Output": output}},
        }

    def _input(self) -> dict[str, Any]:
        whole = self.Input.model_json_schema()
        properties = whole["properties"]
        return {
            "type": "object",
            "title": "Input",
            "required": [name for name in whole.get("required", []) if name in self.fields],
            "properties": {
                name: _open(properties[name]) | {"x-order": order}
                for order, name in enumerate(self.fields)
            },
        }


def _open(part: dict[str, Any]) -> dict[str, Any]:
    """A field's schema without the word that it may be null: Cog leaves it out."""
    kinds = [kind for kind in part.get("anyOf", []) if kind != {"type": "null"}]
    said = {name: value for name, value in part.items() if name != "anyOf"}
    if said.get("default", 0) is None:
        del said["default"]
    return (kinds[0] if kinds else {}) | said
