"""How large things are beside each other, and which of them fly or swim: facts for the layout.

Sizes are those of a toy world: 1 is a person or a dog, a castle only twice that.
"""


def names(text: str) -> frozenset[str]:
    return frozenset(" ".join(name.split()) for name in text.split(","))


KINDS = {
    "person": 1.0, "animal": 0.95, "food": 0.52, "plant": 0.75, "vehicle": 1.25, "building": 1.75,
    "furniture": 1.15, "clothing": 0.7, "headwear": 0.5, "instrument": 0.75, "tool": 0.6,
    "toy": 0.55, "sky": 0.7, "nature": 1.1, "object": 0.6, "face": 0.8, "letter": 0.3,
}  # fmt: skip

_SIZES = {
    2.2: """
        mount fuji, mountain, snowy mountain, volcano, skyscraper, eiffel tower, castle,
        japanese castle, tokyo tower, statue of liberty, tower, pyramid, great wall, bridge,
        stadium, cruise ship, ferris wheel, roller coaster, island, waterfall, cave
    """,
    1.6: """
        tree, fir tree, palm tree, bare tree, christmas tree, torii gate, tent, rainbow,
        tornado, ship, pirate ship, ferry, airplane, train, steam train, high-speed train,
        bullet train, hot air balloon, whale, sauropod, tyrannosaurus, dragon, mammoth,
        elephant, giraffe, bus, truck, semi-truck, spaceship
    """,
    1.3: """
        horse, unicorn, camel, two-humped camel, moose, bison, ox, water buffalo, cow,
        rhinoceros, hippopotamus, zebra, deer, polar bear, bear, orca, shark, street lamp, phone
        booth, fence, brick wall, bamboo, stairs, submarine, helicopter, tractor, carriage,
        couch, bed, wardrobe, bookshelf, piano
    """,
    1.0: """
        bicycle, scooter, motorcycle, kick scooter, wheelchair, canoe, sled, cactus, bush,
        fountain, snowman, harp, coffin, gravestone, moai, fire, log, rock, ladder, robot,
        ghost, barrel, bus stop, fuel pump
    """,
    0.75: """
        cat, black cat, fox, raccoon, monkey, rabbit, koala, penguin, goose, turkey, eagle, owl,
        swan, flamingo, peacock, otter, skunk, badger, beaver, turtle, octopus, wombat, baby,
        suitcase, washing machine, lamp, television, skateboard, surfboard, snowboard, umbrella,
        guitar, kite, sword, pumpkin, treasure chest
    """,
    0.55: """
        chicken, rooster, duck, dove, parrot, blackbird, bird, bat, squirrel, hedgehog, frog,
        lizard, fish, tropical fish, blowfish, crab, lobster, jellyfish, starfish, seahorse,
        snake, teddy bear, toaster, microwave, pillow, bouquet, potted plant, watermelon, cake,
        pizza, backpack, box, basket, bucket, laptop
    """,
    0.42: """
        mouse, rat, hamster, chick, hatching chick, snail, mushroom, rose, tulip, sunflower,
        flower, hibiscus, seedling, shell, feather, coffee, tea, cupcake, doughnut, rubber duck,
        candle, balloon
    """,
    0.32: """
        butterfly, caterpillar, ant, bee, beetle, ladybug, cricket, cockroach, spider, scorpion,
        mosquito, housefly, worm, microbe, dragonfly, cherry, blueberry, strawberry, candy,
        cookie, ring, gem, coin, dice, key, pill, sparkles, heart, four-leaf clover, shamrock,
        maple leaf, snowflake, drop of water, pushpin
    """,
}
NAMED = {name: size for size, text in _SIZES.items() for name in names(text)}

FLYERS = names(
    """
    bat, butterfly, bee, dragonfly, mosquito, housefly, ladybug, bird, dove, eagle, blackbird,
    parrot, airplane, small airplane, airplane taking off, helicopter, hot air balloon, ufo,
    spaceship, satellite, rocket, parachute, kite, balloon, sparkles, fireworks, bubbles,
    heart, two hearts, musical notes, musical note, snowflake, paper lantern, angel, fairy,
    phoenix, feather, speech bubble, thought bubble
    """
)
ALOFT = FLYERS - names(
    """
    bird, dove, eagle, blackbird, parrot, angel, fairy, phoenix
    """
)
DIVERS = names(
    """
    fish, tropical fish, blowfish, shark, whale, dolphin, orca, seal, octopus, jellyfish,
    squid, turtle, swimmer, mermaid, merman, submarine, seahorse, otter, shrimp, bubbles
    """
)
SWIMMERS = DIVERS | names(
    """
    duck, swan, goose, rubber duck, sailboat, canoe, speedboat, cruise ship, ferry, motorboat,
    ship, pirate ship, man swimming, woman swimming, person rowing, man rowing, woman rowing,
    surfer, man surfing, woman surfing, lily pad
    """
)
# Where one sits on these, from the top; on anything else at its upper edge.
SEATS = {
    "couch": 0.6, "armchair": 0.62, "chair": 0.58, "bed": 0.55, "bench": 0.5,
    "couch and lamp": 0.65, "toilet": 0.5, "wheelchair": 0.55, "bathtub": 0.45, "rug": 0.5,
    "blanket": 0.4, "towel": 0.4, "pillow": 0.35, "plate": 0.45, "lily pad": 0.4, "island": 0.55,
    "stairs": 0.5, "skateboard": 0.5, "surfboard": 0.55, "snowboard": 0.55, "sled": 0.5,
    "kick scooter": 0.7, "flatbread": 0.4, "pizza": 0.45, "frying pan": 0.5, "chessboard": 0.4,
}  # fmt: skip

# Where one sits when one rides these, from the top.
RIDDEN = {
    "bicycle": 0.4, "motorcycle": 0.42, "scooter": 0.5, "kick scooter": 0.75, "skateboard": 0.55,
    "surfboard": 0.6, "snowboard": 0.6, "sled": 0.45, "rocket": 0.3,
}  # fmt: skip
# One sits at these, behind them.
TABLES = names(
    """
    table, piano, keyboard instrument, computer, laptop, sink, oven, chessboard, drum,
    printer, microscope, television, cake, bench
    """
)
# One stands under these, as under a roof.
SHELTERS = names(
    """
    umbrella, beach umbrella, parachute, palm tree, mushroom, balloon
    """
)
