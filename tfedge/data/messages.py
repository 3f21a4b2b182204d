"""The sample ``messages``: short texts on four topics, put together from sentences by a seed.

Made, not written by anybody: they show that a pipeline runs, and nothing about accuracy on texts
that people write.
"""

from __future__ import annotations

import random
from pathlib import Path

COUNT = 120  # of each class
_SEED = 11

_WHO = (
    *("my sister", "the neighbours", "everyone here", "our guide", "grandmother", "a friend", "we"),
)
_WHEN = (
    *("today", "tomorrow", "last night", "on Sunday", "this week", "in the morning", "after work"),
)
# Sentences that any of the topics may have.
_SHARED = (
    "{who} asked about it {when}.",
    "Can you tell me more {when}?",
    "I did not expect that, to be honest.",
    "That is what {who} said {when}.",
    "It took longer than planned.",
    "Let me know what you think!",
)
_TOPICS = {
    "cooking": (
        "The {dish} needs another {minutes} minutes in the oven.",
        "{who} added far too much {spice} to the {dish}.",
        "Chop the onions and let them simmer with {spice} until soft.",
        "Whoever wrote this recipe for {dish} has never used a pan.",
        "There is no {spice} left, so I seasoned the {dish} with lemon.",
        "Knead the dough for {minutes} minutes and cover the bowl.",
    ),
    "money": (
        "The bank raised the interest on my loan {when}.",
        "{who} paid the {bill} twice and wants a refund.",
        "How much of my salary should I put into savings?",
        "The {bill} is due {when} and the account is nearly empty.",
        "Shares fell by {minutes} percent, so I did not sell.",
        "They charge a fee of {minutes} euros for every transfer.",
    ),
    "travel": (
        "Our flight to {city} was delayed by {minutes} minutes.",
        "{who} booked a hotel near the station in {city}.",
        "Take the night train to {city}, the view is worth it.",
        "My suitcase is still in {city}, and the airline does not answer.",
        "Do I need a visa for {city} if I stay one week?",
        "The bus from the airport to {city} leaves every {minutes} minutes.",
    ),
    "weather": (
        "Heavy rain is expected over {city} {when}.",
        "It has not stopped snowing since {when}, and the wind is icy.",
        "The forecast promises sunshine and {minutes} degrees {when}.",
        "Thick fog closed the road {when}.",
        "A thunderstorm with hail came over {city} {when}.",
        "It is so humid that even the shade is no help.",
    ),
}
_WORDS = {
    "dish": ("soup", "bread", "lasagne", "curry", "apple cake", "stew", "risotto"),
    "spice": ("pepper", "garlic", "cumin", "salt", "basil", "ginger"),
    "bill": ("rent", "invoice", "electricity bill", "credit card bill", "tax"),
    "city": ("Lisbon", "Oslo", "Kyoto", "Prague", "Montreal", "Naples"),
    "minutes": ("5", "12", "20", "25", "40"),
    "who": _WHO,
    "when": _WHEN,
}


def write(folder: Path) -> None:
    """A folder for each topic, a file for each text: the same every time."""
    rng = random.Random(_SEED)
    for topic, sentences in _TOPICS.items():
        (folder / topic).mkdir(parents=True)
        for number, text in enumerate(_texts(rng, sentences)):
            (folder / topic / f"{number:03d}.txt").write_text(f"{text}\n", encoding="utf-8")


def _texts(rng: random.Random, sentences: tuple[str, ...]) -> list[str]:
    """Different ones, of one sentence of the topic to two, and up to two that say nothing of it."""
    found: dict[str, None] = {}
    while len(found) < COUNT:
        chosen = rng.sample(sentences, rng.choice((1, 1, 2)))
        chosen += rng.sample(_SHARED, rng.choice((0, 1, 2)))
        rng.shuffle(chosen)
        filled = (
            one.format(**{key: rng.choice(all_) for key, all_ in _WORDS.items()}) for one in chosen
        )
        found[" ".join(one[0].upper() + one[1:] for one in filled)] = None
    return list(found)
