"""The table of models: no name means two of them, and dialects name what it has."""

from typing import get_args

import pytest

from imagemill.catalog.models import ENDPOINTS, MODELS, OWN, Provider, defaults_of, named_by
from imagemill.dialects.fal.pages import PAGES
from imagemill.dialects.nebula.vocabulary import MODELS as NEBULA
from imagemill.dialects.replicate.predictors import PREDICTORS

FLUX = "black-forest-labs/FLUX.1-schnell"


@pytest.mark.parametrize("provider", get_args(Provider))
def test_no_name_of_a_provider_means_two_models(provider: Provider) -> None:
    names = [name for model in MODELS.values() for name in model.aliases.get(provider, ())]
    assert len(names) == len(set(names)) > 0
    for model in MODELS.values():
        assert {named_by(provider, name) for name in model.aliases.get(provider, ())} <= {model.id}


def test_a_name_that_no_provider_has_means_no_model() -> None:
    assert named_by("replicate", "black-forest-labs/flux-schnell") == FLUX
    assert named_by("together", "black-forest-labs/flux-schnell") is None


def test_every_listed_name_is_a_page_of_fal_s_and_none_is_left_out() -> None:
    assert {*ENDPOINTS} == {*PAGES}


def test_open_weights_are_known_by_their_own_id_and_closed_ones_by_their_endpoint() -> None:
    for model in MODELS.values():
        assert model.weights == (None if model.id in ENDPOINTS else model.id)


def test_what_other_dialects_have_pages_of_is_in_the_table() -> None:
    assert {each.weights for each in PREDICTORS.values() if each.weights} <= {*MODELS}
    assert {*NEBULA} <= {*MODELS}


def test_a_model_that_nobody_knows_has_the_usual_defaults() -> None:
    assert defaults_of(FLUX).steps == 4
    assert defaults_of("someone/something").steps == 28
    assert not {*OWN} & {*MODELS}
