"""The words of pico: what it can draw, and how that is called in English and elsewhere."""

import csv
import gzip
import io
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from imagemill.pico import scene
from imagemill.pico.reading.languages import habits

ROOT = Path(__file__).parents[2]
PICO = ROOT / "src/imagemill/pico"
READING = PICO / "reading"
TRAINING = ROOT / "training"
KINDS = {
    "person", "animal", "food", "plant", "vehicle", "building", "furniture", "clothing",
    "headwear", "instrument", "tool", "toy", "sky", "nature", "object", "face",
}  # fmt: skip
SIZES = ("tiny", "small", "big", "huge")
Row = dict[str, str]


@cache
def rows(path: Path) -> list[Row]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))


@cache
def concepts() -> dict[str, Row]:
    return {row["concept"]: row for row in rows(PICO / "concepts.tsv")}


@cache
def english() -> dict[str, str]:
    words = {row["word"]: row["concept"] for row in rows(READING / "words.tsv")}
    return words | {name: name for name in concepts()}


def singulars(word: str) -> Iterator[str]:
    yield word
    if word.endswith("ies"):
        yield word[:-3] + "y"
    if word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        yield word[:-2]
    if word.endswith("s") and not word.endswith("ss"):
        yield word[:-1]


def concept_of(noun: str) -> str | None:
    return next((english()[word] for word in singulars(noun) if word in english()), None)


def nouns(path: Path) -> list[str]:
    lines = path.read_text("utf-8").splitlines()
    return [line.split("\t")[1] for line in lines if line != "prompt\tmain noun"]


def coverage(path: Path) -> float:
    """Share of prompts whose main noun has a drawing; one without a main noun counts as none."""
    found = nouns(path)
    return sum(bool(noun) and concept_of(noun) is not None for noun in found) / len(found)


def test_every_concept_has_a_name_and_a_source_of_its_own() -> None:
    table = rows(PICO / "concepts.tsv")
    assert len(concepts()) == len(table) >= 1000
    assert len({row["source"] for row in table}) == len(table)
    source = re.compile(r"[0-9a-f]{4,5}(-[0-9a-f]{4,5})*|own:[a-z0-9-]+|icon:[a-z0-9-]+/[a-z0-9-]+")
    assert [row for row in table if not source.fullmatch(row["source"])] == []
    name = re.compile(r"[a-z][a-z0-9'-]*( [a-z0-9'-]+)*")
    assert [row for row in table if not name.fullmatch(row["concept"])] == []


def test_every_concept_is_of_a_known_kind_and_at_home_in_a_known_place() -> None:
    assert {row["kind"] for row in concepts().values()} == KINDS
    assert {row["place"] for row in concepts().values()} <= {"", *scene.PLACES}


def test_every_word_names_one_concept_and_is_none_itself() -> None:
    table = rows(READING / "words.tsv")
    words = [row["word"] for row in table]
    assert len(words) == len(set(words)) >= 2500
    assert set(words) & concepts().keys() == set()
    assert {row["concept"] for row in table} <= concepts().keys()
    assert {row["near"] for row in table} == {"", "near"}
    assert [w for w in words if w != " ".join(w.lower().split())] == []


@pytest.mark.parametrize(
    ("said", "drawn"),
    [("corgi", "dog"), ("mice", "mouse"), ("geese", "goose"), ("knives", "knife"),
     ("tv", "television"), ("children", "child"), ("automobile", "car"),
     ("fir", "fir tree"), ("knight", "knight")],
)  # fmt: skip
def test_everyday_words_find_their_drawing(said: str, drawn: str) -> None:
    assert concept_of(said) == drawn


@pytest.mark.parametrize("said", ["sand", "metal", "life", "music", "city", "night", "gold"])
def test_what_no_drawing_shows_finds_none(said: str) -> None:
    assert concept_of(said) is None


def test_most_main_nouns_of_the_frozen_prompts_have_a_drawing() -> None:
    frozen = TRAINING / "prompts_300.txt"
    assert len(nouns(frozen)) == 300
    assert coverage(frozen) >= 0.8
    assert coverage(TRAINING / "prompts_parti.tsv") >= 0.8


