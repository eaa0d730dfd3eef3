"""Instructions: what a prompt asks to change in an image."""

import pytest

from imagemill.pico.reading.changes import (
    Add,
    Change,
    Move,
    Noun,
    Recolour,
    Remove,
    Replace,
    Resettle,
    Resize,
    Restyle,
)
from imagemill.pico.reading.instructions import instruction, remarks

DRESS, CAT, DOG = Noun("dress", "dress"), Noun("cat", "cat"), Noun("dog", "dog")
ENGLISH: dict[str, tuple[Change, ...]] = {
    "Make the dress blue": (Recolour(DRESS, "blue"),),
    "Change the colour of the dress to blue": (Recolour(DRESS, "blue"),),
    "The dress should be blue": (Recolour(DRESS, "blue"),),
    "Make the red dress blue": (Recolour(Noun("dress", "dress", "red"), "blue"),),
    "change the dress from red to blue": (Recolour(Noun("dress", "dress", "red"), "blue"),),
    "Please make the cat smaller": (Resize(CAT, 0.65),),
    "Remove the cat and the dog": (Remove(CAT), Remove(DOG)),
    "Remove the cat from the dog": (Remove(CAT),),
    "Turn the cat into a dog": (Replace(CAT, DOG),),
    "swap the cat for a dog": (Replace(CAT, DOG),),
    "Move the cat to the left": (Move(CAT, -0.25, 0.0),),
    "Add a cat": (Add(CAT),),
    "Give the dog a hat": (Add(Noun("hat", "hat", relation="wears", of=DOG)),),
    "Add a red hat to the dog": (Add(Noun("hat", "hat", "red", relation="wears", of=DOG)),),
    "Add a cat next to the dog": (Add(Noun("cat", "cat", relation="beside", of=DOG)),),
    "make it night": (Resettle(time="night"),),
    "Change the background to a beach": (Resettle(place="beach"),),
    "Put the dog on a beach": (Resettle(place="beach"),),
    "Make the sky pink": (Resettle(time="sunset"),),
    "Remove the background": (Resettle(place="studio"),),
    "Make the picture black and white": (Restyle("black and white"),),
    "Make it look like a watercolour painting": (Restyle("watercolour"),),
    "Remove the cat, make the dress blue and make it night": (
        Remove(CAT),
        Recolour(DRESS, "blue"),
        Resettle(time="night"),
    ),
}


@pytest.mark.parametrize("prompt", ENGLISH)
def test_an_instruction_is_read_as_what_it_asks_for(prompt: str) -> None:
    assert instruction(prompt).changes == ENGLISH[prompt]


@pytest.mark.parametrize(
    "prompt",
    [
        "Mach das Kleid blau", "Rends la robe bleue", "Haz el vestido azul", "Rendi il vestito blu",
        "Torne o vestido azul", "Maak de jurk blauw", "Gör klänningen blå",
        "Zmień sukienkę na niebieską", "Сделай платье синим", "把裙子变成蓝色", "ドレスを青くして",
    ],
)  # fmt: skip
def test_the_page_s_own_instruction_is_read_in_a_dozen_languages(prompt: str) -> None:
    (change,) = instruction(prompt).changes
    assert isinstance(change, Recolour)
    assert (change.noun.concept, change.colour) == ("dress", "blue")


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("Entferne den Hund", Remove), ("Supprime le chien", Remove), ("Удали кошку", Remove),
        ("Ersetze die Katze durch einen Hund", Replace), ("Ajoute un chapeau au chien", Add),
        ("Füge eine Katze neben dem Hund hinzu", Add),
    ],
)  # fmt: skip
def test_other_verbs_are_read_in_other_languages(prompt: str, kind: type) -> None:
    assert [type(change) for change in instruction(prompt).changes] == [kind]


@pytest.mark.parametrize(
    "prompt",
    [
        "Add the bird from image 1 to the desk in image 2",
        "the bird from image 1 on the desk in image 2",
        "The bird from the first image on the desk in the second image",
    ],
)
def test_a_thing_of_one_image_comes_to_a_thing_of_another(prompt: str) -> None:
    (change,) = instruction(prompt).changes
    desk = Noun("table", "desk", image=1)
    assert change == Add(Noun("bird", "bird", image=0, relation="on", of=desk))


def test_an_image_that_a_thing_comes_into_is_the_one_that_is_changed() -> None:
    asked = instruction("put the bird from image 2 into image 1")
    assert asked.base == 0
    assert asked.changes == (Add(Noun("bird", "bird", image=1)),)


@pytest.mark.parametrize(
    "prompt", ["A bird on a desk", "A red dress", "Make a picture of a cat", "an edit of nothing"]
)
def test_a_description_is_no_instruction(prompt: str) -> None:
    assert instruction(prompt).changes == ()


def test_the_verb_of_an_instruction_is_no_unknown_word() -> None:
    assert remarks("Remove the flibbert") == ("flibbert",)
