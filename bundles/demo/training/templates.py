"""Sentence patterns, each with questions that its sentence answers.

Slots: {n} number, {m} second number, {x} {y} things, {xs} several things, {a} adjective, {v} verb, {u} unit,
{t} span of time, {p} place, {w} a person's or place's name, {f} a short verb phrase. The same filling serves the
sentence and its questions.
"""

from __future__ import annotations

PATTERNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Add {n} {u} of {x} to each {y}.", ("How much {x} do I add to each {y}?", "How many {u} of {x} for a {y}?")),
    ("Put {n} {u} of {x} into the {y}.", ("How much {x} goes into the {y}?", "What do I put into the {y}?")),
    ("Mix {n} {u} of {x} with {m} {u} of {y}.", ("How much {x} do I mix with {y}?", "How do I mix {x} and {y}?")),
    ("Use {n} {u} for each {x} if the {y} is {a}.", ("How many {u} if the {y} is {a}?", "What if the {y} is {a}?")),
    ("Give each {x} {n} {u} of {y} a day.", ("How much {y} does each {x} get?", "What do I give each {x}?")),
    ("Each {x} needs at least {n} {u} of {y}.", ("How much {y} does each {x} need?", "What does one {x} need?")),
    ("{V} the {x} every {n} {t}.", ("How often do I {v} the {x}?", "When do I {v} the {x}?", "{V} the {x} when?")),
    ("{V} the {x} for at least {n} {t}.", ("How long do I {v} the {x}?", "For how many {t} must I {v} the {x}?")),
    ("{V} the {a} {x} with {y} for {n} {t}.", ("How long do I {v} the {a} {x}?", "With what do I {v} the {a} {x}?")),
    ("{V} the {x} {n} times a day.", ("How many times a day do I {v} the {x}?", "How often should I {v} the {x}?")),
    ("{V} the {x} and wait {n} {t}.", ("How long do I wait after I {v} the {x}?", "What do I do with the {x}?")),
    ("{V} the {x} {p}.", ("Where do I {v} the {x}?", "Where should I {v} the {x}?")),
    ("{V} the {x} before you {f} the {y}.", ("When do I {v} the {x}?", "What do I do before I {f} the {y}?")),
    ("{V} the {x} at once if the {y} is {a}.", ("What do I do if the {y} is {a}?", "When do I {v} the {x} at once?")),
    ("Keep the {x} {p}.", ("Where do I keep the {x}?", "Where should the {x} be kept?")),
    ("Keep the {a} {x} between {n} and {m} degrees.", ("How cold do I keep the {a} {x}?", "How warm is the {a} {x}?")),
    ("Do not {v} the {x} with {y}.", ("May I {v} the {x} with {y}?", "Can I {v} the {x} with {y}?")),
    ("Never {v} a {a} {x}.", ("May I {v} a {a} {x}?", "Can I {v} a {a} {x}?")),
    ("One {x} serves {n} {xs}.", ("How many {xs} does one {x} serve?", "For how many {xs} is one {x}?")),
    ("A {x} lasts about {n} {t}.", ("How long does a {x} last?", "For how many {t} can I use a {x}?")),
    ("The {x} is {n} {u} from the {y}.", ("How far is the {x} from the {y}?", "How far away from the {y} is the {x}?")),
    ("Leave {n} {u} between the {x} and the {y}.", ("How much room between the {x} and the {y}?", "How far apart?")),
    ("Throw away the {a} {x} after {n} {t}.", ("When do I throw away the {a} {x}?", "How long is the {a} {x} good?")),
    ("Dry the {x} to {n} percent before storing.", ("How dry must the {x} be?", "To what percent do I dry the {x}?")),
    ("{w} has {n} {a} {xs}.", ("How many {a} {xs} does {w} have?", "How many {xs} has {w}?")),
    ("{w} keeps the {x} {p}.", ("Where does {w} keep the {x}?", "Who keeps the {x}?")),
    ("{w} sold {n} {xs} for {m} coins.", ("How many {xs} did {w} sell?", "What did {w} sell?")),
    ("The {x} of {w} weighs {n} kilograms.", ("How much does the {x} of {w} weigh?", "How heavy is {w}'s {x}?")),
    ("The {x} in {w} opens at {n} and closes at {m}.", ("When does the {x} in {w} open?", "When does {w} close?")),
    ("The {a} {x} costs {n} coins.", ("How much does the {a} {x} cost?", "What is the price of the {a} {x}?")),
    ("The {x} was built by {w} {n} years ago.", ("Who built the {x}?", "How old is the {x}?")),
    ("Call {w} if the {x} is {a}.", ("Who do I call if the {x} is {a}?", "What if the {x} is {a}?")),
    ("The {w} road is closed for {n} {t}.", ("How long is the {w} road closed?", "Which road is closed?")),
    ("Tie the {x} to the {y} with {n} ropes.", ("To what do I tie the {x}?", "How do I tie the {x}?")),
    ("If there is no {x}, use {n} {u} of {y}.", ("What can I use if there is no {x}?", "What if I have no {x}?")),
    ("If the {x} is {a}, leave it for {n} {t}.", ("How long if the {x} is {a}?", "What if the {x} is {a}?")),
    ("Children under {n} years get {m} {u} of {x}.", ("How much {x} for children under {n} years?",)),
    ("Go to {w} when the {x} is {a}.", ("When do I go to {w}?", "Where do I go when the {x} is {a}?")),
)

