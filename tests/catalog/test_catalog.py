"""The catalog: which id is served by what."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from imagemill.catalog import EMBEDDED, OWN_ID, Catalog
from imagemill.catalog.versions import fingerprint
from imagemill.errors import Fault, Kind
from imagemill.generation import Draft
from imagemill.model_spec import FixedLora, ModelDefaults, ModelSpec


def make_catalog(
    models: Mapping[str, str | ModelSpec] | None = None, stand_ins: bool = True, version: str = "1"
) -> Catalog:
    return Catalog(models or {}, stand_ins, lambda source: f"{source} {version}")


def test_any_model_is_stood_in_for_by_the_embedded_one() -> None:
    endpoint = make_catalog().find("black-forest-labs/FLUX.1-dev")
    assert (endpoint.source, endpoint.stands_in) == (EMBEDDED, True)
    generation = endpoint.generation(Draft("a cat"))
    asked = (generation.width, generation.height, generation.steps, generation.guidance_scale)
    assert asked == (512, 512, 12, 4.0)


def test_the_embedded_model_does_not_stand_in_for_itself() -> None:
    assert not make_catalog().find(OWN_ID).stands_in


def test_a_configured_model_is_served_by_its_own_weights_with_its_own_defaults() -> None:
    catalog = make_catalog({"black-forest-labs/FLUX.1-dev": "some/folder"})
    endpoint = catalog.find("black-forest-labs/FLUX.1-dev")
    assert (endpoint.source, endpoint.stands_in) == ("some/folder", False)
    assert endpoint.generation(Draft("a cat")).guidance_scale == 3.5


def test_without_stand_ins_other_models_are_missing_and_the_rest_are_named() -> None:
    catalog = make_catalog({"a/b": "folder"}, stand_ins=False)
    assert catalog.find("a/b").source == "folder"
    assert catalog.find(OWN_ID).source == EMBEDDED
    with pytest.raises(Fault, match=r"model c/d is not available here; .*a/b") as raised:
        catalog.find("c/d")
    assert raised.value.kind is Kind.NOT_FOUND


@pytest.mark.parametrize(
    "id", ["", "a/", "/b", "a//c", "../b", "a/../b", "a/.", "a/\n", "a b/c", "a/" + "b" * 97]
)
def test_what_is_no_model_id_is_not_found(id: str) -> None:
    with pytest.raises(Fault, match="owner/name") as raised:
        make_catalog().find(id)
    assert raised.value.kind is Kind.NOT_FOUND


def test_a_configured_id_that_no_route_could_reach_is_told() -> None:
    with pytest.raises(Fault, match="'my pico' is not a model id; write it owner/name"):
        make_catalog({"my pico": "folder"})


def test_a_model_may_have_no_owner() -> None:
    catalog = make_catalog({"gpt-image-1": "folder"})
    assert catalog.find("gpt-image-1").source == "folder"
    assert catalog.find("dall-e-3").stands_in


def test_the_default_is_the_first_configured_model() -> None:
    assert make_catalog({"a/b": "x", "c/d": "y"}).default == "a/b"
    assert make_catalog().default == OWN_ID


def test_a_seed_left_open_is_drawn_and_zero_is_not_left_open() -> None:
    endpoint = make_catalog().find("a/b")
    drawn = {endpoint.generation(Draft("a cat")).seed for _ in range(8)}
    assert len(drawn) > 1
    assert endpoint.generation(Draft("a cat", seed=0, guidance_scale=0)).seed == 0
    assert endpoint.generation(Draft("a cat", guidance_scale=0)).guidance_scale == 0


def test_the_version_changes_when_weights_change(tmp_path: Path) -> None:
    weights = tmp_path / "unet" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"one")
    os.utime(weights, (1, 1))
    before = fingerprint(str(tmp_path))
    assert fingerprint(str(tmp_path)) == before
    os.utime(weights, (2, 2))
    assert fingerprint(str(tmp_path)) != before


def test_the_version_tells_sources_apart() -> None:
    assert len({fingerprint(source) for source in (EMBEDDED, "owner/name", "owner/other")}) == 3


def test_an_alias_is_the_same_model() -> None:
    catalog = make_catalog({"a/b": ModelSpec("folder", dtype="float16", aliases=("c/d", "e"))})
    assert catalog.find("c/d").source == catalog.find("e").source == catalog.find("a/b").source
    assert not catalog.find("c/d").stands_in


def test_a_name_that_stands_for_two_models_is_told() -> None:
    one = ModelSpec("one", aliases=("c/d",))
    for other in ({"c/d": "two"}, {"e/f": ModelSpec("two", aliases=("c/d",))}):
        with pytest.raises(Fault, match="c/d stands for two models; leave it out at one"):
            make_catalog({"a/b": one, **other})
        with pytest.raises(Fault, match="c/d stands for two models"):
            make_catalog({**other, "a/b": one})


def test_an_alias_that_no_route_could_reach_is_told() -> None:
    with pytest.raises(Fault, match="'my pico' is not a model id"):
        make_catalog({"a/b": ModelSpec("folder", aliases=("my pico",))})


def test_defaults_of_the_operator_win_over_those_of_the_model() -> None:
    model = ModelSpec("folder", defaults=ModelDefaults(width=512, steps=8))
    endpoint = make_catalog({"black-forest-labs/FLUX.1-dev": model}).find(
        "black-forest-labs/FLUX.1-dev"
    )
    generation = endpoint.generation(Draft("a cat"))
    assert (generation.width, generation.height, generation.steps) == (512, 1024, 8)
    assert generation.guidance_scale == 3.5


def test_the_version_changes_with_what_is_said_of_a_model(tmp_path: Path) -> None:
    lora, model = tmp_path / "lora.safetensors", tmp_path / "model.safetensors"
    for path in (lora, model):
        path.write_bytes(b"one")
        os.utime(path, (1, 1))
    spec = ModelSpec(str(model), loras=(FixedLora(str(lora)),))
    versions = [fingerprint(spec.address), fingerprint(replace(spec, dtype="float16").address)]
    for path in (lora, model):
        os.utime(path, (2, 2))
        versions.append(fingerprint(spec.address))
    assert len(set(versions)) == 4


def test_the_version_does_not_change_with_what_changes_no_picture() -> None:
    assert fingerprint(ModelSpec("a/b", keep=True).address) == fingerprint("a/b")
