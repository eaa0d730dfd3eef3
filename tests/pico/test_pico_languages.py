"""Prompts of fourteen languages are read as the English ones that they translate."""

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from imagemill.pico.reading import read
from imagemill.pico.scene import Scene

PROMPTS = Path(__file__).parents[2] / "training" / "prompts_languages.tsv"

# What is asked of a scene, and the least share of all prompts that must say the same as in English.
QUESTIONS: dict[str, tuple[Callable[[Scene], object], float]] = {
    "things": (lambda scene: sorted(each.concept for each in scene.things), 0.96),
    "colours": (lambda scene: {x.concept: x.colour for x in scene.things if x.colour}, 0.99),
    "counts": (lambda scene: sorted(x.count for x in scene.things), 0.97),
    "place": (lambda scene: scene.place, 0.96),
    "time": (lambda scene: scene.time, 0.99),
    "weather": (lambda scene: scene.weather, 0.99),
    "style": (lambda scene: scene.style, 1),
}


@cache
def translations() -> list[tuple[str, Scene, Scene]]:
    """The language of each prompt, its scene, and that of its English twin."""
    found, english = [], Scene()
    for line in PROMPTS.read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        code, prompt = line.split("\t")
        scene = read(prompt).scene
        if code == "en":
            english = scene
        else:
            found.append((code, scene, english))
    return found


@pytest.mark.parametrize("question", QUESTIONS)
def test_prompts_say_the_same_in_every_language(question: str) -> None:
    told, least = QUESTIONS[question]
    same = Counter(told(scene) == told(english) for _, scene, english in translations())
    assert same[True] >= least * same.total() > 150


def test_the_main_thing_is_known_in_every_language() -> None:
    for code, scene, english in translations():
        assert english.things[0].concept in {each.concept for each in scene.things}, code


@pytest.mark.parametrize(
    ("prompt", "relation"),
    [
        ("une fille à cheval", "rides"),
        ("un uomo in bicicletta", "rides"),
        ("кот в шляпе", "wears"),
        ("niedźwiedź w kapeluszu", "wears"),
        ("un chat à côté d'une tasse", "beside"),
    ],
)
def test_small_words_say_how_things_stand(prompt: str, relation: str) -> None:
    things = read(prompt).scene.things
    assert len(things) == 2
    assert relation in {each.relation for each in things}


@pytest.mark.parametrize(
    ("prompt", "thing", "count", "colour"),
    [
        ("사과 세 개", "apple", 3, ""),
        ("りんご三個", "apple", 3, ""),
        ("yeşil bir araba", "car", 1, "green"),
        ("un'auto verde", "car", 1, "green"),
        ("लाल सोफे", "couch", 1, "red"),
    ],
)
def test_counts_behind_articles_within_and_other_forms(
    prompt: str, thing: str, count: int, colour: str
) -> None:
    (found,) = read(prompt).scene.things
    assert (found.concept, found.count, found.colour) == (thing, count, colour)
