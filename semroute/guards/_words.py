"""Closed word classes of English, and words that carry no restriction of their own."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """Read a word list that is written as one text."""
    return frozenset(text.split())


def mapping(text: str) -> dict[str, str]:
    """Read a table that is written as one text of "key:value" pairs."""
    return dict(pair.split(":", 1) for pair in text.split())


ARTICLES = words("a an the some any this that these those such")
PRONOUNS = words(
    "i me my mine myself we us our ours ourselves you your yours yourself yourselves one's oneself he him his "
    "himself she her hers herself it its itself they them their theirs themselves u im there here who's someone "
    "somebody anyone anybody everyone everybody something anything everything"
)
AUXILIARIES = words(
    "be am is are was were been being do does did done doing have has had having can could may might shall should "
    "will would must ought cannot let"
)
PREPOSITIONS = words(
    "of in on at by for from to into onto with within without about over under above below between among amongst "
    "through throughout during before after since until till against across along around behind beside besides "
    "beyond despite toward towards upon via per off out up down inside outside near like as than instead unlike "
    "except"
)
CONJUNCTIONS = words("and or nor but so if whether because while though although yet then vs")
QUESTION_WORDS = words("who whom whose what which when where why how")
JOINERS = frozenset({"and", "or", "&", "/", ",", "vs", "|"})

FUNCTION_WORDS = ARTICLES | PRONOUNS | AUXILIARIES | PREPOSITIONS | CONJUNCTIONS | QUESTION_WORDS | {"eg", "ie", "etc"}

FILLERS = words(
    "please kindly hi hello hey thanks thank thx dear ok okay well also too very really truly actually indeed "
    "just simply basically exactly quite rather even ever still anyway maybe perhaps possibly exact certain "
    "particular specific specifically own able various several different numerous literally obviously clearly "
    "definitely certainly especially mainly"
)
"""Words that leave the answer as it is when they are added or left out."""

LIGHT = words(
    "bring get make way thing go want need know help tell possible come take give try use see say ask think "
    "people person mean wonder happen find explain describe show good best great most all every each yes step "
    "suggest recommend feel opinion available idea bit kind sort able both become now already much lot tip advice "
    "trick nowadays currently present somehow effective interesting main real true considered efficient popular "
    "likely favorite offer more according mr mrs ms dr sir inc ltd many experience exist called definition "
    "easiest easily easy simplest simple s"
)
"""Words that say little: they neither prove nor disprove a paraphrase on their own."""

PAST = words("was were did")
PRESENT = words("is are am do does")
