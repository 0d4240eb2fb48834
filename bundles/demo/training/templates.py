"""Sentence frames of everyday English around invented words, by what each part of a sentence tells.

Slots: {n} noun, {s} nouns, {v} verb, {V} the same with a capital, {g} its -ing form, {d} its -ed form, {a} adjective,
{W} a name, {x} number, {u} units, {t} spans of time, {o} one span of time, {l} lengths, {y} an everyday verb, {Y} with
a capital. A tail or frame has a kind: the kind of question that it answers.
"""

from __future__ import annotations

# What may follow a main clause, by kind.
TAILS: dict[str, tuple[str, ...]] = {
    "long": (
        "for {x} {t}", "for at least {x} {t}", "for {x} to {x} {t}", "for up to {x} {t}", "for a whole {o}",
        "within {x} {t}", "for no more than {x} {t}",
    ),
    "often": ("every {x} {t}", "every {o}", "{x} times a {o}", "once a {o}", "twice a {o}", "each {o}"),
    "where": (
        "in the {n}", "in a {a} {n}", "under the {n}", "near the {n}", "on a {a} {n}", "behind the {n}", "at the {n}",
        "above the {n}", "next to a {n}", "inside the {n}", "outside the {n}", "between the {n} and the {n}",
        "on the {a} side of the {n}", "in {s}", "into the {n}", "from the {n}", "to the {n}", "to a {a} {n}",
    ),
    "far": ("{x} {l} from the {n}", "at least {x} {l} from any {n}", "{x} {l} away from {s}", "{x} {l} above the {n}"),
    "when": (
        "before {g} the {n}", "after each {n}", "when the {n} is {a}", "if the {n} is {a}", "until the {n} is {a}",
        "after {g}", "before the {n}", "as soon as the {n} {v}s", "if {s} {v}", "at once", "{x} {t} before the {n}",
        "when you {v} a {n}", "during the {n}", "after {x} {t}", "if there is no {n}", "before you {v} the {n}",
    ),
    "with": ("with {n}", "with a {a} {n}", "with {a} {n} and {n}", "using a {n}", "with {x} {u} of {n}", "by {n}"),
    "why": (
        "so that the {n} stays {a}", "because {s} {v} it", "to {v} the {n}", "so that no {n} can {v}", "to stop {n}",
        "because it is {a}", "or the {n} will {v}", "so {s} do not {v}",
    ),
}  # fmt: skip

# What a sentence may begin with.
FRONTS: dict[str, tuple[str, ...]] = {
    "when": (
        "If the {n} is {a}", "If a {n} {v}s", "Before {g} the {n}", "After the {n}", "When the {n} is {a}",
        "In case of {n}", "After {g} the {n}", "If there is no {n}", "If {s} are {a}", "During a {n}",
        "If you have no {n}", "When you {v} the {n}", "For a {a} {n}", "For {n}", "With {n}",
    ),
    "where": ("In the {n}", "In a {a} {n}", "Above {x} {l}", "Near the {n}", "On the {n}"),
    "with": ("With a {n}", "Using {n}"),
    "often": ("Every {o}", "Once a {o}", "Every {x} {t}"),
}  # fmt: skip

# Orders: they need an object and take tails.
ORDERS: tuple[str, ...] = (
    "{V} the {n}", "{V} the {n}", "{V} the {a} {n}", "{V} {n}", "{V} each {n}", "{V} the {n} and the {n}",
    "{V} {a} {s}",
    "{V} the {n} and {v} it", "{V} and {v} the {n}", "{Y} the {n}", "{Y} the {a} {n}", "{Y} {n}", "{Y} a {n}", "{Y} it",
    "{V} it", "{V} them", "The {n} must be {d}", "The {n} should be {d}", "{s} are {d}", "You can {v} the {n}",
    "Let the {n} {v}", "Let {n} {v}", "{Y} the {n} {a}", "{Y} the {n} of the {n}", "{V} one {n}", "{V} all {s}",
    "{V} the {n} out of the {n}", "Make sure that the {n} is {a}", "Check the {n} and the {n}", "Wait {x} {t} and {v}",
    "{V} down", "{V} your {n}", "Tell the {n}", "Ask the {n} to {v}", "{V} the {n} {a}ly",
)  # fmt: skip

# Orders that forbid.
BANS: tuple[str, ...] = (
    "Never {v} the {n}", "Do not {v} the {n}", "Never {y} {a} {n}", "Do not {y} a {n}", "Never {v} a {a} {n}",
    "Do not {v} it", "No {n} may be {d}", "Do not let {s} {v}", "Never {v} {n} and {n}", "Do not {y} the {n}",
)  # fmt: skip

