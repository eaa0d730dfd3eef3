"""A prompt parted into marks: phrases with what each is, the longest phrase first.

`reading.py` puts the marks together. Every step looks a bounded number of words ahead, so that a
prompt is read in time linear in its length.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from imagemill.pico.reading.lexicon import LETTER, Lexicon, Phrase, Senses

AHEAD = 5  # marks that are looked at to see whether an adjective has its noun behind it
SPOKEN = 4  # words that "says" may have without quotation marks
EMOJI = 12  # characters of one emoji
QUOTED = 120  # characters of a quotation

_INNER = rf"\n]{{1,{QUOTED}}})"  # of a quotation, behind its "not this mark"
_QUOTES = re.compile(
    rf'"([^"{_INNER}"|\u201c([^\u201d{_INNER}\u201d|\u00ab([^\u00bb{_INNER}\u00bb'
    rf"|\u300c([^\u300d{_INNER}\u300d|\u300e([^\u300f{_INNER}\u300f"
    rf"|\u201e([^\u201c\u201d{_INNER}[\u201c\u201d]|\u2018([^\u2019{_INNER}\u2019(?!\w)"
    rf"|(?<!\w)'([^'\n]{{1,{QUOTED}}}(?:'\w{{1,2}} [^'\n]{{1,60}})?)'(?!\w)"  # 'Don't Panic'
)
_WEIGHT = re.compile(r":\s?[0-9.]{1,6}(?=\s?[)>\]])|<(?:lora|lyco|hypernet):|\bBREAK\b|\\(?=[()])")
_LIKE = re.compile(r"(?<!\w)\w{1,30}-(?:like|shaped)(?!\w)")  # "mirror-like": there is no mirror
# In an emoji, what says how it looks, and joins it.
_TONE = re.compile("[\u200d\ufe0f\U0001f3fb-\U0001f3ff]")
_TAG = re.compile(r"(\d{1,2})((?:girl|boy|cat|dog)s?)")  # "1girl"
_TOKEN = re.compile(
    rf"(?P<word>{LETTER}+(?:['\u2019]{LETTER}+)*(?:(?<=s)['\u2019](?=\s))?|&)"
    r"|(?P<stop>[.!?\u3002\uff01\uff1f\u2026\u061f\u06d4\u0964\n\r;\u061b]+)"
    r"|(?P<pause>[,:()\[\]{}|/\uff0c\u060c\u3001\uff1a\u2013\u2014]+)"
    r"|(?P<other>[^\s])"
)


@dataclass(frozen=True)
class Token:
    kind: str  # word, pause, stop, quote, thing (an emoji)
    text: str
    said: str = ""  # as it stands in the prompt


@dataclass(frozen=True)
class Mark:
    """kind: what it does in the sentence; "unknown" is a word that no table has."""

    kind: str
    value: str
    said: str = ""
    plural: bool = False
    near: bool = False
    senses: Senses = field(default_factory=dict)

    def as_thing(self) -> "Mark":
        return replace(self, kind="thing", value=self.senses["thing"])

    def may(self, *kinds: str) -> bool:
        return self.kind in kinds or any(kind in self.senses for kind in kinds)


def tokens(prompt: str, lexicon: Lexicon) -> Iterator[Token]:
    prompt = prompt.strip()
    if len(prompt) > 2 and prompt[0] == prompt[-1] == '"' and prompt.count('"') == 2:
        prompt = prompt[1:-1]
    prompt = _WEIGHT.sub(lambda match: "." if match[0] == "BREAK" else " ", prompt)
    prompt = _LIKE.sub(" ", prompt)
    at = 0
    for match in _QUOTES.finditer(prompt):
        quoted = next(group for group in match.groups() if group is not None)
        if _is_plain_word(quoted, prompt[max(0, match.start() - 24) : match.start()], lexicon):
            continue
        yield from _bare(prompt[at : match.start()], lexicon)
        yield Token("quote", quoted.strip(" .,"), quoted)
        at = match.end()
    yield from _bare(prompt[at:], lexicon)


_CUE = re.compile(r"says|saying|reads|word|text|written|spell|letter|sign|title|label|call|name")


def _is_plain_word(quoted: str, before: str, lexicon: Lexicon) -> bool:
    """Whether a word is in quotation marks only for emphasis: a "cat" on a mat."""
    known = quoted.islower() and "thing" in lexicon.senses(lexicon.phrase_of(quoted) or ("",))[0]
    return known and not _CUE.search(before.lower())


def _bare(text: str, lexicon: Lexicon) -> Iterator[Token]:
    done = 0  # where the last emoji ended
    for match in _TOKEN.finditer(text):
        kind, said = str(match.lastgroup), match[0]
        if match.start() < done:
            continue
        if kind == "word":
            yield from _words(said, lexicon)
        elif kind != "other":
            yield Token(kind, said)
        elif said > "\u00ff":
            concept, done = _emoji(text, match.start(), lexicon)
            if concept is not None:
                yield Token("thing", concept, text[match.start() : done])
                yield Token("pause", ",")


def _words(said: str, lexicon: Lexicon) -> Iterator[Token]:
    for word in lexicon.phrase_of(said):
        if lexicon.joined and not word.isascii() and word not in lexicon.words:
            for part, known in lexicon.segments(word):
                if known:
                    yield from (Token("word", one, one) for one in lexicon.joined[part])
                else:
                    yield Token("word", part, part)
        elif (tag := _TAG.fullmatch(word)) and (tag[2],) in lexicon.phrases:
            yield from (Token("word", part, part) for part in tag.groups())
        elif not lexicon.is_adverb(word):
            yield Token("word", word, re.sub(r"['\u2019]s?$", "", said))


def _emoji(text: str, start: int, lexicon: Lexicon) -> tuple[str | None, int]:
    """The concept of the emoji that begins here, the longest of joined ones, and where it ends."""
    concept, end, kept = None, start, ""
    for i, character in enumerate(text[start : start + EMOJI], start + 1):
        if not _TONE.match(character):
            kept += character
        if kept in lexicon.emoji:
            concept, end = lexicon.emoji[kept], i
        elif concept is not None and i == end + 1 and _TONE.match(character):
            end = i
    return concept, end


def counted(stream: list[Token]) -> Iterator[Token]:
    """The same emoji in a row as a number and one of them."""
    at = 0
    while at < len(stream):
        same = 1
        while stream[at].kind == "thing" and stream[at] == _at(stream, at + 2 * same):
            same += 1
        if same > 1:
            yield Token("word", str(min(same, 6)))
            at += 2 * (same - 1)
        yield stream[at]
        at += 1


def _at(stream: list[Token], at: int) -> Token | None:
    return stream[at] if at < len(stream) else None


def marks(prompt: str, lexicon: Lexicon) -> list[Mark]:
    stream = list(counted(list(tokens(prompt, lexicon))))
    return choose(list(_phrases(stream, lexicon)), lexicon)


def _phrases(stream: list[Token], lexicon: Lexicon) -> Iterator[Mark]:
    """Marks whose senses are not yet chosen among: their kind is empty."""
    at = 0
    while at < len(stream):
        token = stream[at]
        if token.kind != "word":
            yield Mark(token.kind, token.text, token.said)
            at += 1
            continue
        words = []
        for other in stream[at : at + lexicon.starts.get(token.text, 1)]:
            if other.kind != "word":
                break
            words.append(other.text)
        mark, count = _longest(words, lexicon)
        if count == 1 and mark.kind == "unknown":
            mark = Mark(mark.kind, mark.value, token.said)
        yield mark
        at += count
        if "says" in mark.senses and (spoken := _spoken(stream, at, mark.said, lexicon)):
            yield Mark("quote", " ".join(token.said for token in spoken))
            at += len(spoken)


def _longest(words: list[str], lexicon: Lexicon) -> tuple[Mark, int]:
    for count in range(len(words), 0, -1):
        phrase: Phrase = tuple(words[:count])
        senses, plural = lexicon.senses(phrase)
        if senses:
            near = phrase in lexicon.near or any(
                (*phrase[:-1], single) in lexicon.near for single in lexicon.singulars(phrase[-1])
            )
            said = " ".join(phrase).replace(" 's", "'s")
            return Mark("", "", said, plural, near, senses), count
    return Mark("unknown", words[0], words[0]), 1


# Words after which what is said needs capital letters where it has no quotation marks.
_LOUD = ("call", "name", "label", "title", "text", "writing", "letter", "caption", "which has")


def _spoken(stream: list[Token], at: int, cue: str, lexicon: Lexicon) -> list[Token]:
    spoken: list[Token] = []
    most = 1 if cue.endswith(("word", "letter", "number")) else SPOKEN
    for token in stream[at : at + most]:
        stops = {"relation", "with", "and", "written", "says", "tail", "copula", "of"}
        stopped = stops & set(lexicon.senses((token.text,))[0])
        if token.kind != "word" or (stopped and not (token.said.isupper() and token.text != "a")):
            break
        if cue.startswith(_LOUD) or "text" in cue or cue in ("word", "words"):
            wanted = token.said.isupper() if cue == "writing" else token.said[:1].isupper()
            if not wanted:
                break
        spoken.append(token)
    return spoken


# Which sense a phrase has where nothing below says otherwise.
ORDER = (
    "tail", "negation", "says", "written", "drop", "closeup", "copula", "relation", "and", "or",
    "with", "of", "possessive", "article", "definite", "pronoun", "aloft", "place", "time",
    "weather", "style", "colour", "size", "count", "container", "measure", "thing", "group",
    "part", "frame", "ground", "material", "modifier", "silent",
)  # fmt: skip
PREPOSITIONS = ("in", "on", "at", "under", "by", "over", "through", "into", "inside", "outside")
OBJECT = ("article", "definite", "count", "colour", "size", "thing", "place", "container")
NOUN_BEFORE = ("article", "definite", "count", "colour", "size", "measure", "container", "of")


def choose(marks: list[Mark], lexicon: Lexicon) -> list[Mark]:
    chosen: list[Mark] = []
    for i, mark in enumerate(marks):
        if mark.kind == "unknown" and lexicon.is_quiet(mark.value):
            mark = Mark("silent", mark.value, mark.said)
        elif not mark.kind:
            kind = _kind(marks, i, chosen)
            value = mark.senses.get(kind, kind)
            mark = Mark(kind, value, mark.said, mark.plural, mark.near, mark.senses)
        chosen.append(mark)
    return chosen


def _kind(marks: list[Mark], i: int, chosen: list[Mark]) -> str:
    senses = marks[i].senses
    if "thing" in senses:
        for kind, rule in RULES.items():
            if kind in senses and rule(marks, i, chosen):
                return kind
        verb = (
            chosen and chosen[-1].said == "to" and not marks[i].plural and " " not in marks[i].said
        )
        return "silent" if verb else "thing"
    if "tail" in senses and "relation" in senses:
        following = marks[i + 1] if i + 1 < len(marks) else Mark("stop", "")
        return "relation" if following.may(*OBJECT) else "tail"
    if "colour" in senses and "style" in senses:
        return "style" if _is_of_picture(marks, i, chosen) else "colour"
    if "group" in senses and not (chosen and chosen[-1].kind == "thing"):
        return next((kind for kind in ORDER if kind in senses and kind != "group"), "group")
    return next((kind for kind in ORDER if kind in senses), "silent")


def _before(chosen: list[Mark], *kinds: str) -> bool:
    return bool(chosen) and chosen[-1].kind in kinds


def _is_colour(marks: list[Mark], i: int, chosen: list[Mark]) -> bool:
    if marks[i].plural:
        return False
    if has_noun_behind(marks, i) or _before(chosen, "copula", "thing"):
        return True
    return not (chosen == [] or _before(chosen, *NOUN_BEFORE, "relation", "and", "pause", "stop"))


def _is_of_picture(marks: list[Mark], i: int, chosen: list[Mark]) -> bool:
    """Whether "black and white" is said of the picture, not of a cat in it."""
    behind = marks[i + 1 : i + 4]
    if any(mark.may("frame") or mark.senses.get("style") == "3d" for mark in behind):
        return not any(mark.may("thing") and not mark.may("frame") for mark in behind[:1])
    alone = not behind or behind[0].kind in ("pause", "stop")
    return alone and (not chosen or _before(chosen, "pause", "stop", "silent", "style"))


def _is_adjective(marks: list[Mark], i: int, chosen: list[Mark]) -> bool:
    return i + 1 < len(marks) and marks[i + 1].may("thing", "unknown", "group")


def _is_tag(marks: list[Mark], i: int, chosen: list[Mark]) -> bool:
    ends = i + 1 == len(marks) or marks[i + 1].kind in ("pause", "stop")
    return ends and _before(chosen, "pause", "stop")


def _is_material(marks: list[Mark], i: int, chosen: list[Mark]) -> bool:
    following = marks[i + 1] if i + 1 < len(marks) else None
    return following is not None and (
        following.may("thing", "place", "frame", "part", "unknown", "colour")
        and not following.may("relation")
        and not _says_where(following)
    )


def _is_modifier(marks: list[Mark], i: int, chosen: list[Mark]) -> bool:
    following = marks[i + 1] if i + 1 < len(marks) else None
    if following is None or marks[i].plural:
        return False
    named = following.may("thing", "place", "frame") and not following.may("part", "relation")
    return named and not _says_where(following)


def _says_where(mark: Mark) -> bool:
    """Whether it is no noun but "in space", "on the moon"."""
    return mark.said.partition(" ")[0] in PREPOSITIONS


def _is_verb(marks: list[Mark], i: int, chosen: list[Mark]) -> bool:
    return bool(chosen) and not _before(chosen, *NOUN_BEFORE, "pause", "stop", "and")


def _is_place(marks: list[Mark], i: int, chosen: list[Mark]) -> bool:
    return not marks[i].near or (
        _before(chosen, "article", "definite", "relation")
        and any(mark.kind == "relation" and mark.said in INSIDE for mark in chosen[-2:])
    )


INSIDE = ("in", "inside", "at", "into", "within", "inside of", "in the middle of")


def _is_style(marks: list[Mark], i: int, chosen: list[Mark]) -> bool:
    following = marks[i + 1] if i + 1 < len(marks) else None
    return (following is not None and following.may("of")) or not _before(
        chosen, *NOUN_BEFORE, "relation", "with"
    )


def _is_group(marks: list[Mark], i: int, chosen: list[Mark]) -> bool:
    return _before(chosen, "thing")


# Whether a phrase that may be a thing is rather this. Its other senses stay in `Mark.senses`.
RULES: dict[str, Callable[[list[Mark], int, list[Mark]], bool]] = {
    "tag": _is_tag,
    "colour": _is_colour,
    "size": _is_adjective,
    "relation": _is_verb,
    "place": _is_place,
    "style": _is_style,
    "material": _is_material,
    "modifier": _is_modifier,
    "group": _is_group,
    "time": lambda marks, i, chosen: " " not in marks[i].said,
    "weather": lambda *_: True,
    "aloft": lambda *_: True,
    "part": lambda *_: True,
    "frame": lambda *_: True,
}


def has_noun_behind(marks: list[Mark], i: int) -> bool:
    """Whether the adjective at `i` has a noun behind it: "red and white striped ball"."""
    for mark in marks[i + 1 : i + 1 + AHEAD]:
        if mark.may("relation", "article", "definite", "copula", "with") or mark.kind in (
            "pause", "stop", "quote",
        ):  # fmt: skip
            return False
        if mark.may("thing", "part", "frame", "place", "unknown", "ground", "container"):
            return True
    return False
