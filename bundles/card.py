"""A component's card: Markdown with the Hugging Face Hub's front matter. Read, and told what it still lacks.

Source of the conventions: https://huggingface.co/docs/hub/model-cards
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

SECTIONS = ("Intended use", "Limits", "Data", "Licence")
TODO = "TODO"
"""What the kit writes where a contributor has still to write; ``to_write`` looks for it."""
MAX_FRONT_MATTER = 20_000
_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_HEADING = re.compile(r"^#+\s*(.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card taken apart."""

    front: Mapping[str, Any]
    """The front matter; empty where there is none."""
    body: str


class _Plain(yaml.BaseLoader):  # type: ignore[misc]
    """Texts, lists and tables only, since hostile dates and numbers make PyYAML stumble; and no aliases, since nested
    ones grow a few lines to gigabytes when they are merged or shown."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read in a card")
        return super().compose_node(parent, index)


def read_card(text: str) -> Card:
    """Take a card apart; front matter that is no YAML table counts as none."""
    found = _FRONT.match(text.removeprefix("\ufeff").replace("\r\n", "\n"))
    if found is None or len(found[1]) > MAX_FRONT_MATTER:
        return Card(front={}, body=text)
    try:
        front = yaml.load(found[1], Loader=_Plain)  # noqa: S506 it can do less than SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError):
        front = None
    return Card(front=front if isinstance(front, dict) else {}, body=text[found.end() :])


def lacks(card: Card, licence: str) -> list[str]:
    """What a reader on the Hub and in the field would miss, each a clause such as "it has no section Limits"."""
    missing = []
    told = str(card.front.get("license", ""))
    if not card.front:
        missing.append("it does not begin with the Hub's front matter (license, language) between two lines of ---")
    elif told.casefold() not in (licence.casefold(), "other"):
        missing.append(f"its front matter says license {told or 'nothing'}, and the recipe {licence}")
    if card.front and not card.front.get("language"):
        missing.append("its front matter names no language")
    headings = {heading.casefold() for heading in _HEADING.findall(card.body)}
    missing += [f"it has no section {name}" for name in SECTIONS if name.casefold() not in headings]
    return missing


def to_write(text: str) -> list[str]:
    """Where a text still says TODO: the nearest heading above, or the line's number."""
    places = []
    heading = ""
    for number, line in enumerate(text.splitlines(), 1):
        found = _HEADING.match(line)
        heading = found[1] if found else heading
        if TODO in line:
            places.append(heading or f"line {number}")
    return list(dict.fromkeys(places))
