"""The nouns of a prompt, in their sentences: which of them are things to draw."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from imagemill.pico.reading.clauses import ADJECTIVES, Clauses
from imagemill.pico.reading.drafts import MOST, WORN, Adjectives, Link, SceneDraft
from imagemill.pico.reading.marks import Mark

ENDS = ("stop", "pause", "relation", "with", "and", "of", "tail", "copula")
BOTTLES = ("bottle", "jug", "carafe", "tin", "can", "carton")
SEVERAL = ("slices", "pieces", "cups", "bowls", "glasses", "bottles")


@dataclass
class Sentences(Clauses):
    def read(self) -> None:
        for at, mark in enumerate(self.marks):
            self.at = at
            if self.skip:
                self.skip -= 1
                continue
            handler = HANDLERS.get(mark.kind)
            if handler is not None:
                handler(self, mark)
        self.flush()
        self._settle_letters()
        missing = self.fallback_is_sure or not self.place
        if self.fallback is not None and not self.things and missing:
            self.on_stop(Mark("stop", ""))
            self._draw(self.fallback)

    def on_unknown(self, mark: Mark) -> None:
        if not self.negated:
            self.ignored.setdefault(mark.said, self.at)
        following = self.behind()
        if following.may("thing", "unknown", "part") and not following.may("relation"):
            return  # an adjective, or the first part of a name
        self._other_noun()

    def on_part(self, mark: Mark) -> None:
        alone = not self.things and self.sentence == 0
        if "thing" in mark.senses and (alone or self._is_held()) and not self.having:
            self.on_thing(mark.as_thing())
        elif self.letters and self.last is not None:
            self._settle_letters()
        elif self.behind().kind == "of" and not self.negated:
            self.adjectives = Adjectives()  # "on the deck of a boat" is on a boat
        else:
            self._other_noun()

    def _is_held(self) -> bool:
        return self.link is not None and self.link.name in ("holds", "rides", "before")

    def on_frame(self, mark: Mark) -> None:
        """A picture, a statue: drawn only where nothing is said to be on it."""
        if self.adjectives.article == "definite" and self.sentence and self.last is None:
            self.on_pronoun(mark)  # "The statue sits": what it is of was said before
        elif "thing" in mark.senses and self._is_only_frame():
            self.fallback, self.fallback_is_sure = mark.as_thing(), True
            self._other_noun()
        elif "thing" in mark.senses and self.behind().kind not in ("of", "drop"):
            self.on_thing(mark.as_thing())
        elif self.behind().kind == "of":
            self.adjectives.colour = ""  # of the frame; the link stays for what follows
            if "thing" in mark.senses and self.fallback is None and not self.negated:
                self.fallback, self.fallback_is_sure = mark.as_thing(), mark.said == "map"
        else:
            self._other_noun()

    def _is_only_frame(self) -> bool:
        """ "A painting, a cat": what it shows may follow; not so of "a statue in a park"."""
        alone = self.last is None and self.link is None
        return alone and self.behind().kind not in ("relation", "of", "drop")

    def on_container(self, mark: Mark) -> None:
        """A basket of apples: the apples are in it."""
        first = mark.said.split()[0]
        senses, _ = self.lexicon.senses((first,))
        left_out = self.negated or self.dropped
        if "thing" in senses and not left_out and self.behind().may(*ADJECTIVES, "thing"):
            self._draw(Mark("thing", senses["thing"], first, senses=senses))
            self.link = Link("in", "second", self.last)
        else:
            self._other_noun()

    def on_measure(self, mark: Mark) -> None:
        """A bowl of soup is a soup; of what nobody knows, it is a bowl; of wine, a bottle."""
        first = mark.said.split()[0]
        senses, plural = self.lexicon.senses((first,))
        if first in BOTTLES or not any(self.behind(n).may("thing") for n in (1, 2, 3)):
            if "thing" in senses and not self.negated and not self.dropped:
                self._draw(Mark("thing", senses["thing"], first, plural, senses=senses))
                self.noun_of = "measure"
        elif first in SEVERAL:
            self.adjectives.count = self.adjectives.count or 3

    def on_ground(self, mark: Mark) -> None:
        if self.dropped or self.negated:
            self._other_noun()
        elif self.link is not None or "thing" not in mark.senses:
            if self.link is not None or not self.things:
                self._set_place(mark, self.link is not None)
            self._other_noun()
        else:
            self.on_thing(mark)

    def on_thing(self, mark: Mark) -> None:
        if "time" in mark.senses and self.time in ("", "day"):
            self.time = mark.senses["time"]  # "neon signs"
        if self._is_ground(mark):
            place = mark.senses.get("ground", self.lexicon.grounds.get(mark.value, ""))
            self._set_place(Mark("place", place, mark.said), True)
            self._other_noun()
            return
        if self._is_only_part_of_name(mark):
            return
        if self._is_content(mark):
            self._become(mark)
            return
        if self._is_left_out(mark):
            if not self.negated and self.noun_of != "measure":
                self.ignored.setdefault(mark.said, self.at)
            self._other_noun()
            return
        self._draw(mark)

    def _is_ground(self, mark: Mark) -> bool:
        """Whether things are on it rather than beside it: "standing on the moon"."""
        if self.link is None or self.link.subject is None:
            return False
        if not mark.may("ground") and mark.value not in self.lexicon.grounds:
            return False
        sky = self.lexicon.concepts[mark.value].kind == "sky"
        over = self.link.name in ("flies over", "above", "at")
        on = self.link.name in ("on", "in", "within", "sits on", "rides")
        return on or (over and not sky)

    def _is_content(self, mark: Mark) -> bool:
        """Whether it is what a cup is said to be of."""
        food = self.lexicon.concepts[mark.value].kind == "food"
        return self.noun_of == "thing" and food and self.is_of(len(self.things) - 1, "containers")

    def _become(self, mark: Mark) -> None:
        """A cup of coffee is a coffee."""
        thing, concept = self.things[-1], self.lexicon.concepts[mark.value]
        thing.concept, thing.kind = concept.name, concept.kind
        thing.said, thing.near = mark.said, mark.near
        self.noun_of, self.adjectives = "", Adjectives()

    def _is_left_out(self, mark: Mark) -> bool:
        """Whether what comes is not drawn: "no people", "made of gold", "tower of London"."""
        of_thing = self.noun_of in ("thing", "measure") and not self.things[-1].weak
        return self.negated or self.dropped or of_thing or self._is_costume(mark)

    def _is_costume(self, mark: Mark) -> bool:
        """Whether "an astronaut suit" is only what something wears."""
        costumes = self.lexicon.classes["costumes"]
        if self.lexicon.concepts[mark.value].kind in WORN:
            return False
        if mark.said.split()[-1] in costumes:
            return self.link is not None
        return self.behind().said in costumes and self.behind().kind != "thing"

    def _is_only_part_of_name(self, mark: Mark) -> bool:
        """Whether the noun goes on: "tiger" of "tiger eye". Else what goes on is passed over."""
        following = self.behind()
        if following.kind == "possessive":
            return self._is_possessor()
        if following.kind == "unknown" and self.behind(2).kind == "possessive":
            return True
        if mark.plural:
            return False
        if following.kind == "part":
            head = self.closeup and "thing" in following.senses
            self.skip = 0 if head else 1
            return head
        if following.kind == "frame" and self.behind(2).kind != "of":
            self.skip = 1
            return False
        return following.kind == "thing" and self._is_before_head(mark, following)

    def _is_possessor(self) -> bool:
        """Of "the cat's eyes" the cat is drawn, of "the cat's red hat" the hat."""
        n = 2
        while n < 4 and self.behind(n).kind in ("silent", "colour", "size"):
            n += 1
        following = self.behind(n)
        if following.kind == "part":
            head = self.closeup and "thing" in following.senses
            self.skip = 0 if head else n
            return head
        if following.kind == "place":
            return True
        return following.kind in ("thing", "frame", "ground") and "thing" in following.senses

    def _is_before_head(self, mark: Mark, following: Mark) -> bool:
        """A panda chef is a panda, a chocolate cake is a cake."""
        known = self.lexicon.concepts
        animal = known[mark.value].kind in ("animal", "face", "food")
        if "objects_first" in self.lexicon.habits and not self.lexicon.joined:
            return False  # subject and object stand side by side
        first = animal and known[following.value].kind == "person" and not following.plural
        if first or "nouns_first" in self.lexicon.habits:
            self.skip = 1
            self.ignored.setdefault(following.said, self.at)
            return False
        if not mark.may("modifier") and mark.value != following.value:
            self.ignored.setdefault(mark.said, self.at)
        return True

    def _draw(self, mark: Mark) -> None:
        concept = self.lexicon.concepts[mark.value]
        known = self._known(concept.name)
        if known is not None:
            self._again(known, mark)
        elif len(self.things) == MOST:
            self.ignored.setdefault(mark.said, self.at)
            self._other_noun()
            return
        else:
            self.things.append(self._draft(concept.name, concept.kind, mark))
            self._connect(len(self.things) - 1)
        self.last = self.beside = known if known is not None else len(self.things) - 1
        self.adjectives = Adjectives()
        self.link, self.noun_of = None, ""
        self.joint = self.having = self.leading = self.strewn = False
        if self.letters:
            self.front = None
            self._settle_letters()

    def _is_followed_by_unknown_noun(self) -> bool:
        """ "Star" of "star clip"; "arches" of "a bridge arches over it" is a verb."""
        if self.behind().kind != "unknown":
            return False
        verb = self.behind().said.endswith("s") and self.behind(2).kind in ("relation", "tail")
        return self.behind(2).kind in ENDS and not verb

    def _draft(self, name: str, kind: str, mark: Mark) -> SceneDraft:
        a, word = self.adjectives, mark.said.split()[-1]
        usual = 6 if self.strewn and mark.plural else 1
        if word in self.lexicon.twos:
            usual = 2
        elif usual == 1 and mark.plural and word not in self.lexicon.ones:
            usual = 3
        if a.count == 2 and word in self.lexicon.ones and kind in (*WORN, "tool"):
            a.count = 1  # a pair of scissors
        draft = SceneDraft(name, kind, mark.said, mark.near, self.at, self.sentence)
        draft.weak = self._is_followed_by_unknown_noun()
        return replace(draft, colour=a.colour, size=a.size, count=a.count, usual=usual)

    def _known(self, name: str) -> int | None:
        """The thing that is spoken of again."""
        a = self.adjectives
        for i, thing in enumerate(self.things):
            if thing.concept != name and not self._is_called(thing, name):
                continue
            same = thing.sentence == self.sentence
            if a.article == "article" and same and (self.link or self.joint or self.having):
                continue
            if a.colour and thing.colour and a.colour != thing.colour:
                continue
            return i
        return None

    def _is_called(self, thing: SceneDraft, name: str) -> bool:
        """Whether "the mountain" of a later sentence is the Mount Fuji of an earlier one."""
        later = self.adjectives.article == "definite" and thing.sentence < self.sentence
        general = name in self.lexicon.classes["general"]
        return later and general and thing.kind == self.lexicon.concepts[name].kind

    def _again(self, i: int, mark: Mark) -> None:
        thing, a = self.things[i], self.adjectives
        thing.colour = thing.colour or a.colour
        thing.count = thing.count or a.count
        if thing.size == 1:
            thing.size = a.size
        if self.link is not None and self.link.subject is not None and self.link.subject != i:
            self.relate(self.link, i)
        elif self.last is None:
            self.group = [i]


HANDLERS: Mapping[str, Callable[[Sentences, Mark], None]] = {
    "pause": Sentences.on_pause, "stop": Sentences.on_stop, "article": Sentences.on_article,
    "definite": Sentences.on_article, "and": Sentences.on_and, "or": Sentences.on_and,
    "with": Sentences.on_with, "of": Sentences.on_of, "negation": Sentences.on_negation,
    "drop": Sentences.on_drop, "pronoun": Sentences.on_pronoun, "aloft": Sentences.on_aloft,
    "colour": Sentences.on_colour, "size": Sentences.on_size, "count": Sentences.on_count,
    "group": Sentences.on_group, "place": Sentences.on_place, "time": Sentences.on_time,
    "weather": Sentences.on_weather, "style": Sentences.on_style,
    "closeup": Sentences.on_closeup, "relation": Sentences.on_relation,
    "tail": Sentences.on_tail, "unknown": Sentences.on_unknown, "part": Sentences.on_part,
    "frame": Sentences.on_frame, "container": Sentences.on_container,
    "measure": Sentences.on_measure, "ground": Sentences.on_ground, "thing": Sentences.on_thing,
    "quote": Sentences.on_quote, "silent": Sentences.on_silent,
}  # fmt: skip
