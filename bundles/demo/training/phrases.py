"""English and Swahili phrases by pattern, so that the language pack learns how to vary what the guides say.

Each pattern gives one sentence in both languages from the same choice of words. Swahili forms that depend on a noun's
class are written out beside the noun: nothing here guesses grammar.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from .guides import Pair, load_pairs
from .words import whole as number


def _table(by: str, text: str) -> tuple[tuple[str, ...], ...]:
    """Entries parted by `by`, their fields by slashes."""
    return tuple(tuple(entry.split("/")) for entry in text.split(by))


# English verb, Swahili imperative, Swahili subjunctive stem (after ni-, usi-), Swahili infinitive stem.
VERBS = _table(
    " ",
    (
        "wash/osha/oshe/osha dry/kausha/kaushe/kausha boil/chemsha/chemshe/chemsha keep/weka/weke/weka "
        "check/kagua/kague/kagua open/fungua/fungue/fungua close/funga/funge/funga fill/jaza/jaze/jaza "
        "clean/safisha/safishe/safisha turn/geuza/geuze/geuza shake/tikisa/tikise/tikisa cover/funika/funike/funika "
        "move/hamisha/hamishe/hamisha carry/beba/bebe/beba bring/leta/lete/leta use/tumia/tumie/tumia "
        "store/hifadhi/hifadhi/hifadhi stir/koroga/koroge/koroga repair/tengeneza/tengeneze/tengeneza "
        "hang/tundika/tundike/tundika mix/changanya/changanye/changanya air/anika/anike/anika cook/pika/pike/pika"
    ),
)
NOUNS = _table(
    "|",
    (
        "water/maji|net/chandarua|container/chombo|bottle/chupa|grain/nafaka|bag/mfuko|vaccines/chanjo|door/mlango|"
        "bed/kitanda|can/dumu|store/ghala|soap/sabuni|salt/chumvi|sugar/sukari|solution/mchanganyiko|packet/pakiti|"
        "box/boksi|vial/kichupa|carrier/kibebeo|refrigerator/jokofu|maize/mahindi|beans/maharagwe|"
        "thermometer/kipimajoto|bucket/ndoo|pot/sufuria|food/chakula|latrine/choo|milk/maziwa|medicine/dawa|"
        "clothes/nguo|mattress/godoro|rope/kamba|school/shule|clinic/kliniki|house/nyumba|rice/mchele|seed/mbegu"
    ),
)
ADJ_NOUNS = (
    ("clean water", "maji safi"), ("dirty water", "maji machafu"), ("safe water", "maji salama"),
    ("cold water", "maji baridi"), ("a new net", "chandarua kipya"), ("an old net", "chandarua cha zamani"),
    ("a clean bottle", "chupa safi"), ("a dry bag", "mfuko mkavu"), ("a large bucket", "ndoo kubwa"),
    ("a small bucket", "ndoo ndogo"), ("new grain", "nafaka mpya"), ("old grain", "nafaka za zamani"),
    ("wet grain", "nafaka mbichi"), ("dry salt", "chumvi kavu"), ("the treated water", "maji yaliyotibiwa"),
    ("the stored water", "maji yaliyohifadhiwa"), ("the drinking water", "maji ya kunywa"),
    ("a clean container", "chombo safi"), ("an open vial", "kichupa kilichofunguliwa"),
    ("the ice packs", "pakiti za barafu"), ("my hands", "mikono yangu"), ("your hands", "mikono yako"),
)  # fmt: skip
TIMES = (("seconds", "sekunde"), ("minutes", "dakika"), ("hours", "saa"), ("days", "siku"), ("weeks", "wiki"),
         ("months", "miezi"), ("years", "miaka"))  # fmt: skip
RATES = (("day", "siku"), ("week", "wiki"), ("month", "mwezi"), ("year", "mwaka"))
# English unit, Swahili unit, the "of" that agrees with it.
UNITS = (("litres", "lita", "za"), ("grams", "gramu", "za"), ("millilitres", "mililita", "za"),
         ("milligrams", "miligramu", "za"), ("kilograms", "kilo", "za"), ("drops", "matone", "ya"),
         ("teaspoons", "vijiko vidogo", "vya"), ("packets", "pakiti", "za"), ("bags", "mifuko", "ya"))  # fmt: skip
LENGTHS = (("metres", "mita"), ("centimetres", "sentimita"), ("kilometres", "kilomita"))
STUFF = (("water", "maji"), ("bleach", "bleach"), ("salt", "chumvi"), ("sugar", "sukari"), ("soap", "sabuni"),
         ("zinc", "zinki"), ("ORS", "ORS"), ("milk", "maziwa"), ("maize", "mahindi"), ("rice", "mchele"),
         ("oil", "mafuta"), ("ash", "majivu"), ("chlorine", "klorini"))  # fmt: skip
WHO = (("person", "mtu"), ("child", "mtoto"), ("family", "familia"), ("woman", "mwanamke"), ("patient", "mgonjwa"))
PLACES = (("in the shade", "kivulini"), ("in the sun", "juani"), ("at home", "nyumbani"), ("in the kitchen", "jikoni"),
          ("at school", "shuleni"), ("on the table", "mezani"), ("outside", "nje"), ("at the market", "sokoni"),
          ("in the store", "ghalani"), ("near the well", "karibu na kisima"), ("under the bed", "chini ya kitanda"),
          ("on the floor", "sakafuni"), ("behind the house", "nyuma ya nyumba"))  # fmt: skip
# Thing, Swahili, "is at", "will be opened", "will be closed".
SITES = (("school", "shule", "iko", "itafunguliwa", "itafungwa"),
         ("clinic", "kliniki", "iko", "itafunguliwa", "itafungwa"),
         ("market", "soko", "liko", "litafunguliwa", "litafungwa"),
         ("store", "ghala", "liko", "litafunguliwa", "litafungwa"),
         ("shop", "duka", "liko", "litafunguliwa", "litafungwa"),
         ("office", "ofisi", "iko", "itafunguliwa", "itafungwa"),
         ("well", "kisima", "kiko", "kitafunguliwa", "kitafungwa"),
         ("road", "barabara", "iko", "itafunguliwa", "itafungwa"),
         ("hospital", "hospitali", "iko", "itafunguliwa", "itafungwa"))  # fmt: skip
DRUGS = (("paracetamol", "parasetamoli"), ("aspirin", "aspirini"), ("zinc", "zinki"), ("iron", "madini ya chuma"),
         ("vitamin A", "vitamini A"), ("quinine", "kwinini"))  # fmt: skip
CONDITIONS = (("if there is no soap", "ikiwa hakuna sabuni"), ("if there is no water", "ikiwa hakuna maji"),
              ("if the water is cloudy", "ikiwa maji ni machafu"), ("if the child vomits", "mtoto akitapika"),
              ("if the grain is wet", "ikiwa nafaka ni mbichi"), ("if the bag is open", "ikiwa mfuko umefunguliwa"),
              ("during a power cut", "umeme ukikatika"), ("before storing", "kabla ya kuhifadhi"),
              ("before use", "kabla ya kutumia"), ("before eating", "kabla ya kula"),
              ("after eating", "baada ya kula"), ("before drinking", "kabla ya kunywa"),
              ("every day", "kila siku"), ("every night", "kila usiku"), ("at once", "mara moja"))  # fmt: skip

Maker = Callable[[random.Random], tuple[str, str]]


def _object(r: random.Random) -> tuple[str, str]:
    if r.random() < 0.4:
        return r.choice(ADJ_NOUNS)
    en, sw = r.choice(NOUNS)
    return f"the {en}", sw


def _act(r: random.Random, form: str) -> tuple[str, str]:
    """A verb and its object; `form` is which Swahili verb form is wanted, with its prefix."""
    en, imperative, stem, infinitive = r.choice(VERBS)
    object_en, object_sw = _object(r)
    sw = {"do": imperative, "ni": "ni" + stem, "usi": "usi" + stem, "ku": "ku" + infinitive}[form]
    return f"{en} {object_en}", f"{sw} {object_sw}"


def _cap(pair: tuple[str, str]) -> tuple[str, str]:
    return pair[0][0].upper() + pair[0][1:], pair[1][0].upper() + pair[1][1:]


def _time(r: random.Random) -> tuple[str, str]:
    n, (en, sw) = number(r), r.choice(TIMES)
    return f"{n} {en}", f"{sw} {n}"


def _question(opening: str, closing: str, form: str = "ni", front: str = "") -> Maker:
    def make(r: random.Random) -> tuple[str, str]:
        en, sw = _act(r, form)
        return _cap((f"{opening} {en}?", f"{front}{sw}{closing}?"))

    return make


def _order(
    tail: Callable[[random.Random], tuple[str, str]], form: str = "do", front: str = "", never: str = ""
) -> Maker:
    def make(r: random.Random) -> tuple[str, str]:
        en, sw = _act(r, form)
        if never:
            verb, _, rest = sw.partition(" ")
            sw = f"{verb} {never} {rest}"
        tail_en, tail_sw = tail(r)
        return _cap((f"{front}{en}{tail_en}.", f"{sw}{tail_sw}."))

    return make


def _every(r: random.Random) -> tuple[str, str]:
    n, (en, sw) = number(r), r.choice(TIMES[1:])
    return f" every {n} {en}", f" kila {sw} {n}"


def _during(r: random.Random) -> tuple[str, str]:
    en, sw = _time(r)
    front = r.choice(
        ((" for", " kwa"), (" for at least", " kwa angalau"), (" within", " ndani ya"), (" after", " baada ya"))
    )
    return f"{front[0]} {en}", f"{front[1]} {sw}"


def _times(r: random.Random) -> tuple[str, str]:
    n, (en, sw) = number(r), r.choice(RATES)
    more = r.choice((("", ""), (" no more than", " si zaidi ya"), (" at least", " angalau")))
    return f"{more[0]} {n} times a {en}", f"{more[1]} mara {n} kwa {sw}"


def _place(r: random.Random) -> tuple[str, str]:
    en, sw = r.choice(PLACES + CONDITIONS)
    return " " + en, " " + sw


def _nothing(r: random.Random) -> tuple[str, str]:
    return "", ""


def _amount(r: random.Random) -> tuple[str, str]:
    n, (en, sw, of), (what_en, what_sw) = number(r), r.choice(UNITS), r.choice(STUFF)
    return f"{n} {en} of {what_en}", f"{sw} {n} {of} {what_sw}"


def _add(r: random.Random) -> tuple[str, str]:
    (en, sw), (noun_en, noun_sw) = _amount(r), r.choice(NOUNS)
    verb = r.choice(
        (("Add", "to", "Weka"), ("Put", "into", "Weka"), ("Stir", "into", "Koroga"), ("Mix", "into", "Changanya"))
    )
    return f"{verb[0]} {en} {verb[1]} the {noun_en}.", f"{verb[2]} {sw} katika {noun_sw}."


def _needs(r: random.Random) -> tuple[str, str]:
    (en, sw), (who_en, who_sw), rate = _amount(r), r.choice(WHO), r.choice(RATES)
    least = r.choice((("", ""), (" at least", " angalau")))
    return (
        f"Each {who_en} needs{least[0]} {en} a {rate[0]}.",
        f"Kila {who_sw} anahitaji{least[1]} {sw} kwa {rate[1]}.".replace("familia anahitaji", "familia inahitaji"),
    )


def _how_much(r: random.Random) -> tuple[str, str]:
    (what_en, what_sw), (who_en, who_sw) = r.choice(STUFF), r.choice(WHO[:2] + WHO[3:])
    return r.choice((
        (f"How much {what_en} does each {who_en} need?", f"Kila {who_sw} anahitaji {what_sw} kiasi gani?"),
        (f"How much {what_en} should I use?", f"Nitumie {what_sw} kiasi gani?"),
        (f"How much {what_en} should a {who_en} get each day?",
         f"{who_sw.capitalize()} apewe {what_sw} kiasi gani kila siku?"),
        (f"Is there {what_en}?", f"Je, kuna {what_sw}?"),
        (f"There is no {what_en}.", f"Hakuna {what_sw}."),
        (f"What can I use if there is no {what_en}?", f"Nitumie nini ikiwa hakuna {what_sw}?"),
        (f"Where can I buy {what_en}?", f"Naweza kununua {what_sw} wapi?"),
    ))  # fmt: skip


def _how_many(r: random.Random) -> tuple[str, str]:
    en, sw, ask = r.choice((
        ("drops of bleach", "matone", "mangapi ya bleach"), ("litres of water", "lita", "ngapi za maji"),
        ("grams of soap", "gramu", "ngapi za sabuni"), ("teaspoons of sugar", "vijiko", "vingapi vya sukari"),
        ("packets of ORS", "pakiti", "ngapi za ORS"), ("bags of maize", "mifuko", "mingapi ya mahindi"),
        ("tablets", "vidonge", "vingapi"), ("nets", "vyandarua", "vingapi"),
    ))  # fmt: skip
    if r.random() < 0.5:
        noun_en, noun_sw = r.choice(NOUNS)
        return f"How many {en} do I put into the {noun_en}?", f"Niweke {sw} {ask} katika {noun_sw}?"
    return f"How many {en} does a {r.choice(('person',))} need?", f"Mtu anahitaji {sw} {ask}?"


def _site(r: random.Random) -> tuple[str, str]:
    en, sw, at, opens, closes = r.choice(SITES)
    other_en, other_sw, *_ = r.choice(SITES)
    n, (unit_en, unit_sw) = number(r), r.choice(LENGTHS)
    up = sw.capitalize()
    return r.choice((
        (f"When will the {en} open?", f"{up} {opens} lini?"), (f"When will the {en} close?", f"{up} {closes} lini?"),
        (f"Where is the {en}?", f"{up} {at} wapi?"), (f"How far is the {en}?", f"{up} {at} umbali gani?"),
        (f"The {en} is {n} {unit_en} from the {other_en}.", f"{up} {at} {unit_sw} {n} kutoka {other_sw}."),
        (f"Go to the {en} within {n} hours.", f"Nenda {sw} ndani ya saa {n}."),
    ))  # fmt: skip


def _dose(r: random.Random) -> tuple[str, str]:
    (en, sw), n, m = r.choice(DRUGS), number(r), number(r)
    who_en, who_sw = r.choice(
        (("a child", "mtoto"), ("an adult", "mtu mzima"), ("a baby", "mtoto mchanga"), ("a patient", "mgonjwa"))
    )
    return r.choice((
        (f"What is the dose of {en} for {who_en}?", f"{who_sw.capitalize()} apewe dozi gani ya {sw}?"),
        (f"Give {n} milligrams of {en} each day for {m} days.", f"Toa miligramu {n} za {sw} kila siku kwa siku {m}."),
        (f"Give {n} to {m} millilitres of {en}.", f"Toa mililita {n} hadi {m} za {sw}."),
        (f"Babies under {n} months get {m} milligrams of {en}.",
         f"Watoto wa chini ya miezi {n} wapewe miligramu {m} za {sw}."),
        (f"Keep it between {n} and {m} degrees Celsius.", f"Weka kati ya nyuzi {n} na {m} za Selsiasi."),
        (f"Dry it to {n} percent.", f"Kausha hadi asilimia {n}."),
    ))  # fmt: skip


PATTERNS: tuple[Maker, ...] = (
    _order(_every),
    _order(_during),
    _order(_times),
    _order(_place),
    _order(_nothing),
    _order(_nothing, "usi", "do not "),
    _order(_place, "usi", "do not "),
    _order(_nothing, "usi", "never ", "kamwe"),
    _question("How long should I", " kwa muda gani"),
    _question("For how long should I", " kwa muda gani", "ku", "ninapaswa "),
    _question("How often should I", " mara ngapi"),
    _question("When should I", " lini"),
    _question("Where should I", " wapi"),
    _question("How do I", "", "ni", "Jinsi gani "),
    _question("Can I", "", "ku", "naweza "),
    _question("Should I", "", "ni", "Je, "),
    _question("Why should I", "", "ni", "Kwa nini "),
    _add,
    _needs,
    _how_much,
    _how_many,
    _site,
    _dose,
    _order(_during),
    _order(_place),
)

_SINGULAR = re.compile(r"\b(\d+) (minute|hour|day|litre|metre)\b(?! can)")


def vary(pair: Pair, r: random.Random) -> tuple[str, str]:
    """The pair with other numbers, the same on both sides."""
    swaps = {n: str(number(r)) for n in re.findall(r"\d+", pair.en)}

    def swap(text: str) -> str:
        return re.sub(r"\d+", lambda m: swaps.get(m.group(), m.group()), text)

    return _SINGULAR.sub(r"\1 \2s", swap(pair.en)), swap(pair.sw)


def _marked(pair: tuple[str, str], r: random.Random) -> tuple[str, str]:
    """Now and then with a passage mark or a step number, which must come through."""
    pick = r.random()
    if pick < 0.04:
        mark = f" [{r.randint(1, 5)}]"
        return pair[0] + mark, pair[1] + mark
    if pick < 0.08:
        step = f"{r.randint(1, 9)}. "
        return step + pair[0], step + pair[1]
    return pair


def examples(seed: int, count: int) -> list[tuple[str, str]]:
    """`count` pairs for training: a third as written, a third with other numbers, a third from patterns."""
    r, pairs, made = random.Random(seed), [p for p in load_pairs() if p.kind != "source"], []
    numbered = [p for p in pairs if re.search(r"\d", p.en)]
    held = set(heldout())
    while len(made) < count:
        pick = r.random()
        if pick < 0.3:
            p = r.choice(pairs)
            one = (p.en, p.sw)
        elif pick < 0.6:
            one = vary(r.choice(numbered), r)
        else:
            one = r.choice(PATTERNS)(r)
        if one not in held:
            made.append(_marked(one, r))
    return made


def heldout(seed: int = 77, count: int = 150) -> list[tuple[str, str]]:
    """Pattern sentences in combinations that training is not shown."""
    r = random.Random(seed)
    return [r.choice(PATTERNS)(r) for _ in range(count)]


def heldout_numbers(seed: int = 78) -> list[tuple[str, str]]:
    """Every numbered sentence of the guides with numbers from another seed."""
    r = random.Random(seed)
    return [vary(p, r) for p in load_pairs() if p.kind == "sentence" and re.search(r"\d", p.en)]
