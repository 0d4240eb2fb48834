"""Words for made-up text: plain nouns, units and places, and invented words that no model can have learnt by heart."""

from __future__ import annotations

import random


def _split(text: str, by: str | None = None) -> tuple[str, ...]:
    return tuple(text.split(by))


NOUNS = _split(
    "water bucket pump well roof road bridge school clinic market tent truck boat lamp stove oven ladder rope "
    "tank pipe filter seed maize bean rice millet flour oil salt sugar soap bleach ash net bed blanket mattress "
    "door window wall floor box bag jar bottle can cup pot pan spoon knife plate table chair goat cow hen sheep "
    "camel donkey fence field garden tree leaf root fruit mango banana milk egg fish meat bread tea coffee tablet "
    "vaccine syringe bandage mask glove battery panel radio cable meter scale clock book pen card form list team "
    "nurse driver guard farmer teacher child mother baby patient visitor worker group village camp store shed "
    "kitchen latrine pit drain hole stick brush paint cement brick sand stone nail hammer saw wheel engine fuel "
    "petrol gas fire smoke"
)
PLURALS = _split(
    "buckets pumps wells roofs roads schools clinics tents trucks boats lamps stoves tanks pipes filters seeds beans "
    "nets beds blankets doors windows boxes bags jars bottles cups pots spoons plates tables chairs goats cows hens "
    "tablets vaccines masks gloves batteries panels books cards forms teams nurses drivers guards farmers children "
    "mothers babies patients visitors workers villages camps stores latrines pits holes brushes bricks stones"
)
ADJECTIVES = _split(
    "new old red blue green white black large small clean dirty dry wet cold warm empty full open closed heavy light "
    "broken strong weak clear cloudy fresh spare main first second last northern southern"
)
VERBS = _split(
    "wash clean dry check fill empty move open close turn paint repair replace store carry count cover air mix boil "
    "heat cool stir shake cut tie hang press lift weigh read clear sweep burn bury lock charge test"
)
UNITS = _split(
    "litres drops grams kilograms metres centimetres millilitres milligrams spoons cups bags boxes packets tablets "
    "pieces layers sacks buckets"
)
TIMES = _split("seconds minutes hours days weeks months years")
PLACES = _split(
    "in the shade|in the store|near the door|under the bed|on the roof|by the road|in the kitchen|behind the clinic|"
    "beside the well|on a clean table|in a dry box|at the market|below the window|above the floor|in a cold box|"
    "outside the camp|in full sun|over the fire|in the red bag|next to the school",
    "|",
)
TOPICS = _split(
    "Water|Drying|Storing|The store|Washing|Care|Supplies|Power|Cooking|Animals|Seeds|Repairs|Safety|Tools|The team|"
    "Transport|How much to give|Feeding|Cleaning|At the clinic|In the field|Fuel|Roads|Visits|Rules|Food",
    "|",
)
DRUGS = _split("aspirin iron amoxicillin quinine insulin vitamin ibuprofen antibiotic syrup ointment")
PEOPLE = _split("president king minister doctor manager singer captain boss neighbour brother")

_ONSETS = _split("b d f g h j k l m n p r s t v w z br dr gr kr tr pl sl st sh ch kw mb nd")
_VOWELS = _split("a e i o u")
_CODAS = ("", "", "", "n", "m", "l", "r", "s", "k", "t")


def invented(rng: random.Random, syllables: int = 0) -> str:
    """A pronounceable word of two or three syllables that means nothing."""
    count = syllables or rng.choice((2, 2, 3))
    return "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(count))


def number(rng: random.Random) -> int:
    """Mostly small numbers, as in instructions, and some larger ones."""
    pick = rng.random()
    if pick < 0.45:
        return rng.randint(2, 19)
    if pick < 0.8:
        return rng.randint(20, 99)
    return rng.choice((rng.randint(100, 999), rng.randint(10, 99) * 10, rng.randint(1000, 5000)))