# Questions that nothing in the guides or in made-up text answers.
OFF_TOPIC: tuple[str, ...] = (
    "Who is the {who}?", "How do I repair a {y}?", "What is the price of {x}?", "When does the {y} arrive?",
    "What is the dose of {drug}?", "How much {drug} for an adult?", "Where can I buy a {y}?", "What is {w}?",
    "How many {xs} are there in {w}?", "When was {w} born?", "Who won the game?", "What is the weather today?",
    "How do I cook {x}?", "How far is {w}?", "What is the phone number of the {who}?", "How do I plant {x}?",
    "Can I keep a {y} in the {x}?", "How old is the {who}?", "What colour is the {y}?", "How do I build a {y}?",
    "Which {y} is the best?", "What is the capital of {w}?", "When does the {y} close?", "Who wrote the book?",
    "How much does a {y} cost?", "Where does the {who} live?", "How do I treat a snake bite?", "What is {drug} for?",
    "How do I charge the {y}?", "Why is the sky blue?", "What language do they speak in {w}?", "How do I get to {w}?",
    "How much {drug} should I give?", "Tell me a story.", "Is the {y} open on holidays?", "How do I treat a burn?",
)  # fmt: skip

# Messages that come alone, without passages.
ALONE: tuple[str, ...] = (
    "Hello.", "Hello", "Good morning.", "Hi", "Who are you?", "What can you do?", "Thank you.", "Help", "test",
    "How are you?", "Hello there!", "What is this?", "Can you help me?",
)  # fmt: skip

# Other ways to begin a question, for the same answer.
OPENINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        r"How long (should|do|must|may|can) I",
        ("For how long must I", "How many minutes do I", "How long do we need to"),
    ),
    (r"How long", ("For how long", "How much time", "For what time")),
    (r"For how many (minutes|hours|days|years|seconds)", ("How long", "For what time")),
    (r"How (often|many times)", ("How frequently", "How many times", "At what times")),
    (r"How much (?=\w+ (for|do|should|does|must))", ("What amount of ", "How many measures of ", "What dose of ")),
    (r"How many", ("What number of", "How many of the", "Up to how many")),
    (r"At what temperature", ("What temperature", "How warm or cold")),
    (r"(To what|How) (?=\w+ (must|do|should))", ("What ", "How ")),
    (r"Where (do|should) I", ("In what place do I", "Where must we", "Where can I")),
    (r"When (do|should|must) I", ("At what time do I", "When must we", "When is it time to")),
    (r"(May|Can|Should) I", ("Is it good to", "Am I allowed to", "Is it safe to")),
    (r"What (do|should) I do", ("What must be done", "What is there to do", "What should we do")),
    (r"How (do|should) I", ("How must I", "How can we", "In what way do I")),
    (r"Who", ("Which people", "What person")),
)
FILLERS: tuple[str, ...] = (
    "drinking", "new", "exactly", "really", "here", "my", "please", "usually", "again", "need", "get", "put", "own",
    "then", "today", "at home", "have", "good", "always",
)  # fmt: skip
