"""Wording that asks for the state of the asker's own affairs, and wording that wishes for a new answer each time.

English only; lower case, matched as whole words within one sentence.
"""

from __future__ import annotations

import re
from typing import Final

from semroute._wording import alternatives

_MY = r"(?:my|our)(?: \w+){0,3}?"
_THING = (
    r"(?:orders?|packages?|parcels?|delivery|deliveries|shipments?|items?|purchases?|refunds?|returns?|replacement|money"
    r"|payments?|balances?|accounts?|subscriptions?|memberships?|plans?|tickets?|claims?|cases?|requests?|applications?"
    r"|invoices?|bills?|charges?|transfers?|transactions?|deposits?|withdrawals?|top[- ]?ups?|statements?|cheques?|cash"
    r"|cards?|pin|points|miles|credits?|vouchers?|bookings?|reservations?|appointments?|flights?|luggage|baggage|seats?"
    r"|results?|visa|licen[cs]e|salary|paycheck|payslip|loans?|mortgage|insurance|policy|emails?|messages?|complaint"
    r"|registration|verification|identity check|alarms?|reminders?|calendar|meetings?|schedule|quota|usage|contract)"
)
_FATE = (
    r"(?:arrive|ship|come|land|get here|show up|go out|clear|be (?:here|back|ready|delivered|shipped|sent|dispatched"
    r"|processed|refunded|approved|credited|paid|charged|renewed|returned|fixed|unlocked|released))"
)
_BOUGHT = r"(?:ordered|bought|purchased|returned|booked|paid for|requested|sent|sold|applied for)"
# What is the same for everybody although it is called "my".
_GENERAL = (
    r"(?:\w+ ){0,2}(?:options?|rights?|choices?|alternatives?|obligations?|responsibilit\w+|chances|recourse|best|next"
    r"|first|used)\b"
)
# Parts of a thing and of its surface, and where a service keeps things.
_GENERAL_PLACE = (
    r"(?:\w+ ){0,2}(?:numbers?|codes?|buttons?|settings?|folders?|pages?|menus?|slots?|labels?|keys?|ports?|serial"
    r"|data|stored|kept|hosted|processed|located)\b"
)
_COMMAND = r"(?:^|(?<=please )|(?<=you )|(?<=and )|(?<=, )|(?<=just ))"
_CONCERNING_ME = (
    r"(?:charged?|billed?|blocked|banned|denied|declined|rejected|refunded|suspended|locked out|overcharged)"
)


def _patterns(listed: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(rf"(?<!\w)(?:{alternative})(?!\w)") for alternative in alternatives(listed))