def test_a_main_noun_stands_in_its_prompt() -> None:
    for line in (TRAINING / "prompts_300.txt").read_text("utf-8").splitlines():
        prompt, noun = line.split("\t")
        assert noun in prompt.lower()


@cache
def foreign() -> dict[tuple[str, str], str]:
    table = rows(READING / "languages.tsv.gz")
    return {(row["language"], row["word"]): row["concept"] for row in table}


def test_the_words_of_other_languages_name_concepts() -> None:
    assert len(foreign()) == len(rows(READING / "languages.tsv.gz"))
    assert set(foreign().values()) <= concepts().keys()
    assert len({language for language, _ in foreign()}) >= 31
    assert (READING / "languages.tsv.gz").stat().st_size <= 0.9 * 2**20


NAMES = {
    "dog": "hund chien perro cane cão hond собака 犬 狗 개 كلب कुत्ता",
    "cat": "katze chat gato gatto gato kat кошка 猫 猫 고양이 قطة बिल्ली",
    "horse": "pferd cheval caballo cavallo cavalo paard лошадь 馬 马 말 حصان घोड़ा",
    "apple": "apfel pomme manzana mela maçã appel яблоко りんご 苹果 사과 تفاحة सेब",
    "tree": "baum arbre árbol albero árvore boom дерево 木 树 나무 شجرة पेड़",
    "house": "haus maison casa casa casa huis дом 家 房子 집 بيت घर",
    "car": "auto voiture coche auto carro auto машина 車 汽车 자동차 سيارة कार",
    "table": "tisch table mesa tavolo mesa tafel стол テーブル 桌子 탁자 طاولة मेज",
    "bottle": "flasche bouteille botella bottiglia garrafa fles бутылка 瓶 瓶子 병 زجاجة बोतल",
    "knight": "ritter chevalier caballero cavaliere cavaleiro ridder "
    "рыцарь 騎士 骑士 기사 فارس शूरवीर",
    "woman": "frau femme mujer donna mulher vrouw женщина 女性 女人 여자 امرأة महिला",
    "banana": "banane banane plátano banana banana banaan банан バナナ 香蕉 바나나 موزة केला",
    "elephant": "elefant éléphant elefante elefante elefante olifant "
    "слон ゾウ 大象 코끼리 فيل हाथी",
    "rocket": "rakete fusée cohete razzo foguete raket ракета ロケット 火箭 로켓 صاروخ रॉकेट",
    "bridge": "brücke pont puente ponte ponte brug мост 橋 桥 다리 جسر पुल",
}
SPOKEN = ("de", "fr", "es", "it", "pt", "nl", "ru", "ja", "zh", "ko", "ar", "hi")


@pytest.mark.parametrize("concept", NAMES)
def test_common_things_have_a_name_in_twelve_languages(concept: str) -> None:
    words = dict(zip(SPOKEN, NAMES[concept].split(), strict=True))
    assert {x: foreign().get((x, word)) for x, word in words.items()} == dict.fromkeys(
        SPOKEN, concept
    )


def test_twelve_languages_can_say_all_that_a_scene_knows() -> None:
    known = {
        "colour": scene.COLOURS, "count": tuple("123456"), "size": SIZES,
        "relation": scene.RELATIONS, "place": scene.PLACES, "time": scene.TIMES,
        "weather": scene.WEATHERS[1:], "style": scene.STYLES,
    }  # fmt: skip
    meanings = {f"{kind}:{value}" for kind, values in known.items() for value in values}
    said: dict[str, set[str]] = {}
    for row in rows(READING / "languages_small.tsv"):
        said.setdefault(row["language"], set()).add(row["meaning"])
    for code, numbers in habits()["numbers"].items():
        said.setdefault(code, set()).update(f"count:{each[-1]}" for each in numbers.split(", "))
    del said["th"]  # has numbers alone
    assert said.keys() >= set(SPOKEN)
    assert [x for x in said if said[x] != {*meanings, "silent"}] == []


def test_a_small_word_means_one_thing_in_a_language() -> None:
    said = [(row["language"], row["word"]) for row in rows(READING / "languages_small.tsv")]
    assert len(said) == len(set(said))