# Whole sentences with what each answers.
FACTS: tuple[tuple[str, str], ...] = (
    ("{Y} {x} {u} of {n} to each {n}", "much"), ("{Y} {x} {u} of {n}", "much"), ("{Y} {x} {u} of {n} a {o}", "much"),
    ("Give {x} {u} of {n} for each {n}", "much"), ("{V} {x} {u} of {n} in {x} {u} of {n}", "much"),
    ("Use {x} {u} for each {n} if the {n} is {a}", "much"), ("Each {n} needs at least {x} {u} of {n}", "much"),
    ("A {n} needs {x} {s}", "many"), ("One {n} is enough for {x} {s}", "many"), ("One {n} serves {x} {s}", "many"),
    ("A {a} {n} has {x} {s}", "many"), ("There must be {x} {s} for each {n}", "many"), ("{V} {x} {s}", "many"),
    ("{Y} no more than {x} {s} in a {n}", "many"), ("{Y} {x} {u} of {n} after each {n}", "much"),
    ("The {n} is {x} {l} {a}", "far"), ("The {n} should be {x} {l} {a} and {x} {l} {a}", "far"),
    ("Leave {x} {l} between the {n} and the {n}", "far"), ("The {n} must be {x} {l} above the {n}", "far"),
    ("Keep the {n} between {x} and {x} degrees", "warm"), ("The {n} is {a} above {x} degrees", "warm"),
    ("{V} the {n} below {x} degrees", "warm"), ("{V} {n} to {x} percent {n}", "much"),
    ("A {n} lasts {x} {t}", "long"), ("The {n} takes about {x} {t}", "long"), ("The {n} stays {a} for {x} {t}", "long"),
    ("The {a} {n} costs {x} {s}", "much"), ("The {n} of a {n} weighs {x} {u}", "much"),
    ("The {n} is {a} and {a}", "what"), ("{s} {v} in {a} {n}", "what"), ("A {n} that {v}s is a {a} {n}", "what"),
    ("The {n} {v}s the {n}", "what"), ("Signs of {n} are {n}, {a} {n} and {n}", "what"),
    ("{s} are {n} and {n}", "what"),
    ("{n} comes from {s} that {v} in {n}", "what"), ("A {n} is a {a} {n} of {n}", "what"), ("{a} {n} {v}s", "what"),
    ("Say {n} when you have {d}", "what"), ("Use channel {x} for {n}", "many"), ("The {n} can {v} a {n}", "what"),
    ("{W} {v}s the {n}", "who"), ("The {n} {v}s the {n} first", "who"), ("Call {W} if the {n} is {a}", "who"),
    ("Only a {n} may {v} the {n}", "who"), ("{W} keeps the {n}", "who"), ("A {n} should {v} the {n}", "who"),
    ("Children under {x} {t} get {x} {u} of {n}", "much"), ("{s} over {x} {t} get {x} {u}", "much"),
    ("The {n} of {W} opens at {x} and closes at {x}", "when"), ("The {n} begins in {W}", "when"),
    ("It is {a} if {s} {v}", "when"), ("The {n} is {a} when it {v}s", "when"), ("Most {s} are not {a}", "what"),
    ("This {v}s the {n}", "what"), ("They {v} the {n}", "what"), ("It {v}s {n} and {n}", "what"),
    ("No {n} is needed for a {n}", "what"), ("More than {x} {s} is too {a}", "many"),
    ("{a} {n} is a sign of {n}", "what"),
)  # fmt: skip

# How a question of each kind begins.
OPENINGS: dict[str, tuple[str, ...]] = {
    "long": ("How long", "How long", "For how long", "How many {t}", "For how many {t}", "How much time",
             "After how long"),
    "often": ("How often", "How many times a {o}", "How often", "When", "How frequently"),
    "where": ("Where", "Where", "In what place", "To where", "From where"),
    "far": ("How far", "How many {l}", "At what distance", "How much room", "How high", "How deep", "How wide"),
    "when": ("When", "When", "At what time", "What if", "What do I do if", "What happens when", "In which case"),
    "with": ("With what", "What", "How", "What can I use to", "Which things"),
    "why": ("Why", "Why", "For what reason", "What for", "What is the reason to"),
    "much": ("How much", "How many {u} of", "What amount of", "How many {u}", "What dose of", "What is the dose of"),
    "many": ("How many", "How many", "What number of", "For how many"),
    "warm": ("How warm", "How cold", "At what temperature", "At how many degrees", "What temperature"),
    "what": ("What", "Which", "What is", "What are", "What does", "How"),
    "who": ("Who", "Who", "Which person", "By whom", "What person"),
    "ban": ("Can I", "May I", "Is it safe to", "Should I", "Am I allowed to", "Is it good to", "Do I", "Must I",
            "What must I not"),
}  # fmt: skip
ANY_OPENINGS: tuple[str, ...] = (
    "What about", "Tell me about", "How", "What is", "What should I do with", "Which", "How do I", "What do I do with",
    "How should I", "How can I", "What must be done with", "What do the documents tell about", "What", "Is", "Are",
)  # fmt: skip
HELPERS: tuple[str, ...] = (
    "do I", "should I", "must I", "can I", "do we", "should we", "does the", "should the", "must the", "is the", "are",
    "may the", "do you", "will the", "must a", "should a", "can a", "is a", "must", "should", "does", "do", "are the",
    "is",
    "did", "does a", "need I", "do I have to", "should you", "does one", "ought I to",
)  # fmt: skip
GLUE: tuple[str, ...] = (
    "the", "the", "the", "a", "of the", "of", "for the", "for a", "with", "with the", "in the", "in", "and", "to the",
    "from the", "if the", "when", "to", "on the", "that", "before", "after", "", "", "", "my", "your", "each", "by",
)  # fmt: skip
TRAILS: tuple[str, ...] = (
    "safely", "a {o}", "each {o}", "first", "in one {o}", "again", "before use", "to be safe", "at home", "at once",
    "in a {o}", "get", "need", "be", "have", "do", "here", "now", "for",
)  # fmt: skip

# Messages that come alone, without passages.
ALONE: tuple[str, ...] = (
    "Hello.", "Hello", "Good morning.", "Hi", "Who are you?", "What can you do?", "Thank you.", "Help", "test",
    "How are you?", "Hello there!", "What is this?", "Can you help me?",
)  # fmt: skip
