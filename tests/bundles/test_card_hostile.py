"""A card's front matter comes from anybody: what makes a YAML reader stumble or swell counts as none."""

import pytest

from bundles.card import lacks, read_card


def doubling(depth: int) -> str:
    return "\n".join(
        ["a0: &a0 x", *(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]" for n in range(depth)), f"license: *a{depth}"]
    )


@pytest.mark.parametrize(
    "front",
    [
        doubling(40),
        "m0: &m0 {license: mit}\n" + "\n".join(f"m{n + 1}: &m{n + 1}\n  <<: [*m{n}, *m{n}]" for n in range(40)),
        "license: &a [*a]",
        "license: !!timestamp x",
        "license: 0x" + "f" * 9000,
        "license: " + "1" * 9000,
        "license: !!python/object/apply:os.system [id]",
        "license: " + "[" * 3000,
        "- license",
        "license: : :",
    ],
)
def test_hostile_front_matter_is_read_or_counts_as_none(front: str) -> None:
    card = read_card(f"---\n{front}\n---\n# Title\n")
    assert card.body == "# Title\n"
    assert all(len(clause) < 30_000 for clause in lacks(card, "MIT"))


def test_usual_front_matter_is_read() -> None:
    card = read_card("---\nlicense: apache-2.0\nlanguage: [sw, en]\n---\n# Title\n")
    assert card.front == {"license": "apache-2.0", "language": ["sw", "en"]}
