"""What is read from a prompt: everyday English, long prompts, other languages, and nonsense."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.pico.reading import Reading, read
from imagemill.pico.reading.languages import language_of
from imagemill.pico.reading.lexicon import english
from imagemill.pico.scene import (
    COLOURS,
    LETTERS,
    PLACES,
    RELATIONS,
    STYLES,
    THINGS,
    TIMES,
    WEATHERS,
    Thing,
)


def shown(thing: Thing) -> str:
    """A thing in short: "2 red cat 0.65 [rides 1] «words»", without what is as usual."""
    parts = [str(thing.count) if thing.count != 1 else "", thing.colour, thing.concept]
    parts.append(f"x{thing.size:.3g}" if thing.size != 1 else "")
    parts.append(f"[{thing.relation} {thing.of}]" if thing.relation else "")
    parts.append(f"«{thing.letters}»" if thing.letters else "")
    return " ".join(part for part in parts if part)


def things(prompt: str) -> str:
    return ", ".join(shown(thing) for thing in read(prompt).scene.things)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        # relations
        ("Astronaut riding a horse", "astronaut [rides 1], horse"),
        ("a horse ridden by a monkey", "horse, monkey [rides 0]"),
        ("a horse with an astronaut on its back", "horse, astronaut [rides 0]"),
        ("an astronaut on a horse", "astronaut [rides 1], horse"),
        ("a cat holding a balloon", "cat, balloon [holds 0]"),
        ("a bear with a fish in its mouth", "bear, fish [holds 0]"),
        ("a sword held by a knight", "sword [holds 1], knight"),
        ("a cat in a hat", "cat, hat [wears 0]"),
        ("an owl wearing glasses reading a book", "owl, glasses [wears 0], book [holds 0]"),
        ("three cats sitting on a bench", "3 cat [sits on 1], bench"),
        ("a lion sitting in an armchair", "lion [sits on 1], armchair"),
        ("a frog on a lily pad", "frog [on 1], lily pad"),
        ("an apple on top of a book", "apple [on 1], book"),
        ("strawberries in a bowl", "3 strawberry [in 1], bowl"),
        ("a bowl filled with strawberries", "bowl, 3 strawberry [in 0]"),
        ("a small boat under a bridge", "motorboat x0.65 [under 1], bridge"),
        ("a spoon next to a fork", "spoon, fork [beside 0]"),
        ("a red bird to the left of a blue bird", "red bird, blue bird [beside 0]"),
        ("a dog behind a tree", "dog [behind 1], tree"),
        ("a fire truck in front of a house", "fire truck [before 1], house"),
        ("a dragon flying over a castle", "dragon [flies over 1], castle"),
        ("a lamp above a table", "lamp [above 1], table"),
        ("a monkey eating a banana", "monkey, banana [before 0]"),
        ("a man eating a banana at a table", "man [at 2], banana [before 0], table"),
        ("a robot playing the piano", "robot [at 1], piano"),
        ("a robot playing guitar", "robot, guitar [holds 0]"),
        ("a table with candles", "table, 3 candle [on 0]"),
        ("a cat in a box on a table", "cat [in 1], box [on 2], table"),
        ("an elephant with a bird on its head", "elephant, bird [on 0]"),
        ("a table with a sword leaning against it", "table, sword [beside 0]"),
        ("a cow in a field covered with flowers", "cow, 3 flower [beside 0]"),
        ("a house with a lighthouse in the background", "house, lighthouse [behind 0]"),
        (
            "a man wearing a hat and holding a sword, riding a white horse",
            "man [rides 3], hat [wears 0], sword [holds 0], white horse",
        ),
        (
            "a man riding a horse and a woman riding a camel",
            "man [rides 1], horse, woman [rides 3], camel",
        ),
        ("an astronaut riding a horse under a tree", "astronaut [rides 1], horse [under 2], tree"),
        # what comes first is not always the subject
        ("On the table there is a cat", "table, cat [on 0]"),
        ("Behind the cat is a tree", "cat, tree [behind 0]"),
        ("In the forest, a fox is sleeping beneath a large tree", "fox [under 1], tree x1.3"),
        ("the cat is black. It is wearing a red hat.", "black cat, red hat [wears 0]"),
        (
            "There is a dog under the table and a cat on the chair.",
            "dog [under 1], table, cat [on 3], chair",
        ),
        # lists
        ("a cat, a dog and a bird", "cat, dog [beside 0], bird [beside 0]"),
        ("a girl holding a balloon and a book", "girl, balloon [holds 0], book [holds 0]"),
        ("a cup of coffee and a croissant on a table", "coffee [on 2], croissant [on 2], table"),
        ("a bald man with a red beard and a hat", "bald man, hat [wears 0]"),
        # attributes
        ("a red car", "red car"),
        ("a horse that is blue", "blue horse"),
        ("Make the dress blue", "blue dress"),
        ("a red and white striped umbrella", "red umbrella"),
        ("a black and white cat", "black cat"),
        ("a navy blue car", "blue car"),
        ("a golden crown", "gold crown"),
        ("a robot made of gold", "gold robot"),
        ("a big, red apple", "red apple x1.3"),
        ("a tiny house", "house x0.45"),
        ("a giant spider on a tiny house", "spider x1.6 [on 1], house x0.45"),
        ("a baby elephant", "elephant x0.65"),
        ("a girl with blue eyes and red hair holding a balloon", "girl, balloon [holds 0]"),
        ("a white rabbit with black ears", "white rabbit"),
        ("a team of three dogs", "3 dog"),
        ("a two-story house", "house"),
        ("two cats and 3 dogs", "2 cat, 3 dog [beside 0]"),
        ("an astronaut riding a horse on the moon", "astronaut [rides 1], horse"),
        ("a horse in space", "horse"),
        ("two buses and 3 hippopotamuses", "2 bus, 3 hippopotamus [beside 0]"),
        ("a pair of boots", "2 boot"),
        ("a pair of scissors", "scissors"),
        ("cats", "3 cat"),
        ("a herd of sheep", "5 sheep"),
        ("several ducks", "4 duck"),
        ("dozens of butterflies", "6 butterfly"),
        ("a field of sunflowers", "6 sunflower"),
        ("an owl family", "3 owl"),
        # nouns
        ("an orange cat", "orange cat"),
        ("an orange", "tangerine"),
        ("an orange and a lemon", "tangerine, lemon [beside 0]"),
        ("a polar bear", "polar bear"),
        ("a hot air balloon", "hot air balloon"),
        ("a bowl of salad", "salad"),
        ("a bottle of red wine on a table", "bottle [on 1], table"),
        ("a basket of apples", "basket, 3 apple [in 0]"),
        ("a photo of a statue of a lion", "lion"),
        (
            "A high contrast portrait photo of a hamster wearing sunglasses holding a sign",
            "hamster, sunglasses [wears 0], sign [holds 0]",
        ),
        ("a statue in a temple", "statue [in 1], temple"),
        ("a map of Atlantica", "world map"),
        ("a statue", "statue"),
        ("a tree with green leaves", "tree"),
        ("a glass bottle", "bottle"),
        ("a penguin astronaut", "penguin"),
        ("an astronaut cat", "cat"),
        ("a tiger wearing a train conductor's hat", "tiger, cap [wears 0]"),
        ("a close-up of the eyes of an owl", "owl"),
        ("a cat's tail", "cat"),
        ("a girl's red hat", "red hat"),
        ("a dog in the children's garden", "dog"),
        ("a dolphin in a clown costume", "dolphin"),
        # what is not there
        ("a dog without a hat", "dog"),
        ("a car with no people", "car"),
        ("a harp without strings or flowers", "harp"),
        ("an owl instead of a cat", "owl"),
        # how prompts are written
        ("cat, sitting on sofa, masterpiece, best quality, 8k", "cat [sits on 1], couch"),
        ("(a cute cat:1.3), [lamp], BREAK <lora:fur:0.8>", "cat, lamp [beside 0]"),
        ("can you draw me a picture of a cow with a bell?", "cow, bell [holds 0]"),
        ("🐘", "elephant"),
        ("🐘🐘🐘", "3 elephant"),
        ("🐘🍎", "elephant, apple [beside 0]"),
        ("👩🏽‍🚀", "woman astronaut"),
        ("🐘 and 🍎", "elephant, apple [beside 0]"),
    ],
)
def test_a_prompt_is_read_as_its_things(prompt: str, expected: str) -> None:
    assert things(prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "place"),
    [
        ("a cat on the beach", "beach"),
        ("a castle by the sea", "beach"),
        ("a boat on the ocean", "sea"),
        ("a red panda in Kyoto", "japan"),
        ("a fox in a Japanese garden", "japan"),
        ("a robot on Mars", "desert"),
        ("an astronaut standing on the moon", "moon"),
        ("a rocket in outer space", "space"),
        ("a shark in a coral reef", "underwater"),
        ("a house on a mountain", "mountains"),
        ("a cat on the grass", "meadow"),
        ("a woman standing in a field of sunflowers", "meadow"),
        ("a dog in the snow", "snow"),
        ("a bear on a frozen lake", "snow"),
        ("a taxi on a rainy street", "street"),
        ("a teapot on a kitchen counter", "kitchen"),
        ("a chef in a restaurant", "restaurant"),
        ("a cat in an office", "room"),
        ("a cow on a farm", "farm"),
        ("a balloon in the sky", "sky"),
        ("a shoe on a white background", "studio"),
        ("a forest", "forest"),
        ("a heart made of water", ""),
        ("a crab, no beach", ""),
        ("a cat", ""),
    ],
)
def test_places_are_known_by_many_names(prompt: str, place: str) -> None:
    assert read(prompt).scene.place == place


@pytest.mark.parametrize(
    ("prompt", "time", "weather"),
    [
        ("a cat at dusk", "twilight", ""),
        ("a cat at golden hour", "sunset", ""),
        ("a cat at sunrise", "dawn", ""),
        ("a city at midnight", "night", ""),
        ("a synthwave car", "night", ""),
        ("a cat in the rain", "grey", "rain"),
        ("a cat in the rain at night", "night", "rain"),
        ("a ship in a storm", "grey", "storm"),
        ("a misty forest", "grey", "fog"),
        ("snow falling on a cabin", "day", "snow"),
        ("a cloudy day", "grey", ""),
        ("a cat on a sunny day", "day", ""),
    ],
)
def test_time_and_weather(prompt: str, time: str, weather: str) -> None:
    scene = read(prompt).scene
    assert (scene.time, scene.weather) == (time, weather)


@pytest.mark.parametrize(
    ("prompt", "style"),
    [
        ("a photo of a cat", "3d"),
        ("a watercolor of a cat", "watercolour"),
        ("a cat in the style of Van Gogh", "oil"),
        ("an 8-bit cat", "pixel art"),
        ("line art of a cat", "outline"),
        ("charcoal drawing of a cat", "pencil"),
        ("a cat, anime style", "comic"),
        ("minimalist vector logo of a cat", "flat"),
        ("a panda logo", "flat"),
        ("a black and white photo of a cat", "black and white"),
        ("a black and white cat", "3d"),
        ("a laptop with an apple logo", "3d"),
        ("a horse with a pencil", "3d"),
    ],
)
def test_styles_are_known_by_many_names(prompt: str, style: str) -> None:
    assert read(prompt).scene.style == style


@pytest.mark.parametrize(
    ("prompt", "title", "letters"),
    [
        ('a sign that says "Hello World"', "", "Hello World"),
        ("a cat holding a skateboard which has 'fal' written on it", "", "fal"),
        ("a t-shirt with the text “peace” on it", "", "peace"),
        ('the word "FLUX" over a city', "FLUX", ""),
        ("a cat and the words «GOOD MORNING»", "GOOD MORNING", ""),
        ("graffiti spelling BE KIND on white tile", "BE KIND", ""),
        ("A sign that says Deep Learning", "", "Deep Learning"),
        ("the word 'START' on a coffee mug", "", "START"),
        ('a cat saying "I see what you did there"', "I see what you", ""),
        ("「HELLO」と猫", "HELLO", ""),
        ('a "cat" on a mat', "", ""),
        ("a portrait of Mary", "", ""),
    ],
)
def test_quoted_words_are_letters(prompt: str, title: str, letters: str) -> None:
    scene = read(prompt).scene
    assert scene.title == title
    assert "".join(thing.letters for thing in scene.things) == letters


def test_a_close_up_is_one() -> None:
    assert read("extreme close-up of a tiger eye").scene.closeup
    assert not read("a tiger").scene.closeup


def test_what_is_drawn_for_a_near_word_is_told() -> None:
    assert read("a corgi in Kyoto").near == {"corgi": "dog", "kyoto": "japan"}
    assert read("a dog in a forest").near == {}


def test_unknown_words_are_told_and_fillers_are_not() -> None:
    reading = read("a beautiful, highly detailed 4k flibbert next to a stunning cat, moody, gloopt")
    assert reading.ignored == ("flibbert", "gloopt")


def test_things_beyond_the_most_are_told() -> None:
    reading = read("a cat, a dog, a horse, a cow, a pig and a duck")
    assert len(reading.scene.things) == THINGS
    assert reading.ignored == ("pig", "duck")


SEEDS = [
    ("Astronaut riding a horse", "astronaut [rides 1], horse", ""),
    (
        "a cat holding a skateboard which has 'fal' written on it in red spray paint",
        "cat, skateboard [holds 0] «fal»",
        "",
    ),
    ("a red panda in Kyoto", "red panda", "japan"),
    ("Make the dress blue", "blue dress", ""),
    (
        "A comic style illustration of a skeleton sitting on a toilet in a bathroom. The bathroom"
        " has a Halloween decoration with a pumpkin jack-o-lantern and bats flying around. There"
        ' is a text above the skeleton that says "Just Waiting for Halloween with Ideogram 2.0 at'
        ' fal.ai"',
        "skeleton [sits on 1], toilet, jack-o'-lantern, 3 bat",
        "bathroom",
    ),
    (
        "Extreme close-up of a single tiger eye, direct frontal view. Detailed iris and pupil."
        " Sharp focus on eye texture and color. Natural lighting to capture authentic eye shine"
        ' and depth. The word "FLUX" is painted over it in big, white brush strokes with visible'
        " texture.",
        "eye",
        "",
    ),
    (
        "Mount Fuji at sunset, with the iconic snow-capped peak silhouetted against a vibrant"
        " orange and purple sky. A tranquil lake in the foreground perfectly reflects the mountain"
        " and colorful sky. A few traditional Japanese cherry blossom trees frame the scene, with"
        " their delicate pink petals visible in the foreground.",
        "mount fuji, 3 cherry blossom",
        "lake",
    ),
    (
        "A dreamlike Japanese garden in perpetual twilight, bathed in bioluminescent cherry"
        " blossoms that emit a soft pink-purple glow. Floating paper lanterns drift lazily through"
        " the scene, their warm light creating dancing reflections in a mirror-like koi pond."
        " Ethereal mist weaves between ancient stone pathways lined with glowing mushrooms in"
        " pastel blues and purples. A traditional wooden bridge arches gracefully over the water,"
        " dusted with fallen petals that sparkle like stardust. 8K resolution, masterful"
        " photography, hyperdetailed, magical realism.",
        "3 cherry blossom, 3 paper lantern, 3 mushroom, bridge",
        "japan",
    ),
    (
        "Atmospheric narrative illustration depicting a young woman with dark hair styled with a"
        " single star clip, eating dumplings at a small round table in a bustling, late-night"
        " eatery reminiscent of a vintage Hong Kong diner. The style blends clean linework with"
        " textured color fields, evoking a sense of place and story. The mood is intimate"
        " contentment amidst vibrant surroundings.",
        "woman [at 2], 3 dumpling [before 0], table x0.65",
        "restaurant",
    ),
    (
        "Capture an intimate close-up bathed in warm, soft, late-afternoon sunlight filtering into"
        " a quintessential 1960s kitchen. The focal point is a charmingly designed vintage package"
        " of all-purpose flour, resting invitingly on a speckled Formica countertop.",
        "box [on 1], table",
        "kitchen",
    ),
]


@pytest.mark.parametrize(("prompt", "expected", "place"), SEEDS)
def test_prompts_of_known_documents_are_read(prompt: str, expected: str, place: str) -> None:
    assert things(prompt) == expected
    assert read(prompt).scene.place == place


@pytest.mark.parametrize(
    ("prompt", "expected", "place"),
    [
        ("Ein Astronaut reitet auf einem Pferd", "astronaut [rides 1], horse", ""),
        ("drei Katzen auf einem blauen Sofa", "3 cat [on 1], blue couch", ""),
        ("Eine Katze ohne Hut neben einem Hund", "cat, dog [beside 0]", ""),
        ("Un chat orange dort sur un canapé bleu", "orange cat [on 1], blue couch", ""),
        ("un éléphant dans la forêt", "elephant", "forest"),
        (
            "Un perro pequeño con un sombrero rojo en la playa",
            "dog x0.65, red hat [wears 0]",
            "beach",
        ),
        ("Una taza de café sobre una mesa", "coffee [on 1], table", ""),
        ("Un gatto che dorme su un libro in biblioteca", "cat [on 1], book", "library"),
        ("Um macaco comendo uma banana na selva", "monkey, banana [before 0]", "jungle"),
        (
            "Een hond met een hoed rijdt op een fiets",
            "dog [rides 2], hat [wears 0], bicycle",
            "",
        ),
        ("рыжий кот на красном диване", "orange cat [on 1], red couch", ""),
        ("Космонавт верхом на лошади", "astronaut [rides 1], horse", ""),
        ("猫がソファの上に座っている", "cat [sits on 1], couch", ""),
        ("馬に乗る宇宙飛行士", "horse, astronaut [rides 0]", ""),
        ("赤い帽子をかぶった猫", "red hat [wears 1], cat", ""),
        ("一只猫坐在沙发上", "cat [sits on 1], couch", ""),
        ("桌子上的苹果", "table, apple [on 0]", ""),
        ("两只狗在海滩上", "2 dog", "beach"),
        ("말을 타는 우주비행사", "horse, astronaut [rides 0]", ""),
        ("قطة ترتدي قبعة حمراء", "cat, red hat [wears 0]", ""),
        ("दो कुत्ते समुद्र तट पर", "2 dog", "beach"),
        ("猫 pixel art", "cat", ""),
        ("Katze", "cat", ""),
    ],
)
def test_other_languages_are_read(prompt: str, expected: str, place: str) -> None:
    assert things(prompt) == expected
    assert read(prompt).scene.place == place


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("a musical note", "en"),
        ("a piano", "en"),
        ("portrait of la mona", "en"),
        ("zqx", "en"),
        ("", "en"),
        ("12 + 3", "en"),
        ("der Baum", "de"),
        ("el gato", "es"),
        ("een huis", "nl"),
        ("猫がいる", "ja"),
        ("猫", "zh"),
        ("красный дом", "ru"),
        ("червоний будинок, ліс", "uk"),
    ],
)
def test_the_language_of_a_prompt(prompt: str, code: str) -> None:
    assert language_of(prompt) == code


def assert_is_sound(reading: Reading) -> None:
    scene = reading.scene
    assert len(scene.things) <= THINGS
    assert scene.place in (*PLACES, "")
    assert scene.time in TIMES
    assert scene.weather in WEATHERS
    assert scene.style in STYLES
    assert len(scene.title) <= LETTERS
    for i, thing in enumerate(scene.things):
        assert thing.concept in english().concepts
        assert thing.colour in (*COLOURS, "")
        assert 0.45 <= thing.size <= 1.6
        assert 1 <= thing.count <= 6
        assert thing.relation in (*RELATIONS, "")
        assert (thing.of is None) == (thing.relation == "")
        assert len(thing.letters) <= LETTERS
        seen, of = {i}, thing.of
        while of is not None:
            assert of not in seen
            seen.add(of)
            of = scene.things[of].of


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    assert_is_sound(read(text))


WORDS = (
    "a the two red big cat dog horse table hat of in on with and riding wearing holding , . it"
    " on its back under without no orange beach night 's statue bowl of is says 'hi' written on"
    " next to basket of family close up eyes made of while behind it between flying unknownword"
)


@given(st.lists(st.sampled_from(WORDS.split()), max_size=40))
def test_any_order_of_words_is_read(words: list[str]) -> None:
    assert_is_sound(read(" ".join(words)))


@given(st.lists(st.sampled_from(sorted(english().phrases)), max_size=20))
def test_any_order_of_known_phrases_is_read(phrases: list[tuple[str, ...]]) -> None:
    assert_is_sound(read(" ".join(word for phrase in phrases for word in phrase)))


FOREIGN = (
    "猫 と 犬 が 馬に乗る 机 の上 赤い 大きな Katze mit Hut reitet auf rote gato sobre con no"
    " 龙 骑 戴着 桌子 上 的 고양이 를 타는 кот на под قطة على"
)


@given(st.lists(st.sampled_from(FOREIGN.split()), max_size=20))
def test_any_order_of_foreign_words_is_read(words: list[str]) -> None:
    assert_is_sound(read(" ".join(words)))


@pytest.mark.parametrize(
    "piece",
    ["a", "cat ", "'", '"', "((", "on ", "the word ", "🐱", "猫", "é", "x-like ", "\n", "'s "],
)
def test_reading_takes_time_linear_in_the_length(piece: str) -> None:
    start = time.perf_counter()
    assert_is_sound(read(piece * (10_000 // len(piece))))
    assert time.perf_counter() - start < 2


def test_a_prompt_is_read_the_same_each_time() -> None:
    assert read("a cat on a mat at night") == read("a cat on a mat at night")


@pytest.mark.parametrize(
    "prompt",
    [
        "a dog --ar 16:9", "a cat, unreal engine 5", "a dog, 3/4 view", "a boy aged 5",
        "a bicycle built for two", "a mountain, 5 am", "score_9, score_8_up, a fox",
        "a man, steps: 30, seed: 42, cfg 7", "frogs sitting on a seat. One of them is a red frog",
    ],
)  # fmt: skip
def test_numbers_that_count_nothing_multiply_nothing(prompt: str) -> None:
    """In English a count stands before what it counts."""
    first = read(prompt).scene.things[0]
    assert first.count == (3 if "frogs" in prompt else 1)


def test_shoes_are_counted() -> None:
    assert read("two shoes").scene.things[0].count == 2
    assert read("a cat beside three boots").scene.things[1].count == 3
