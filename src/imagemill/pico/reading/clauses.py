"""The small words of a prompt: what ties its things together, and what is said of them."""

from dataclasses import dataclass

from imagemill.pico.reading.drafts import BIG, LOCATIVE, WORN, Link, SceneDraft
from imagemill.pico.reading.marks import AHEAD, Mark
from imagemill.pico.reading.whole import WholePrompt

NOUNS = ("thing", "part", "frame", "place", "unknown", "group")
ADJECTIVES = ("colour", "size", "silent", "material", "modifier", "aloft", "time", "weather")
SHARED = ("holds", "wears", "before", "in", "on")  # what is listed after such an object has it too
# Silent words after which a place is where the things are.
VAGUE = ("on", "in", "at", "beside", "above")
LEADING = (
    "through", "across", "along", "around", "from", "during", "within", "outside", "to", "toward",
    "towards", "throughout",
)  # fmt: skip


@dataclass
class Clauses(WholePrompt):
    def on_silent(self, mark: Mark) -> None:
        if mark.said in LEADING:
            self.leading = True

    def _noun_comes(self) -> bool:
        for ahead in range(1, AHEAD):
            kind = self.behind(ahead).kind
            if kind in NOUNS:
                return True
            if kind not in ADJECTIVES:
                return False
        return False

    def on_pause(self, mark: Mark) -> None:
        if self.adjectives.article and self.before().kind in ADJECTIVES and self._noun_comes():
            return  # "a big, red ball"
        self.flush()
        self.joint, self.having, self.negated, self.dropped = True, False, False, False
        self.link = None

    def on_stop(self, mark: Mark) -> None:
        self.flush()
        self._settle_letters()
        self.sentence += 1
        self.group, self.last, self.beside, self.link, self.front = [], None, None, None, None
        self.joint = self.having = self.negated = self.dropped = self.had = False
        self.noun_of = ""
        self.leading = self.strewn = False

    def on_article(self, mark: Mark) -> None:
        if "articles_inside" in self.lexicon.habits and self._noun_comes():
            return  # "yeşil bir araba"
        self.flush()
        self.adjectives.article = mark.kind

    def on_and(self, mark: Mark) -> None:
        if self.adjectives.colour or self.adjectives.size != 1:
            following = self.behind()
            if following.kind in (*ADJECTIVES, "time", "place", "part"):
                return  # "red and white ball"
        self.flush()
        self.joint = True

    def on_with(self, mark: Mark) -> None:
        self.flush()
        self.having, self.link, self.joint, self.had = True, None, False, True

    def on_of(self, mark: Mark) -> None:
        before = self.before().kind
        if before in NOUNS:
            self.noun_of = before

    def on_negation(self, mark: Mark) -> None:
        self.flush()
        self.negated = True

    def on_drop(self, mark: Mark) -> None:
        self.dropped = True

    def on_pronoun(self, mark: Mark) -> None:
        if self.letters:
            self._settle_letters()
        elif self.link is not None and self.link.subject is not None:
            self._relate_to_main(self.link, self.link.subject)
        elif self.last is None and self.things:
            self.group, self.last = [self.main or 0], self.main

    def _relate_to_main(self, link: Link, subject: int) -> None:
        """ "A chest with a sword leaning against it"."""
        thing, main = self.things[subject], self.main
        self.link = None
        if main is not None and main != subject and thing.soft:
            thing.relation, thing.of = "", None
            self.relate(Link(link.name, link.owner, subject), main)

    def on_aloft(self, mark: Mark) -> None:
        if self.beside is not None and self.beside != self.main and not self.joint:
            self._raise(self.beside)
        else:
            self.adjectives.aloft = True

    def _raise(self, i: int) -> None:
        thing = self.things[i]
        if (not thing.relation or thing.soft) and self.main is not None and self.main != i:
            self.set(i, "above", self.main, soft=True)

    def on_colour(self, mark: Mark) -> None:
        self.adjectives.colour = self.adjectives.colour or mark.value

    def on_size(self, mark: Mark) -> None:
        self.adjectives.size = min(1.6, max(0.45, self.adjectives.size * float(mark.value)))

    def on_count(self, mark: Mark) -> None:
        if self.adjectives.colour:
            self.flush()
        if mark.value == "0":
            self.negated = True
        else:
            self.adjectives.count = int(mark.value)  # of "a team of three", three

    def on_group(self, mark: Mark) -> None:
        """A family, a couple, behind a thing: how many there are."""
        if self.last is not None and self.before().kind == "thing":
            self.things[self.last].count = self.things[self.last].count or int(mark.value)
        else:
            self.on_count(mark)

    def on_relation(self, mark: Mark) -> None:
        self.flush()
        self.negated = self.dropped = False
        name, _, owner = mark.value.partition("/")
        if self._is_behind_object(name):
            self._relate_back(name, owner)
            return
        if self._is_said_by_verb(name):
            return
        if owner == "second" and name == "on" and self.beside is None:
            return  # what is covered is another noun: "a field covered with flowers"
        self.link = Link(name, owner, self._subject(name, mark))
        self.leading = True
        self.had = self.had or name == "wears"
        self.having = False

    def _is_behind_object(self, name: str) -> bool:
        """Whether the language says "horse riding astronaut" or "table on cat"."""
        if self.last is None:
            return False
        if "objects_first" in self.lexicon.habits:
            return True
        behind = "places_behind" in self.lexicon.habits and self.before().kind == "thing"
        return behind and name in LOCATIVE

    def _relate_back(self, name: str, owner: str) -> None:
        assert self.last is not None
        thing, subject = self.things[self.last], self.main
        if subject is None or subject == self.last:
            self.front = Link(name, owner, self.last)
            return
        if thing.soft:
            thing.relation, thing.of = "", None
        if self.things[subject].of == self.last:
            if name not in ("on", "in") or self.things[subject].relation == "on":
                self.set(subject, name, self.last)
            return  # the verb has said it: "sits on sofa on"
        self.relate(Link(name, owner, subject), self.last)

    def _is_said_by_verb(self, name: str) -> bool:
        """Whether a verb just before has said more: "riding on", "sitting by under"."""
        if self.link is None or self.joint or name not in LOCATIVE:
            return False
        verb = self.link.name not in LOCATIVE or name not in VAGUE
        return verb and self.before().kind in ("relation", "silent", "article", "size")

    def _subject(self, name: str, mark: Mark) -> int | None:
        if self.last is None:
            return None
        last, main = self.things[self.last], self.main
        if self.joint or self.before().kind in ("copula", "pronoun"):
            return main
        if mark.said.endswith(" by"):
            return self.last
        kept = last.of == main and last.relation in ("holds", "wears") and self.last != main
        if last.relation == "wears" and name in ("above", "under", "on"):
            return self.last  # "a jacket over a shirt"
        acts = self.is_alive(self.last) and not self.is_object(self.last)
        if kept or (name in ("rides", "holds", "wears", "sits on", "plays") and not acts):
            return main
        return self.last

    def on_tail(self, mark: Mark) -> None:
        self.flush()
        name, _, _ = mark.value.partition("/")
        i, main = self.beside, self.main
        self.link = None
        if i is not None and main is not None and i != main:
            thing = self.things[i]
            free = not thing.relation or thing.soft or name == "rides"
            odd = name == "wears" and thing.kind not in WORN
            odd = odd or (name == "rides" and not self.is_alive(i))
            if free and not self.is_object(i):
                self.set(i, "on" if odd else name, main)
        elif self.last is None and self.things and main is not None:
            self.front = Link(name, "first", main)
        self.having = False

    def _connect(self, i: int) -> None:
        thing = self.things[i]
        aloft = self.adjectives.aloft
        link, front = self.link, self.front
        if link is not None and link.subject is None and self.last is None:
            self.front = Link(link.name, link.owner, i)
            return
        if front is not None and link is None:
            self.front = None
            assert front.subject is not None
            self.group = [i]
            self.relate(Link(front.name, front.owner, i), front.subject)
            return
        if link is not None and link.subject is not None:
            self.relate(link, i)
        elif self.having and self.last is not None:
            self._accompany(i)
        elif self.last is None:
            self.group = [i]
        elif thing.kind != "sky":
            self._list(i)
        if aloft:
            self._raise(i)

    def _list(self, i: int) -> None:
        """A thing named beside the one before it, with "and" or after a pause."""
        assert self.last is not None
        last, thing = self.things[self.last], self.things[i]
        fits = self.joint and self.last != self.main and self._shares(last, i)
        if self.main is None:
            return
        if fits and last.of is not None:
            self.set(i, last.relation, last.of)
        elif self.had and thing.kind in WORN and self.is_alive(self.main):
            self.set(i, "wears", self.main)
        elif self.sentence == 0 or thing.usual == 1:
            self.set(i, "beside", self.main, soft=True)
            if self.joint and last.kind == thing.kind and self.last in self.group:
                self.group.append(i)

    def _shares(self, last: SceneDraft, i: int) -> bool:
        """Whether what was said of the thing before also holds for this one."""
        thing = self.things[i]
        if last.of is None or last.relation not in SHARED:
            return False
        if last.relation == "wears":
            return thing.kind in WORN
        if last.relation == "holds":
            return not self.is_alive(i) and thing.kind not in BIG
        return last.kind == thing.kind or last.soft

    def _accompany(self, i: int) -> None:
        """A thing that another is said to be with."""
        assert self.last is not None
        thing, main = self.things[i], self.main
        owner = self.last
        if thing.kind in WORN:
            owners = [k for k in (self.last, main) if self.is_alive(k)]
            relation = "wears" if owners else "beside"
            owner = next((k for k in owners if k is not None), self.last)
        elif self.carries(owner, thing):
            relation = "holds"
        elif self.is_of(owner, "containers"):
            relation = "in"
        elif self.is_of(owner, "toppable"):
            relation = "on"
        else:
            relation = "beside"
            owner = owner if main is None else main
        if thing.kind == "sky":
            return
        if owner != i:
            self.set(i, relation, owner, soft=True)