NAMES_ONESELF: Final = re.compile(r"(?<!\w)(?:i|we|me|us|my|our|i'm|we're)(?!\w)")
"""What every pattern of OWN_STATE needs, so that most questions are done with one search."""
OWN_STATE: Final = _patterns(
    rf"""
    where(?:'s|'re| is| are| the \w+ is| did| has) {_MY} {_THING}
    where {_MY} {_THING} (?:is|are|has|have|went|got|might be)
    (?:where(?:'s| is| are)|has|have|did|was|is|when will) the (?:\w+ ){{1,3}}(?:that )?(?:i|we) (?:have )?{_BOUGHT}
    (?:is|are) there (?:any |enough |still |an? )*(?:\w+ )?(?:left )?(?:in|on) (?:my|our) {_THING}
    what(?:'s| is) (?:left|available|remaining) (?:in|on|of) (?:my|our)
    what(?:'s| is| are| was| were) (?:my|our) (?!{_GENERAL})\w+(?: \w+)?
    (?:is|are) (?:my|our) (?:\w+ ){{1,3}}(?:ready|here|back|due|done|finished|confirmed|approved|locked|blocked
      |delayed|fixed|repaired)(?: yet| now| already)*$
    how (?:much|many|long) .*\b(?:my|our|i|we)\b.* (?:left|remaining)
    (?<!why )(?<!i )(?<!we )(?:has|have|hasn't|haven't) (?:my|our) (?:\w+ ){{1,4}}(?:been|gone|come|left|\w{{2,}}ed)
    where(?:'s| is| are) (?:my|our) (?!{_GENERAL_PLACE})(?:\w+ )?\w+$
    (?:which|what) (?:gate|room|hall|seat|platform|terminal|class|group|bus|train|time|day) (?:is|are|does|do|did
      |will) (?:my|our) \w+
    how (?:much|many) (?:\w+ )?(?:is|are) (?:there |left |still )*(?:in|on) (?:my|our) \w+
    (?:when|where) (?:was|were|did) (?:i|we) last
    did (?:my|our) (?:\w+ ){{1,3}}(?:get|go|come|arrive|clear)
    what(?:'s| is| are| do i have) (?:\w+ )?(?:in|on) (?:my|our) (?!{_GENERAL})\w+
    (?:summari[sz]e|read|check|show(?: me)?|list|open|search) (?:all |through )?(?:of )?(?:my|our) (?:\w+ )?(?:emails?
      |e-mails?|messages?|mails?|inbox|calendar|meetings?|appointments?|orders?|transactions?|tickets?|cart|basket)
    (?:what|which) (?:email|e-mail|phone|address|card|name) (?:\w+ )?do you have (?:for|of|on) (?:me|us)
    my (?:order|account|booking|customer|reference|tracking|policy|claim|ticket|case) (?:number|no|id) is
    (?:has|have|did|is) (?:any|some)(?:one|body) .*\b(?:my|our) (?:\w+ )?{_THING}
    what (?:grades?|marks?|scores?|results?) (?:did|have) (?:i|we)
    (?:is|are) (?:my|our) (?:\w+ ){{1,3}}in$
    (?:my|our) {_THING} .*where (?:is|are) (?:it|they)$
    (?:is|are) {_MY} {_THING} still \w+$
    did (?:i|we) (?:pass|win|qualify|get (?:in|the \w+))$
    have (?:i|we) been (?:paid|accepted|approved|selected|invited|assigned|\w+ed)$
    am i (?:\w+ )?(?:late|behind|early|overdrawn)\b.*
    how many (?:\w+ ){{1,2}}have (?:i|we) \w+
    how long (?:until|till|before) (?:my|our) \w+
    (?:when(?:'s| is)|who(?:'s| is| are|'re)) (?:my|our) (?!best )\w+(?: \w+)?
    do (?:i|we) (?:still |already |currently )*have (?!{_GENERAL}|to\b|the\b|a right\b|a choice\b)\w+(?: \w+)?
    (?<!i )(?<!we )(?<!you )(?<!to )(?<!they )(?:has|have|hasn't|haven't|had|did|didn't|was|were|wasn't
      |weren't) {_MY} {_THING}
    (?:is|are|isn't|aren't) {_MY} {_THING} (?:still |already |now |yet |being |currently |been )*(?:\w+ed|\w+en
      |active|open|ready|due|late|lost|stuck|on (?:its|the) way|here|paid|sent|overdue|complete|eligible
      |ok|okay|safely there|held)
    (?:will|won't|when will|when's|when is|when are) {_MY} {_THING} (?:\w+ )?{_FATE}
    (?:when|what time|what day)(?:'s| is| are| does| do| did| was) {_MY} {_THING}(?: (?:due|coming|arriving
      |expected|end|expire|renew|start|ship|leave|arrive|scheduled|over|paid|next))?
    when (?:will|do) (?:i|we) (?:get|receive|have|see) {_MY} {_THING}(?: back)?
    why (?:was|were|am|are|did|is|has|have) (?:i|we) (?:being |been |get |got |not )*{_CONCERNING_ME}
    why (?:was|were|wasn't|hasn't|haven't|has|have|did|didn't|is|isn't|are|does|won't) {_MY} {_THING}
    why (?:did|have|do|were|are) you (?:\w+ )?(?:charge|charged|bill|billed|cancel|cancelled|canceled|block
      |blocked|close|closed|reject|rejected|refuse|refused) (?:me|us|my|our)
    (?:was|were|have|has|am|did) (?:i|we) (?:already |been |being |get |got |even |really )*{_CONCERNING_ME}
    {_COMMAND}(?:track|locate|trace|look up|pull up|check|check on|show|show me|tell me|give me|list|display
      |view|read|read me|see|get me|find) (?:the status of )?(?:all )?(?:of )?{_MY} {_THING}(?: status| history
      | number)?
    {_MY} {_THING} (?:status|balance)$
    am i (?:still |already |currently |now )*(?:eligible|approved|registered|enrolled|covered|on the|on a|due
      |owed|verified|subscribed|overdue|logged in|signed in|signed up|booked|confirmed|accepted|qualified
      |over my|within my|{_CONCERNING_ME})
    (?:do|did) (?:i|we) (?:still |currently |already |even )*(?:owe|qualify|have (?:any|an?
      |enough) (?:\w+ ){{0,2}}{_THING})
    how (?:much|many) (?:\S+ ){{0,3}}(?:do|have|did|does|will|am) (?:i|we|my \w+) (?:(?:still|currently|already
      |now) )*(?:owe|have(?! to| for)|got|spent|spend|paid|pay last|earned|used|left|collected|ordered|use|has|get back)
    (?:how (?:much|many)|what) .*(?:in|on) (?:my|our) {_THING}
    (?:what|which|when|where) (?:\w+ )?(?:did|have) (?:i|we) (?:last |just |already )*(?:order|ordered|buy
      |bought|pay|paid|book|booked|spend|spent|sign up|subscribe|say|said|ask|asked)
    (?:what|which) (?:plan|tier|tariff|subscription|package|version|account) (?:am i|are we|do i|do we) (?:on
      |have|using|use|in)
    (?:do|does) (?:you|your system) (?:still |already )?(?:have|know|store|keep) (?:my
      |our) (?:\w+ ){{0,2}}(?:address|number|name|details|{_THING})
    what (?:is|are|was|were) (?:this|that|the|these|those) (?:\w+ )?(?:charge|fee|payment|transaction|debit
      |deduction)s? (?:on|in|from) (?:my|our) \w+
    can (?:i|we|you) (?:have|get|know|hear|see|tell me|give me|check|look up|confirm|see if|check if
      |tell if) {_MY} {_THING}(?: status| details| balance| please)*$
    (?:if|whether) {_MY} {_THING} (?:has|have|was|were|is|are|did|went|got)(?: been)?
    """
)
STATE_OF_A_THING: Final = _patterns(
    rf"""
    where(?:'s| is| are) the (?:order|parcel|package|delivery|shipment|refund|money|courier|driver|replacement)$
    (?:when|how soon|how long) .*\bexpect (?:{_MY} |the |this )?{_THING}
    {_THING} (?:#|number |no )?[a-z]{{0,4}}-?\d{{3,}} .*(?:status|where|arrived?|here|late|shipped|updates?)
    what(?:'s| is| are| was| were) (?:the )?(?:\w+ )?(?:status|progress|state|eta|whereabouts|tracking number
      |balance) (?:of|for|on) .+
    ^(?:so )?(?:has|have|did) (?:it|they|you guys) (?:been )?(?:ship(?:ped)?|arrived?|sent|dispatched
      |delivered)(?: it| them)?(?: yet| out| already)*$
    who(?:'s| is) (?:handling|working on|dealing with|looking (?:at|into)|assigned to) (?:my|our|the) \w+
    (?:how far(?: away)?|where) (?:is|are) (?:my|our|the) (?:driver|courier|taxi|technician|plumber|ride)
    is (?:my|our|the) (?:driver|courier|taxi|technician|plumber|ride) (?:\w+ )?(?:close|near|nearby|here
      |coming|there|late)
    when (?:will|is) (?:it|they) (?:going to )?{_FATE}
    (?:did|have) you (?:\w+ )?(?:get|got|receive|received|see|seen|send|sent|ship|shipped|process|processed
      |refund|refunded|charge|charged|cancel|cancelled|canceled|read|open|opened|review|reviewed) (?:my|our|me
      |us|it|the)
    (?:any|is there (?:any|an)|are there any|what's the|what is the|give me an?) (?:news|updates?|progress|word
      |response|eta) (?:on|about|for|with|regarding|to) .*(?:my|our|{_THING})
    (?:status|whereabouts) of (?:{_MY} |the |this )?{_THING}
    (?:where(?:'s| is)|has|did|when will|what about|status of|track|find|check|is) (?:the |my )?{_THING} (?:#
      |no\.? ?|number |id |nr\.? ?)?[a-z]{{0,4}}-?\d[\w-]*
    """
)

NEW_EACH_TIME: Final = _patterns(
    r"""
    (?:another|a different|a new|a fresh) (?:one|joke|story|poem|riddle|example|idea|suggestion|answer|version
      |quote|fact|name|recipe|quiz|puzzle)(?: please)?$
    ^(?:(?:one|once|some) more|(?:try|do it|generate it|go|roll) again|again|regenerate|try once more)(?: please)?$
    (?:something|anything) (?:else|different|new)(?: please)?$
    (?:a |some |any |two |three |\d+ )?random (?:number|word|name|letter|colou?r|fact|joke|card|quote|password
      |string|integer|person|country|city|question|topic|seed|uuid)s?
    (?:roll|throw|toss) (?:a |the |two |some |\d+ )?(?:dice|die|d\d+|coins?)
    (?:flip|toss) (?:a |the )?coin|heads or tails|(?:draw|pick|choose) (?:me )?(?:a|any) (?:card|number)
    surprise me|generate (?:me )?a (?:\w+ )?(?:uuid|guid|password|passphrase)
    """
)
