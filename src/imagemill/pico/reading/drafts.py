"""The things of a scene while they become known, and how one may stand to another."""

from dataclasses import dataclass, field, replace

from imagemill.pico.reading.lexicon import Lexicon

ANIMATE = ("person", "animal", "face")
BIG = ("furniture", "building", "vehicle", "nature", "sky", "place")
WORN = ("clothing", "headwear")
LOCATIVE = ("beside", "on", "in", "under", "behind", "before", "above", "flies over", "at")
BEARING = ("rides", "sits on", "in", "on")
INVERSE = {"behind": "before", "before": "behind", "above": "under", "under": "above"}
MOST = 24  # drafts of one prompt, so that long ones are read in linear time


@dataclass
class SceneDraft:
    """A thing as it becomes known. said: the word for it; near: it is drawn as the next best
    thing; at: which mark it is. usual: how many where no count is said. weak: only said beside
    another ("star" of "star clip"). soft: its relation is a guess that a later word may better.
    """

    concept: str
    kind: str
    said: str
    near: bool = False
    at: int = 0
    sentence: int = 0
    colour: str = ""
    size: float = 1.0
    count: int = 0
    usual: int = 1
    relation: str = ""
    of: int | None = None
    letters: str = ""
    weak: bool = False
    soft: bool = False


@dataclass
class Link:
    """A relation that waits for its object. owner: "first" where the subject has it to the object
    ("riding"), "second" where the object has it to the subject ("holding").
    """

    name: str
    owner: str
    subject: int | None


@dataclass
class Adjectives:
    """What was said of a noun that is to come. article: the kind of its article, if any."""

    colour: str = ""
    size: float = 1.0
    count: int = 0
    article: str = ""
    aloft: bool = False


