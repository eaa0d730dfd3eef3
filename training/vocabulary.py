"""Writes `vocabulary.json` of the model: the first N objects, with the synonyms people use.

python -m training.vocabulary 60
"""

import json
import sys

from imagemill.pico.vocabulary import PATH
from training import grounds, icons, scenes, styles

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
penguin: penguins
owl: owls
bee: bees bumblebee bumblebees honeybee honeybees
snake: snakes serpent serpents
spider: spiders
ladybug: ladybugs ladybird ladybirds
cow: cows
sheep: lamb lambs
pig: pigs piggy piglet piglets
dolphin: dolphins
shark: sharks
jellyfish: jellyfishes
bat: bats
tulip: tulips
clover: clovers shamrock shamrocks
pineapple: pineapples
watermelon: watermelons melon melons
corn: corns maize
fire: fires flame flames
drop: drops, droplet, droplets, raindrop, raindrops, water drop, water drops, drop of water
barn: barns
church: churches chapel chapels
lighthouse: lighthouses, light house
tent: tents
bridge: bridges
train: trains locomotive locomotives
motorbike: motorbikes motorcycle motorcycles scooter scooters
helicopter: helicopters chopper choppers
ship: ships ferry ferries
tractor: tractors
ufo: ufos, flying saucer, flying saucers
candle: candles
pencil: pencils
brush: brushes paintbrush paintbrushes
wrench: wrenches spanner spanners
saw: saws, saw blade, saw blades
axe: axes ax hatchet hatchets
shovel: shovels spade spades
magnet: magnets
ring: rings
diamond: diamonds gem gems jewel jewels
hat: hats fedora fedoras
shirt: shirts, t shirt, t shirts, tshirt, tshirts
shoe: shoes sneaker sneakers
watch: watches wristwatch wristwatches
clock: clocks
piano: pianos
trumpet: trumpets
violin: violins fiddle fiddles
coffee: coffees, cup of coffee, coffee cup, mug, mugs
bottle: bottles, wine bottle, wine bottles
glass: wine glass, wine glasses, wineglass, wineglasses
hamburger: hamburgers burger burgers
icecream: icecreams, ice cream, ice creams, ice cream cone, ice cream cones
cookie: cookies biscuit biscuits
candy: candies sweets
egg: eggs
bread: breads, slice of bread, slices of bread, toast
cheese: cheeses
alien: aliens
snowman: snowmen, snow man
puzzle: puzzles, puzzle piece, puzzle pieces, jigsaw
dice: die
gray: grey silver
red: crimson scarlet
orange: amber
yellow: golden gold
green: lime, sea green, grass green
blue: navy, sky blue, midnight blue
cyan: turquoise teal aqua
purple: violet lilac
small: little tiny mini
large: big huge giant enormous
left: left of, to left of, to the left of, on the left of, on the left side of, next to, beside
right: right of, to right of, to the right of, on the right of, on the right side of
above: over, on top of, atop
below: under beneath underneath
inside: inside of, within
background: ground backdrop
gradient: gradients, colour gradient, color gradient
sky: skies, blue sky, cloudy sky
night: nights, night sky, starry night sky, starry night, starry sky, starry, midnight
sea: seas, blue sea, ocean waves, ocean, oceans, waves, seaside
grass: green grass, grassy, meadow, meadows, lawn, lawns, grassland
style: styles styled
outline: outlines, outlined, contour, contours, line art, line drawing, line drawings
pixel: pixels, pixel art, pixelated, pixelart, 8 bit, 8bit
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
        "grounds": list(grounds.KINDS),
        "style": ["style"],
        "styles": list(styles.STYLES),
        "colours": list(grounds.COLOURS),
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
