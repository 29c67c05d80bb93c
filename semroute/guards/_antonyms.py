"""Pairs of words that turn an answer round when one stands for the other."""

from __future__ import annotations

from semroute.guards._synonyms import canonical

_PAIRS = """
with without | before after | since until | before since | after until | over under | above below | more less
morethan lessthan | atleast atmost | to from | into from | in out | on off | up down | inside outside
for against | minimum maximum | and or | enable disable | allow deny | allow block | allow forbid
allow prevent | permit prohibit | accept reject | accept decline | accept refuse | approve reject
increase decrease | increase reduce | raise lower | buy sell | open close | login logout | upload download
import export | include exclude | upgrade downgrade | monthly annually | monthly yearly | monthly annual
monthly weekly | credit debit | start stop | begin end | start end | start finish | start quit | add remove
add delete | create delete | create remove | insert remove | connect disconnect | lock unlock | block unblock
mute unmute | subscribe unsubscribe | follow unfollow | install uninstall | activate deactivate | show hide
expand collapse | win lose | gain lose | find lose | push pull | send receive | give take | give get | come go
lend borrow | employer employee | hire fire | pass fail | success failure | succeed fail | love hate
like dislike | agree disagree | appear disappear | arrive depart | arrival departure | enter exit
encrypt decrypt | encode decode | compress decompress | compress extract | zip unzip | maximum minimum
maximize minimize | max min | high low | higher lower | highest lowest | hot cold | warm cool | long short
longer shorter | longest shortest | big small | bigger smaller | biggest smallest | large small | larger smaller
largest smallest | tall short | old new | old young | older younger | oldest youngest | oldest newest
early late | earlier later | earliest latest | first last | fast slow | faster slower | fastest slowest
cheap expensive | cheaper expensive | cheapest expensive | rich poor | good bad | better worse | best worst
right wrong | true false | left right | top bottom | front back | strong weak | hard soft | hard easy
heavy light | dark light | bright dark | dry wet | clean dirty | full empty | safe dangerous | safe unsafe
public private | personal business | free paid | legal illegal | possible impossible | positive negative
male female | boy girl | man woman | husband wife | father mother | brother sister | son daughter | uncle aunt
king queen | he she | his her | him her | incoming outgoing | inbound outbound | input output
internal external | local remote | online offline | manual automatic | domestic international
horizontal vertical | ascending descending | forward backward | forward back | parent child | sender recipient
buyer seller | lender borrower | landlord tenant | client server | customer vendor | major minor
majority minority | odd even | active passive | active inactive | visible invisible | temporary permanent
optional required | optional mandatory | voluntary mandatory | single married | single multiple | always never
often rarely | everything nothing | all none | both neither | increase freeze | pause resume | pause cancel
pause delete | cancel renew | cancel resume | mount unmount | read write | ask answer | question answer
north south | east west | day night | morning evening | am pm | yesterday tomorrow | today tomorrow
today yesterday | summer winter | spring autumn | last next | previous next | this last | this next
former latter | past future | old current | previous current | refund charge | refund payment | deposit withdraw
debt asset | profit loss | supply demand | cause cure | cause prevent | cause treat | alive dead | birth death
born die | attack defend | friend enemy | advantage disadvantage | benefit risk | pro con | strength weakness
inner outer | primary secondary | physical virtual | physical digital | wholesale retail | merge split
join leave | attach detach | freeze unfreeze | sync unsync | archive unarchive | publish unpublish | pin unpin
opt-in opt-out | ascend descend | rise fall | float sink | save spend | save delete | gift buy | physical mental
conscious unconscious | singular plural | lead follow | hope fear | present absent | present past
guilty innocent | war peace | import upload | dead alive
"""

_PREFIXES = (
    "un",
    "in",
    "im",
    "ir",
    "il",
    "dis",
    "non",
    "de",
    "mis",
    "anti",
    "over",
    "under",
    "pre",
    "post",
    "sub",
    "inter",
)


def _antonyms() -> dict[str, set[str]]:
    opposites: dict[str, set[str]] = {}
    for row in _PAIRS.replace("\n", "|").strip("|").split("|"):
        first, second = (canonical(word) for word in row.split())
        if first != second:
            opposites.setdefault(first, set()).add(second)
            opposites.setdefault(second, set()).add(first)
    return opposites


_ANTONYMS = _antonyms()


def are_opposites(first: str, second: str) -> bool:
    """Say whether two canonical words are opposites, by the list or by a prefix such as "un-" or "dis-"."""
    if second in _ANTONYMS.get(first, ()):
        return True
    if first[-1:] != second[-1:]:  # a prefix leaves the ending alone
        return False
    short, long = (second, first) if len(first) > len(second) else (first, second)
    return len(short) > 2 and long.endswith(short) and long[: -len(short)] in _PREFIXES