@dataclass
class Drafts:
    lexicon: Lexicon
    things: list[SceneDraft] = field(default_factory=list)
    group: list[int] = field(default_factory=list)  # the subjects of the sentence

    def is_a(self, i: int | None, *kinds: str) -> bool:
        return i is not None and self.things[i].kind in kinds

    def is_alive(self, i: int | None) -> bool:
        return i is not None and (
            self.things[i].kind in ANIMATE
            or self.things[i].concept in self.lexicon.classes["alive"]
        )

    def is_of(self, i: int, of: str) -> bool:
        """Whether the thing is one of a class of concepts of grammar.toml."""
        return self.things[i].concept in self.lexicon.classes[of]

    def is_object(self, i: int) -> bool:
        """Whether another rides or sits on it."""
        return any(x.of == i and x.relation in BEARING for x in self.things)

    def carries(self, owner: int, thing: SceneDraft) -> bool:
        """Whether what the owner is said to be with is rather in its hands."""
        if thing.concept in self.lexicon.classes["players"]:
            return False
        if self.things[owner].count > 1 or self.things[owner].usual > 1:
            return False
        if self.is_alive(owner) and thing.kind in ("tool", "instrument"):
            return True
        if self.is_alive(owner) and thing.concept in self.lexicon.classes["held"]:
            return True
        return self.is_a(owner, "person") and thing.kind in ("toy", "object", "food")

    def relate(self, link: Link, new: int) -> None:
        assert link.subject is not None
        name, owner = self.sensible(link, self.things[link.subject], self.things[new])
        subject = link.subject
        if subject == new:
            return
        if owner == "second":
            self.set(new, name, subject)
            if name == "wears" and subject in self.group:
                self._share(new, subject)
            return
        if name == "beside":
            self.set(max(new, subject), "beside", min(new, subject), soft=True)
            return
        members = self.group if subject in self.group and len(self.group) > 1 else [subject]
        for member in members:
            if member != new:
                self.stand(member, name, new)

    def _share(self, worn: int, wearer: int) -> None:
        """ "A cat and a dog wearing hats": one for each."""
        thing = self.things[worn]
        several = thing.usual > 1 or thing.said.split()[-1] in self.lexicon.ones
        for other in self.group if several else ():
            if other not in (wearer, worn) and self.things[other].count < 2:
                self.things.append(replace(thing, of=other, usual=1))
                thing.usual = 1

    def stand(self, subject: int, name: str, new: int) -> None:
        """The subject has the relation; if it has one already, what carries it has it."""
        for _ in range(len(self.things)):
            thing = self.things[subject]
            if not thing.relation or thing.soft:
                self.set(subject, name, new)
                return
            if thing.of is None or thing.of == new:
                return
            subject = thing.of
        self.set(new, INVERSE.get(name, "beside"), subject, soft=True)

    def set(self, i: int, name: str, of: int, soft: bool = False) -> None:
        k: int | None = of
        for _ in range(len(self.things)):  # a thing is never on itself by way of others
            if k == i:
                return
            k = self.things[k].of if k is not None else None
        thing = self.things[i]
        thing.relation, thing.of, thing.soft = name, of, soft

    def sensible(self, link: Link, subject: SceneDraft, new: SceneDraft) -> tuple[str, str]:
        """The relation that is meant, by what the two things are."""
        name, owner = link.name, link.owner
        if subject.relation == "wears" and new.kind in WORN and name in LOCATIVE:
            link.subject = subject.of if subject.of is not None else link.subject
            return "wears", "second"
        if name in ("at", "in") and self.lexicon.is_foreign and self._is_ridden(subject, new):
            return "rides", owner  # "à cheval", "in bicicletta"
        if name in ("on", "sits on", "in", "within", "above"):
            return self._place_of(name, owner, subject, new)
        if name in ("holds", "plays"):
            return self._hold(name, owner, new)
        if name == "wears":
            return self._wear(owner, new)
        if name == "at" and new.kind != "furniture":
            return ("before" if new.kind == "building" else "beside"), owner
        return name, owner

    def _place_of(
        self, name: str, owner: str, subject: SceneDraft, new: SceneDraft
    ) -> tuple[str, str]:
        """ "On a horse" is riding it, "in a hat" is wearing it, "in a chair" is on it."""
        classes = self.lexicon.classes
        if name == "within":
            return "in", owner
        if owner == "second":  # "a table full of food"
            return ("on" if name == "in" and subject.kind == "furniture" else name), owner
        if name == "above":
            return ("on" if new.concept == "bridge" else name), owner
        if subject.kind not in ANIMATE and subject.concept not in classes["alive"]:
            return ("in" if name == "in" else "on"), owner
        if name == "in":
            if new.kind in WORN:
                return "wears", "second"
            return ("sits on" if new.concept in classes["seats"] else "in"), owner
        return ("rides" if self._is_ridden(subject, new) else name), owner

    def _is_ridden(self, subject: SceneDraft, new: SceneDraft) -> bool:
        by_person = new.kind == "animal" and subject.kind in ("person", "face")
        return by_person or new.concept in self.lexicon.classes["mounts"]

    def _hold(self, name: str, owner: str, new: SceneDraft) -> tuple[str, str]:
        """A piano is not held, nor a house; what is played may be a ball."""
        classes = self.lexicon.classes
        if owner == "first":
            return name, owner
        if new.concept in classes["players"]:
            return "at", "first"
        if name == "plays" and new.kind not in ("instrument", "tool"):
            return ("before" if new.kind == "toy" else "beside"), owner
        if new.kind == "person" and new.concept not in ("baby", "child"):
            return "beside", owner
        if new.kind in BIG and new.concept not in classes["portable"]:
            return "beside", owner
        return "holds", owner

    def _wear(self, owner: str, new: SceneDraft) -> tuple[str, str]:
        if owner == "second" and new.kind in ("tool", "instrument", "food"):
            return "holds", owner
        fits = owner == "first" or new.kind in (*WORN, "object", "toy", "plant")
        return ("wears" if fits else "beside"), owner
