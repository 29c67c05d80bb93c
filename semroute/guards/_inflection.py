"""One form for the inflected forms and spelling variants of an English word."""

from __future__ import annotations

from functools import lru_cache

from semroute.guards._words import mapping, words

_IRREGULAR = mapping(
    """
    : men:man women:woman children:child people:person mice:mouse feet:foot teeth:tooth lives:life wives:wife
    knives:knife leaves:leaf halves:half analyses:analysis criteria:criterion data:data media:media news:news
    series:series species:species went:go gone:go goes:go came:come got:get gotten:get made:make took:take
    taken:take gave:give given:give saw:see seen:see knew:know known:know thought:think bought:buy brought:bring
    sold:sell told:tell said:say sent:send spent:spend lost:lose won:win paid:pay kept:keep held:hold found:find
    left:leave met:meet ran:run wrote:write written:write built:build chose:choose chosen:choose broke:break
    broken:break stole:steal stolen:steal forgot:forget forgotten:forget began:begin begun:begin became:become
    grew:grow grown:grow flew:fly flown:fly drove:drive driven:drive ate:eat eaten:eat drank:drink drunk:drink
    slept:sleep felt:feel fell:fall fallen:fall caught:catch taught:teach understood:understand stood:stand
    spoke:speak spoken:speak wore:wear worn:wear threw:throw thrown:throw shown:show hid:hide hidden:hide sung:sing
    sang:sing swam:swim froze:freeze frozen:freeze lent:lend dealt:deal meant:mean read:read shipped:ship using:use
    used:use uses:use dying:die lying:lie tying:tie worse:bad worst:worst better:better best:best colour:color
    favour:favor favourite:favorite behaviour:behavior honour:honor labour:labor neighbour:neighbor centre:center
    theatre:theater metre:meter litre:liter fibre:fiber catalogue:catalog dialogue:dialog programme:program
    cheque:check tyre:tire grey:gray licence:license defence:defense offence:offense aluminium:aluminum
    jewellery:jewelry maths:math aeroplane:airplane plane:airplane mobile:mobile cancelled:cancel cancelling:cancel
    canceling:cancel canceled:cancel travelling:travel travelled:travel traveling:travel traveled:travel
    e-mail:email emails:email whilst:while judgement:judgment buses:bus gases:gas lenses:lens viruses:virus
    statuses:status bonuses:bonus focuses:focus this:this his:his does:do ios:ios aws:aws sms:sms gps:gps
    https:https dns:dns css:css js:js access:access address:address business:business process:process pass:pass
    class:class loss:loss boss:boss cross:cross glass:glass thing:thing bring:bring string:string ring:ring
    king:king spring:spring wing:wing sing:sing swing:swing becoming:becoming during:during morning:morning
    evening:evening ceiling:ceiling something:something nothing:nothing anything:anything everything:everything
    building:building meeting:meeting wedding:wedding red:red bed:bed need:need feed:feed speed:speed seed:seed
    exceed:exceed proceed:proceed succeed:succeed hundred:hundred united:united wed:wed shed:shed sled:sled
    physics:physics mathematics:mathematics politics:politics economics:economics always:always perhaps:perhaps
    windows:windows reply:reply apply:apply supply:supply family:family july:july italy:italy only:only early:early
    daily:daily fly:fly rely:rely assembly:assembly ally:ally bully:bully jelly:jelly belly:belly lily:lily
    anomaly:anomaly likely:likely friendly:friendly lovely:lovely lonely:lonely ugly:ugly monthly:monthly
    sank:sink sunk:sink customs:customs goods:goods glasses:glasses damages:damages arms:arms
    yearly:yearly weekly:weekly hourly:hourly hardly:hardly lately:lately shortly:shortly nearly:nearly
    """
)
_KEEPS_E = words(
    "state paste grade plate prime scrape stage suite route morale humane locale finale corpse tense forte caste "
    "twine spine slide stripe probe globe urbane envelope heroine rationale shine trope tripe snipe gripe stare "
    "scare spare cloth clothe bathe lathe theme fare bare"
)
"""Words that would collide with another word without their last letter ("paste" and "past")."""
_VOWELS = frozenset("aeiouy")


@lru_cache(maxsize=8192)
def lemma(word: str) -> str:
    """Reduce a lower-case word to a key that its plural, tenses and spelling variants share.

    The key need not be a word ("moving" and "move" give "mov"); what counts is that both give the same.
    """
    known = _IRREGULAR.get(word)
    if known is not None:
        return _trimmed(known)
    if len(word) < 4 or not word.isascii():
        return word
    return _trimmed(_without_ending(_american(word)))


def _american(word: str) -> str:
    for british, american in (("isation", "ization"), ("ising", "izing"), ("ised", "ized"), ("ise", "ize")):
        if word.endswith(british) and len(word) > len(british) + 3:
            return word[: -len(british)] + american
    return word


def _without_ending(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    if word.endswith("ied"):
        return word[:-3] + "y"
    for ending in ("ing", "ed"):
        stem = word[: -len(ending)]
        if len(stem) >= 3 and word.endswith(ending) and not _VOWELS.isdisjoint(stem):
            return _undoubled(stem)
    if word.endswith("ily") and len(word) > 5:
        return word[:-3] + "y"
    if word.endswith("ly") and len(word) > 5:
        return word[:-2]
    return word


def _undoubled(stem: str) -> str:
    """Turn "runn" (running) into "run", and "mak" (making) into "make"."""
    if len(stem) > 3 and stem[-1] == stem[-2] and (stem[-1] not in "lsz"):
        return stem[:-1]
    if len(stem) == 3 and stem[1] in _VOWELS and stem[0] not in _VOWELS and stem[2] not in "aeiouywx":
        return stem + "e"
    return stem


def _trimmed(word: str) -> str:
    """Drop what is lost before "-ing": the last "e" of a longer word, one "l" of "install"."""
    if len(word) > 5 and word.endswith("ll"):
        return word[:-1]
    return word[:-1] if len(word) > 4 and word.endswith("e") and word not in _KEEPS_E else word
