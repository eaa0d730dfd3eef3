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
bird: birds sparrow
duck: ducks duckling
rabbit: rabbits bunny bunnies hare
turtle: turtles tortoise
butterfly: butterflies
horse: horses pony
elephant: elephants
dog: dogs puppy puppies hound
tree: trees
pine: pines, pine tree, pine trees, fir, fir tree, christmas tree
flower: flowers daisy blossom
cactus: cacti cactuses
mushroom: mushrooms toadstool
cherries: cherry
apple: apples
carrot: carrots
grapes: grape
star: stars
heart: hearts
moon: moons, crescent
sun: suns
cloud: clouds
snowflake: snowflakes
lightning: lightnings, lightning bolt, lightning bolts, thunderbolt
house: houses, home, homes
castle: castles
car: cars automobile
truck: trucks lorry
bus: buses
airplane: airplanes plane planes aeroplane aircraft
rocket: rockets spaceship
sailboat: sailboats, sail boat, boat, boats, yacht
key: keys
lock: locks padlock
bell: bells
lightbulb: lightbulbs, light bulb, light bulbs, bulb
book: books
scissors: scissor
hammer: hammers
umbrella: umbrellas parasol
cup: cups tumbler
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
gray: grey
cyan: turquoise
purple: violet
small: little tiny
large: big huge giant
left: to the left of, left of, on the left of
right: to the right of, right of, on the right of
above: over, on top of
below: under beneath underneath
background: ground backdrop
two: 2, pair of
three: 3
four: 4
"""

FILLERS = """
a an the of on in with and is are it its that this there some to at by for from
i want would like me please draw paint make show create generate give picture image photo icon drawing painting
illustration one single colored coloured color colour sized size medium-sized
""".split()


def synonyms() -> dict[str, list[str]]:
    lines = (line.partition(":") for line in SYNONYMS.split("\n") if line)
    return {
        word: [s.strip() for s in (said.split(",") if "," in said else said.split())]
        for word, _, said in lines
    }


def main(count: int) -> None:
    words: dict[str, list[str]] = {
        "ground": ["background"],
        "colours": list(scenes.COLOURS),
        "sizes": list(scenes.SIZES),
        "relations": list(scenes.RELATIONS),
        "counts": list(scenes.COUNTS.values()),
        "objects": [name for name, _ in icons.names()][:count],
    }
    known = {word for kind in words.values() for word in kind}
    kept = {word: said for word, said in synonyms().items() if word in known}
    PATH.write_text(
        json.dumps({"words": words, "synonyms": kept, "fillers": FILLERS}, indent=1) + "\n", "utf-8"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
