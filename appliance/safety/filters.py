"""What a site wants asked and answered with care: its policy, and judging a text by it. Pure, but for reading the file.

``HOME/safety.toml``, all of it optional:

    age = "children"                     # or "all", the default
    medical = ["field-guides/*"]         # documents whose answers carry the medical notice; "*" is all of them
    [names]                              # taken out of what is kept, besides telephone numbers and the like
    places = ["Kibera"]
    groups = ["Ogiek"]
    persons = ["Amina Odhiambo"]
    [[topic]]                            # questions that are not answered, by words that stand in them
    name = "weapons"
    for = "nobody"                       # or "adults": answered unless age is "children"
    words = { en = ["build a bomb", "grenade*"], sw = ["tengeneza bomu"] }
    [[crisis]]                           # the site's own help, shown above everything else
    name = "self-harm"                   # a name that Fieldpost knows adds help to its words
    answer = false                       # the default: help, and no answer
    words = { en = ["end it all"] }
    help = { en = "Befrienders Kenya: 0722 178 177", sw = "Piga simu: 0722 178 177" }

Words are found as whole words in a row, whatever their case, accents of writing or digits; ``*`` ends one that may go
on. A word list meets many harmless questions, so Fieldpost comes without topics: only a site knows what it must not
answer.
"""

import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from appliance.errors import ConfigError
from appliance.safety.whereabouts import NOBODY, Names

_Texts = Mapping[str, tuple[str, ...]]
_CRISES = Path(__file__).parent / "crises.toml"
# What is said to a model rather than to a reader. Structure keeps it from working (prompt.harmless); this only tells.
_STEERING = re.compile(
    r"(?<!\w)(?:ignore|disregard|forget|override|bypass)\W+(?:\w+\W+){0,4}?(?:instructions?|prompts?|rules?|guidelines?"
    r"|directions?)(?!\w)"
    r"|(?<!\w)(?:you are|act as|pretend to be)\W+(?:now\W+)?(?:\w+\W+){0,3}?(?:dan|unfiltered|jailbroken"
    r"|developer mode)(?!\w)"
    r"|(?<!\w)(?:reveal|print|show|repeat|output)\W+(?:\w+\W+){0,3}?(?:system prompt|secret key"
    r"|initial instructions)(?!\w)"
    r"|<\|im_(?:start|end)\|>|\[/?inst\]|<</?sys>>"
    r"|(?<!\w)(?:ignorez?|oubliez?)\W+(?:\w+\W+){0,4}?(?:instructions?|consignes?)(?!\w)"
    r"|(?<!\w)(?:ignora|ignore|olvida|esqueça)\W+(?:\w+\W+){0,4}?(?:instrucciones|instruções)(?!\w)"
    r"|(?<!\w)(?:puuza|sahau)\W+(?:\w+\W+){0,4}?maagizo(?!\w)"
    r"|تجاهل\W+(?:\w+\W+){0,4}?(?:التعليمات|الأوامر)|निर्देशों?\W+(?:\w+\W+){0,4}?(?:अनदेखा|भूल)"
    r"|ہدایات\W+(?:\w+\W+){0,4}?نظر\W+انداز|መመሪያ\w*\W+(?:\w+\W+){0,3}?(?:ችላ|እርሳ)",
    re.IGNORECASE,
)
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Questions that a site does not answer."""

    name: str
    words: _Texts
    adults: bool = False
    """Whether only children get no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crisis:
    """A person who needs people, not a document."""

    name: str
    words: _Texts
    help: Mapping[str, str] = field(default_factory=dict)
    """The site's own numbers, by language; empty where it gave none."""
    answer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a policy makes of a text."""

    refused: str = ""
    """``refused`` or ``refused-age``: the flag that the page has words for; empty if the text may be answered."""
    topic: str = ""
    crises: tuple[Crisis, ...] = ()

    @property
    def silent(self) -> bool:
        """Whether no answer is to be made."""
        return bool(self.refused) or any(not crisis.answer for crisis in self.crises)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A site's policy."""

    topics: tuple[Topic, ...] = ()
    crises: tuple[Crisis, ...] = ()
    children: bool = False
    medical: tuple[str, ...] = ()
    names: Names = NOBODY

    def judge(self, texts: Sequence[str]) -> Verdict:
        """Of a question as it was asked and as it was translated, all together."""
        said = [_folded(text) for text in texts]
        crises = tuple(crisis for crisis in self.crises if _says(said, crisis.words))
        topic = self._refusing(said)
        if topic is None:
            return Verdict(crises=crises)
        return Verdict(refused="refused-age" if topic.adults else "refused", topic=topic.name, crises=crises)

    def refuses(self, text: str) -> bool:
        """Whether an answer speaks of what the site does not answer."""
        return bool(self.topics) and self._refusing([_folded(text)]) is not None

    def is_medical(self, docpack: str, document: str) -> bool:
        """Whether an answer from this document carries the medical notice."""
        return any(fnmatchcase(f"{docpack}/{document}", pattern) for pattern in self.medical)

    def _refusing(self, said: Sequence[str]) -> Topic | None:
        return next((t for t in self.topics if (self.children or not t.adults) and _says(said, t.words)), None)


def steers(text: str) -> bool:
    """Whether a text speaks to the model as those do who want to steer it."""
    return _STEERING.search(text) is not None


