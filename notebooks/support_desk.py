"""A made-up support desk: the questions that notebooks/threshold_tuning.ipynb learns from.

Nothing in here was ever asked by anybody. Questions are put together from topics, places and ways of asking, all
written for this notebook; `python support_desk.py` writes the pairs to support_pairs.csv and keeps the rows of that
file that were written by hand.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("support_pairs.csv")
COLUMNS: Final = ("stored", "asked", "same_answer", "kind")
HAND_WRITTEN: Final = "written by hand"

# What people want to do; the same in other words; something else that sounds like it.
TOPICS: Final = (
    ("reset my password", "set a new password after forgetting mine", "reset my username"),
    ("change my email address", "use another email address for my account", "change my postal address"),
    ("delete my account", "close my account for good", "delete my last message"),
    ("turn on two-factor login", "enable two-factor login", "turn off two-factor login"),
    ("mute notifications", "silence notifications", "unmute notifications"),
    ("export my contacts", "download a copy of my contacts", "import my contacts"),
    ("upload a folder", "add a whole folder", "download a folder"),
    ("share a file with a guest", "give a guest access to a file", "hide a file from a guest"),
    ("rename a project", "give a project another name", "remove a project"),
    ("archive a project", "put a project into the archive", "restore a project from the archive"),
    ("invite a colleague", "add a colleague", "remove a colleague"),
    ("change the language", "switch to another language", "change the time zone"),
    ("print a report", "get a report on paper", "send a report"),
    ("schedule a backup", "set up automatic backups", "cancel a backup"),
    ("restore an old version", "go back to an earlier version", "compare with an old version"),
    ("sort the list by date", "put the list in order of date", "sort the list by name"),
    ("change the background colour", "pick another background colour", "change the text size"),
    ("connect my calendar", "link my calendar", "disconnect my calendar"),
    ("record a meeting", "make a recording of a meeting", "join a meeting"),
    ("leave a team", "step out of a team", "join a team"),
    ("pin a message", "keep a message at the top", "unpin a message"),
    ("search old messages", "find messages from long ago", "delete old messages"),
    ("block a sender", "stop a sender from writing to me", "unblock a sender"),
    ("mark a task as done", "tick a task off", "mark a task as urgent"),
    ("add a due date", "set a deadline", "remove a due date"),
    ("copy a template", "duplicate a template", "delete a template"),
    ("merge two contacts", "join two contacts into one", "split a contact into two"),
    ("approve an expense", "give the green light to an expense", "reject an expense"),
    ("add a tax number", "enter a tax number", "add a phone number"),
    ("download my invoice", "get a copy of my invoice", "dispute my invoice"),
    ("pay by bank transfer", "use a bank transfer to pay", "pay by credit card"),
    ("sign a document", "put my signature on a document", "scan a document"),
    ("set an out-of-office reply", "switch on an automatic absence reply", "forward my replies"),
    ("lock a page", "protect a page from edits", "unlock a page"),
    ("insert a table", "add a table", "delete a table"),
    ("track my working time", "log my working hours", "correct my working time"),
    ("assign a ticket", "hand a ticket to somebody", "close a ticket"),
    ("reopen a ticket", "open a ticket again", "close a ticket early"),
    ("filter by customer", "show one customer only", "filter by country"),
    ("create a shortcut", "make a shortcut", "clear a shortcut"),
    ("sync over mobile data", "synchronise without wireless", "sync over the office network"),
    ("free up storage space", "make room in my storage", "buy storage space"),
    ("view who read a message", "see who has read a message", "hide that I read a message"),
    ("change the owner of a file", "transfer a file to another owner", "change the name of a file"),
    ("attach a photo", "add a picture", "crop a photo"),
    ("translate a page", "get a page in another language", "summarise a page"),
    ("start a poll", "set up a poll", "end a poll"),
    ("use dark mode", "switch to the dark theme", "use light mode"),
    ("turn on offline access", "make everything available offline", "turn off offline access"),
    ("verify my phone number", "confirm my phone number", "replace my phone number"),
    ("make a file public", "let everybody see a file", "make a file private"),
    ("raise my spending limit", "increase my spending limit", "lower my spending limit"),
    ("list active sessions", "see where I am signed in", "end active sessions"),
    ("add a widget", "place a widget", "move a widget"),
    ("join the beta", "take part in the beta", "leave the beta"),
    ("encrypt a note", "protect a note with encryption", "decrypt a note"),
)

# Where they want to do it: a different place has a different answer.
PLACES: Final = (
    *("", " on an iPhone", " on an Android phone", " on a Mac", " on Windows", " in the browser"),
    *(" on the Basic plan", " on the Pro plan", " as an administrator", " as a guest"),
)

# Ways to ask for it; all of them mean the same.
ASKING: Final = (
    *("How do I {}{}?", "How can I {}{}?", "What is the way to {}{}?", "Can you tell me how to {}{}?"),
    *("how to {}{}", "I want to {}{}, how does that work?", "Please explain how I {}{}."),
    *("What do I have to do to {}{}?", "Steps to {}{}?", "Where do I go to {}{}?"),
)

# Other questions about the same thing; their answers differ from that of every line above.
OTHER_QUESTIONS: Final = (
    *("Why can't I {}{}?", "Who is allowed to {}{}?", "How much does it cost to {}{}?"),
    *("How long does it take to {}{}?", "What happens if I don't {}{}?", "How do I {}{} a second time?"),
)

# Facts with a number in them: another number is another question.
FACTS: Final = (
    ("Is a file of {} MB too large to upload?", "Can I upload a file of {} MB?", (10, 25, 50, 100, 250, 500)),
    ("Can a team have {} members?", "Are {} people in one team possible?", (5, 10, 20, 50, 100, 200)),
    ("Are deleted notes kept for {} days?", "Do you keep deleted notes for {} days?", (7, 14, 30, 60, 90, 180)),
    ("Does the trial last {} days?", "Is the trial {} days long?", (7, 10, 14, 21, 30, 45)),
    ("Can I book {} rooms at once?", "Is it possible to book {} rooms at once?", (2, 3, 4, 5, 6, 8)),
    ("Is there a discount for {} seats?", "Do I get a discount with {} seats?", (5, 10, 25, 50, 75, 100)),
)


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the number of what it means: questions of one meaning have one answer."""

    text: str
    meaning: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A question that was answered, another one, and whether the answer serves both."""

    stored: str
    asked: str
    is_same: bool
    kind: str


def pairs(n: int = 1_500, *, seed: int = 7) -> list[Pair]:
    """Return made-up pairs in random order; no question is stored in more than two of them."""
    chance = random.Random(seed)
    made = [pair for topic in TOPICS for place in PLACES for pair in _about(topic, place, chance)]
    made += [pair for fact in FACTS for pair in _numbers(fact, chance)]
    chance.shuffle(made)
    return made[:n]


def _about(topic: tuple[str, str, str], place: str, chance: random.Random) -> Iterator[Pair]:
    """Yield pairs about one topic in one place, each with another way of asking, so that most texts stand once."""
    action, reworded, lookalike = topic
    one, two, three, four = chance.sample(ASKING, 4)
    stored, again = one.format(action, place), four.format(reworded, place)
    elsewhere = chance.choice([other for other in PLACES if other != place])
    alike = chance.choice((one, one, three))  # what differs is mostly a word or two: that is what makes a look-alike
    same = (
        Pair(stored, two.format(action, place), True, "another way of asking"),
        Pair(stored, two.format(reworded, place), True, "other words"),
    )
    different = (
        Pair(stored, alike.format(action, elsewhere), False, "another place"),
        Pair(stored, alike.format(lookalike, place), False, "another wish"),
        Pair(stored, chance.choice(OTHER_QUESTIONS).format(action, place), False, "another question"),
    )
    more = (
        Pair(again, two.format(action, place), True, "other words"),
        Pair(again, four.format(reworded, elsewhere), False, "another place"),
        Pair(again, two.format(lookalike, place), False, "another wish"),
    )
    yield from (chance.choice(same), chance.choice(different))
    if chance.random() < 0.6:
        yield chance.choice(more)


def _numbers(fact: tuple[str, str, tuple[int, ...]], chance: random.Random) -> Iterator[Pair]:
    one, two, numbers = fact
    for number in numbers:
        other = chance.choice([another for another in numbers if another != number])
        yield Pair(one.format(number), two.format(number), True, "other words")
        yield Pair(one.format(number), chance.choice((one, two)).format(other), False, "another number")


def traffic(n: int, *, seed: int = 11) -> list[Question]:
    """Return made-up questions in the order of a day: some topics are asked often, others seldom."""
    often = [1.0 / (rank + 10) for rank in range(len(TOPICS))]
    chance = random.Random(seed)
    asked = []
    for topic in chance.choices(range(len(TOPICS)), often, k=n):
        place, wording = chance.randrange(len(PLACES)), chance.randrange(3)
        # The first two wordings mean the same; the third is the look-alike.
        meaning = 1_000 * topic + 10 * place + (wording == 2)
        asked.append(Question(chance.choice(ASKING).format(TOPICS[topic][wording], PLACES[place]), meaning))
    return asked


def main() -> None:
    """Write the pairs anew, and keep what was written by hand."""
    with FILE.open(encoding="utf-8", newline="") as file:
        kept = [row for row in csv.DictReader(file) if row["kind"] == HAND_WRITTEN]
    with FILE.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows((pair.stored, pair.asked, int(pair.is_same), pair.kind) for pair in pairs())
        rows.writerows(tuple(row[column] for column in COLUMNS) for row in kept)


if __name__ == "__main__":
    main()
