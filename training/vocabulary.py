"""Writes `vocabulary.json` of the model: the first N objects, with the synonyms people use.

python -m training.vocabulary 60
"""

import json
import sys

from imagemill.pico.vocabulary import PATH
from training import icons, scenes

SYNONYMS = """
cat: cats kitty kitties kitten kittens
fish: fishes goldfish
bird: birds sparrow sparrows
duck: ducks duckling ducklings
rabbit: rabbits bunny bunnies hare hares
turtle: turtles tortoise tortoises
butterfly: butterflies
horse: horses pony ponies
elephant: elephants
dog: dogs puppy puppies doggy hound hounds
tree: trees
pine: pines, pine tree, pine trees, fir, firs, fir tree, fir trees, christmas tree, christmas trees
flower: flowers daisy daisies blossom blossoms
cactus: cacti cactuses
mushroom: mushrooms toadstool toadstools
cherries: cherry
apple: apples
carrot: carrots
grapes: grape
star: stars
heart: hearts
moon: moons, crescent, crescents, half moon
sun: suns
cloud: clouds
snowflake: snowflakes, snow flake, snow flakes
lightning: lightnings, lightning bolt, lightning bolts, thunderbolt, thunderbolts
house: houses, home, homes
castle: castles
car: cars automobile automobiles
truck: trucks lorry lorries
bus: buses busses
airplane: airplanes plane planes aeroplane aeroplanes aircraft
rocket: rockets spaceship spaceships
sailboat: sailboats, sail boat, sail boats, sailing boat, sailing boats, boat, boats, yacht, yachts
key: keys
lock: locks padlock padlocks
bell: bells
lightbulb: lightbulbs, light bulb, light bulbs, bulb, bulbs
book: books
scissors: scissor, pair of scissors
hammer: hammers
umbrella: umbrellas parasol parasols
cup: cups tumbler tumblers
pizza: pizzas
cake: cakes
crown: crowns
ghost: ghosts
anchor: anchors
skull: skulls
robot: robots
guitar: guitars
glasses: spectacles eyeglasses
camera: cameras
bicycle: bicycles bike bikes
balloon: balloons
gift: gifts present presents
leaf: leaves
gray: grey silver
red: crimson scarlet
orange: amber
yellow: golden gold
green: lime
blue: navy
cyan: turquoise teal aqua
purple: violet lilac
small: little tiny mini
large: big huge giant enormous
left: left of, to left of, to the left of, on the left of, on the left side of, next to, beside
right: right of, to right of, to the right of, on the right of, on the right side of
above: over, on top of, atop
below: under beneath underneath
background: ground backdrop
two: 2, pair of, a pair of, couple of
three: 3
four: 4
"""

# The "s" is what is left of "cat's".
FILLERS = """
a an the of on in with and is are it its that this there some to at by for from as s
i want would like me my you can could please draw paint make show create generate give just
picture image photo icon drawing painting illustration
one single colored coloured color colour sized size
"""


def synonyms() -> dict[str, list[str]]:
    lines = (line.partition(":") for line in SYNONYMS.split("\n") if line)
    return {
        word: [s.strip() for s in (said.split(",") if "," in said else said.split())]
        for word, _, said in lines
    }


def contents(objects: int) -> dict[str, object]:
    """What the file holds where the model knows the first `objects` of objects.txt."""
    words: dict[str, list[str]] = {
        "ground": ["background"],
        "colours": list(scenes.COLOURS),
        "sizes": list(scenes.SIZES),
        "relations": list(scenes.RELATIONS),
        "counts": list(scenes.COUNTS.values()),
        "objects": [name for name, _ in icons.names()][:objects],
    }
    known = {word for kind in words.values() for word in kind}
    kept = {word: said for word, said in synonyms().items() if word in known}
    return {"words": words, "synonyms": kept, "fillers": FILLERS.split()}


if __name__ == "__main__":
    PATH.write_text(json.dumps(contents(int(sys.argv[1])), indent=1) + "\n", "utf-8")