def load_policy(root: Path) -> Policy:
    """The policy of the box in ``root``: what Fieldpost knows, and what ``safety.toml`` adds.

    Raises:
        ConfigError: the file is there and is not what it should be.
    """
    known = tuple(_crisis("crises.toml", raw) for raw in tomllib.loads(_CRISES.read_text(encoding="utf-8"))["crisis"])
    path = root / "safety.toml"
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Policy(crises=known)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not readable as TOML: {error}.", todo="Mend that line.") from error
    where = str(path)
    _only(raw, {"age", "medical", "names", "topic", "crisis"}, where)
    age = raw.get("age", "all")
    if age not in ("all", "children"):
        raise ConfigError(f"{where} age is {age!r}.", needed='"all" or "children" is needed.')
    names = raw.get("names", {})
    _only(names, {"places", "groups", "persons"}, f"{where} [names]")
    listed = {
        kind: _strings(names.get(kind, []), f"{where} [names] {kind}") for kind in ("places", "groups", "persons")
    }
    topics = tuple(_topic(f"{where} [[topic]] {n}", one) for n, one in enumerate(_tables(raw, "topic", where), start=1))
    own = [_crisis(f"{where} [[crisis]] {n}", one) for n, one in enumerate(_tables(raw, "crisis", where), start=1)]
    return Policy(
        topics=topics,
        crises=_together(known, own),
        children=age == "children",
        medical=_strings(raw.get("medical", []), f"{where} medical"),
        names=Names(**listed),
    )


def _together(known: Sequence[Crisis], own: Sequence[Crisis]) -> tuple[Crisis, ...]:
    """The site's word counts: its help and its choice to answer, with the words of both."""
    ours = {crisis.name: crisis for crisis in own}
    merged = [
        replace(
            ours[crisis.name],
            words={
                lang: (*crisis.words.get(lang, ()), *ours[crisis.name].words.get(lang, ()))
                for lang in crisis.words.keys() | ours[crisis.name].words.keys()
            },
        )
        if crisis.name in ours
        else crisis
        for crisis in known
    ]
    return (*merged, *(crisis for crisis in own if crisis.name not in {one.name for one in known}))


def _topic(where: str, raw: Mapping[str, Any]) -> Topic:
    _only(raw, {"name", "for", "words"}, where)
    audience = raw.get("for", "nobody")
    if audience not in ("nobody", "adults"):
        raise ConfigError(f"{where} for is {audience!r}.", needed='"nobody" or "adults" is needed.')
    return Topic(name=_named(raw, where), words=_words(raw, where), adults=audience == "adults")


def _crisis(where: str, raw: Mapping[str, Any]) -> Crisis:
    _only(raw, {"name", "answer", "words", "help"}, where)
    answer, told = raw.get("answer", False), raw.get("help", {})
    if not isinstance(answer, bool):
        raise ConfigError(f"{where} answer is {answer!r}.", needed="true or false is needed.")
    if not isinstance(told, dict) or not all(isinstance(text, str) for text in told.values()):
        raise ConfigError(f"{where} help is {told!r}.", needed='One such as { en = "Call 116" } is needed.')
    return Crisis(name=_named(raw, where), words=_words(raw, where), help=told, answer=answer)


def _named(raw: Mapping[str, Any], where: str) -> str:
    name = raw.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9-]{1,40}", name):
        raise ConfigError(f"{where} name is {name!r}.", needed='Small letters and hyphens, such as "self-harm".')
    return name


def _words(raw: Mapping[str, Any], where: str) -> _Texts:
    words = raw.get("words", {})
    if not isinstance(words, dict):
        raise ConfigError(f"{where} words is {words!r}.", needed='One such as { en = ["…"] } is needed.')
    return {lang: _strings(said, f"{where} words {lang}") for lang, said in words.items()}


def _strings(raw: Any, where: str) -> tuple[str, ...]:
    if not isinstance(raw, list) or not all(isinstance(one, str) and _folded(one).strip(" *") for one in raw):
        raise ConfigError(f"{where} is {raw!r}.", needed='A list of texts such as ["…", "…"] is needed.')
    return tuple(raw)


def _tables(raw: Mapping[str, Any], name: str, where: str) -> list[Mapping[str, Any]]:
    tables = raw.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise ConfigError(f"{where} {name} is {tables!r}.", needed=f"[[{name}]] tables are needed.")
    return tables


def _only(raw: Any, known: set[str], where: str) -> None:
    unknown = sorted(set(raw) - known) if isinstance(raw, dict) else ["no table"]
    if unknown:
        raise ConfigError(
            f"{where} has unknown keys: {', '.join(unknown)}.", needed=f"Known are: {', '.join(sorted(known))}."
        )


def _says(said: Sequence[str], words: _Texts) -> bool:
    pattern = _pattern(tuple(word for several in words.values() for word in several))
    return pattern is not None and any(pattern.search(text) for text in said)


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str] | None:
    spelt = []
    for word in words:
        folded = _folded(word.rstrip("*")).strip()
        spelt.append(re.escape(folded) + ("" if word.endswith("*") else r"(?!\w)"))
    return re.compile(rf"(?<!\w)(?:{'|'.join(spelt)})") if spelt else None


@cache
def _sign(character: str) -> str:
    category = unicodedata.category(character)
    # Marks of Indic and Ethiopic scripts are letters; Arabic and Hebrew points and Latin accents come and go.
    if category == "Cf" or (category == "Mn" and not "\u0900" <= character <= "\u0dff"):
        return ""
    return character if character == "'" or category[0] in "LMN" else " "


def _folded(text: str) -> str:
    """Words as they are compared: no case, no accents, no signs, one space."""
    plain = "".join(_sign(character) for character in unicodedata.normalize("NFKD", text.casefold()).replace("’", "'"))
    return _SPACE.sub(" ", plain)
