"""A scene said in plain English, as people ask for it; what `imagemill.pico.reading` must read."""

import random

from imagemill.pico.layout import place_of
from imagemill.pico.scene import Scene, Thing

PLACED = {
    "studio": "on a plain background", "meadow": "in a meadow", "garden": "in a garden",
    "forest": "in a forest", "jungle": "in a jungle", "mountains": "in the mountains",
    "lake": "at a lake", "sea": "at sea", "beach": "on a beach", "underwater": "under water",
    "desert": "in the desert", "snow": "in the snow", "street": "in a street",
    "city": "in a city", "room": "in a room", "bedroom": "in a bedroom",
    "kitchen": "in a kitchen", "bathroom": "in a bathroom", "restaurant": "in a restaurant",
    "library": "in a library", "space": "in outer space", "moon": "on the surface of the moon",
    "japan": "in Japan", "farm": "on a farm", "sky": "in the sky", "stage": "on a stage",
}  # fmt: skip
TIMED = {
    "day": "", "dawn": "at dawn", "sunset": "at sunset", "twilight": "at twilight",
    "night": "at night", "grey": "on an overcast day",
}  # fmt: skip
WEATHERED = {
    "": "", "rain": "in the rain", "snow": "while it snows", "fog": "in fog", "storm": "in a storm",
}  # fmt: skip
RELATED = {
    "beside": "next to", "rides": "riding", "sits on": "sitting on", "on": "on", "in": "inside",
    "under": "under", "behind": "behind", "before": "in front of", "above": "above",
    "flies over": "flying over", "at": "at",
}  # fmt: skip
STYLED = {"oil": "oil painting", "pencil": "pencil drawing"}  # which are things by themselves
CARRIED = {"holds": "holding", "wears": "wearing"}  # said of the host
COUNTED = ("", "a", "two", "three", "four", "five", "six")
SIZED = ((0.5, "tiny"), (0.8, "small"), (1.2, ""), (1.45, "big"), (9.0, "huge"))
FILLED = (
    "a photo of {}", "{}, highly detailed, 4k", "{}, beautiful and calm", "a picture of {}",
    "{}. Soft light fills the scene and a quiet mood settles over everything.",
)  # fmt: skip


def noun(thing: Thing) -> str:
    """With its count, size and colour: "two small red apples"."""
    size = next(word for most, word in SIZED if thing.size <= most)
    words = [COUNTED[thing.count], size, thing.colour, thing.concept]
    if thing.count > 1:
        words[-1] = plural(thing.concept)
    said = " ".join(word for word in words if word)
    return "an" + said[1:] if said[:2] == "a " and said[2] in "aeiou" else said


def plural(word: str) -> str:
    if word.endswith("s") and not word.endswith(("ss", "us")):
        return word  # glasses, stairs
    for ending, more in (("y", "ies"), ("s", "ses"), ("x", "xes"), ("ch", "ches"), ("sh", "shes")):
        if word.endswith(ending) and not word.endswith(("ay", "ey", "oy", "uy")):
            return word[: -len(ending)] + more
    return f"{word}s"


def caption(scene: Scene, rng: random.Random | None = None) -> str:
    """rng: with fillers as people write them, else plain."""
    said = " and ".join(_clauses(scene)) or "an empty place"
    where = (PLACED[place_of(scene)], TIMED[scene.time], WEATHERED[scene.weather])
    words = " ".join(word for word in (said, *where) if word)
    if scene.closeup:
        words = f"close-up of {words}"
    if scene.title:
        words = f'{words}, with the text "{scene.title}"'
    if rng is not None:
        words = rng.choice(FILLED).format(words)
    return words if scene.style == "3d" else f"{words}, {STYLED.get(scene.style, scene.style)}"


def _clauses(scene: Scene) -> list[str]:
    mentioned = set[int]()
    out = []
    for i, thing in enumerate(scene.things):
        if thing.of is None:
            continue
        host = scene.things[thing.of]
        if thing.of in mentioned or i in mentioned:
            continue
        mentioned |= {i, thing.of}
        if thing.relation in CARRIED:
            out.append(f"{noun(host)} {CARRIED[thing.relation]} {noun(thing)}")
        else:
            out.append(f"{noun(thing)} {RELATED[thing.relation]} {noun(host)}")
    return out + [noun(each) for i, each in enumerate(scene.things) if i not in mentioned]
