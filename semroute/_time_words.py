"""The word lists behind `semroute.freshness`: what points at today, what changes, what is over and done.

Each list is one pattern; a line holds alternatives of one kind, in lower case, matched as whole words.
"""

from __future__ import annotations

import re
from typing import Final

from semroute._wording import alternatives


def _words(listed: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w$])(?:{'|'.join(alternatives(listed))})(?!\w)")


# Time words in another sense ("now that", an electric current, a button's label, a setting of one's own).
NOT_ABOUT_TIME: Final = _words(
    r"""
    now that|from now on|(?:buy|pay|order|book|shop|order it) now|now button|until now
    (?:my|our|your|their|his|her) current(?:ly)?
    (?:electric|electrical|alternating|direct|ocean|eddy|ac|dc) currents?|current (?:limit|flow|account)s?
      |the current (?:in an?|through|across)
    (?:ago|i|we|i've|has|have|and|but) now(?= (?:it|it's|my|the|i|been|is|[a-z]+ed|trying))|ago now
    at the latest|the latest (?:i|we|you|time|date|day)
    (?:the |your )?(?:latest|newest|most recent|current) (?:version of (?:the |your )?)?(?:polic(?:y|ies)|terms
      |manual|guide)
    today's (?:world|society)|the (?:today|daily|tonight|late late) show
    """
)
DISCOURSE_NOW: Final = re.compile(r"^(?:(?:ok|okay|so|and|right|well|hi|hello|hey),? )*now,? (?=\w)")

THIS_VERY_DAY: Final = _words(
    r"""
    right now|just now|as of now|now|at (?:the|this) (?:very )?moment|at present|as we speak
    today(?:'?s)?|tonight(?:'?s)?|tomorrow(?:'?s)?|yesterday(?:'?s)?|last night(?:'?s)?
    this (?:very )?(?:morning|afternoon|evening|weekend|minute|hour|instant|second)(?:'s)?
    latest|up-to-the-minute|breaking news|(?:live|real-time|up-to-date) (?:scores?|prices?|rates?|status
      |updates?|data)
    """
)
CHANGES_BY_THE_HOUR: Final = _words(
    r"""
    weather (?:for|in|at|on|near|like|forecast|report)|what(?:'s| is| will)? (?:be )?the weather
    ^(?:\S+ ){0,3}weather(?: \S+){0,3}$|temperature (?:outside|in)|(?:live|current) (?:weather|traffic)
    (?:is|will) it (?:be |going to )?(?:rain|snow|sunny|hot|cold)(?:ing)?|(?:going to|gonna) (?:rain|snow)
    what(?:'s| is)? (?:the )?(?:local |exact |correct )?time (?:is it|in|at)|current (?:local )?time|what time is it
    what (?:day|date|month|year|season) is (?:it|today)|what(?:'s| is) the date
    (?:current|spot|market|going) (?:\w+ ){0,2}(?:prices?|scores?|rates?|values?|levels?|temperature|status
      |traffic|standings?|conditions)
    (?:what(?:'s| is| are) (?:the|your|my)|tell me|give me|show me|current|live) (?:\S+ ){0,4}exchange rates?
    exchange rates? (?:for(?! my| the)|from|between|of|to|today|usd|eur|gbp)|\w+ to \w+ (?:exchange
      |conversion) rate|(?:share|stock|bitcoin|crypto|gold|silver|oil|gas|gasoline|petrol) prices?|stock price
    prices? of (?:bitcoin|ethereum|gold|silver|oil|gas|gasoline|petrol|crude)|trading at
      |market cap(?:itali[sz]ation)?
    headlines|the news|news (?:about|on|from|in)|what(?:'s| is) (?:happening|going on) (?:in|at|around|near
      |with)|what(?:'s| is) new$|trending
    what(?:'s| is) the score|who(?:'s| is) (?:winning|leading)
    (?:is|are) (?:\S+ ){1,5}(?:down|offline|up and running|out of stock|in stock|sold out|back online|operational
      |delayed|on time|running(?: late)?|cancelled|canceled)$
    (?:is|are) there (?:an? |any )?(?:\w+ ){0,2}(?:outages?|delays?|incidents?|disruptions?)(?: .*)?
    (?:is|are) (?:\S+ ){1,4}(?:down|offline) (?:in|for|near|around|at) \w+.*|how late (?:is|are) the .*
    how (?:busy|crowded|full) (?:is|are)|(?:is|are) the (?:\S+ ){1,5}(?:working|busy|crowded)(?: again)?$
    is \w+ \d+ (?:free|open|busy|available|taken)$|how long (?:until|till) the
    (?:are|is) (?:you|we|they|anyone) having (?:an? |any )?(?:\w+ )?(?:outages?|problems?|issues?|trouble)
    has the (?:incident|outage|match|game|issue|problem|meeting|show|bug) .*
    when (?:does|will|is) the (?:bus|train|tram|ferry|shuttle) (?:come|coming|arrive|arriving|leave|leaving|due)
    what(?:'s| is) wrong with (?:the|your) (?:network|internet|servers?|site|website|app|system|wifi|vpn|service)
    how (?:is|are) (?:the )?(?:\w+ )?(?:markets?|traffic|shares|stocks|roads?) (?:doing|looking)
    (?:is|are) there (?:any |still |an? )*(?:\w+ )?(?:seats?|tables?|rooms?|tickets?|places?|spots?|slots?) (?:left
      |free|available)(?: .*)?
    how many (?:\w+ ){0,3}(?:seats?|tables?|rooms?|tickets?|places?|spots?|slots?|copies) (?:are|is) (?:still )?(?:left
      |free|available|remaining)(?: .*)?
    how long is the (?:queue|delay)(?: .*)?|who is on (?:duty|call)(?: .*)?
    (?:are|is) (?:you|they|the \S+|\S+) (?:still )?open$|in stock|traffic (?:on|in|to|like)|wait(?:ing)? times?
    how (?:hot|cold|warm|windy|humid) is it (?:in|at|outside|there|here)(?: .*)?
    any (?:\w+ )?(?:delays|disruptions|cancellations|outages|incidents) (?:on|at|in|for|today)(?: .*)?
    (?:bitcoin|btc|ethereum|eth|dogecoin|solana) (?:value|worth)
    ^(?:\d+ )?(?:usd|eur|gbp|jpy|chf|cad|aud|inr|cny|dollars?|euros?|pounds?|yen) (?:to|in|into) (?:usd|eur|gbp|jpy
      |chf|cad|aud|inr|cny|dollars?|euros?|pounds?|yen)$
    how (?:much|many) (?:\w+ ){0,2}(?:is|are) (?:still )?(?:left|remaining)(?: .*)?
    next (?:\w+ )?(?:bus|train|tram|ferry|flight|shuttle|metro|game|match)|(?:the )?market doing
    how many people are online
    """
)

# A year, a numbered season or volume, a thing that is over, what is usual: fixed, however the topic changes.
FIXED_IN_TIME: Final = _words(
    r"""
    (?:1[0-9]|20)\d\d(?:'?s)?|\d\ds|(?:\d+(?:st|nd|rd|th)|\w+teenth|twentieth) century|\d+ ?(?:bc|ad|bce|ce)
    (?:during|in|after|before|since|until) (?:the )?(?:\w+ ){0,2}(?:war|wars|revolution|crusades?|reign|dynasty
      |depression)
    (?:usual|typical|normal|general)(?:ly)?|on average|as a rule|climate
    world war|ww ?(?:1|2|i|ii)|civil war|cold war|middle ages|ancient|medieval
    (?:season|series|episode|chapter|book|part|volume|cycle|ep) (?:\d+|one|two|three|four|five|six|seven|eight
      |nine|ten)
    """
)
OVER_AND_DONE: Final = _words(
    r"""
    (?:the|was|is|whose) (?:very )?(?:first|original)|(?:first|second|third) (?:president|governor|king|queen
      |emperor)
    born|die|died|invented|discovered|founder|founded|wrote|sang|sings?|composed|named after|known as
    (?:plays?|played|playing) .+ (?:in|on)|(?:movie|film|song|lyrics|novel) .+ (?:about|by)
    (?:define|definition|meaning|mean|means|stands? for|symptoms|take place|took place|originate[sd]?)
    who (?:was|were) (?!the last|the most|the (?:\w+ )?winner)|most famous for|law (?:and|&) order
    (?:highest|tallest|longest|largest|biggest|deepest|oldest|smallest) (?:mountains?|peaks?|points?|rivers?
      |lakes?|islands?|oceans?|deserts?|planets?|bones?|organs?|words?)
    """
)

CHANGES_BY_THE_DAY: Final = _words(
    r"""
    currently|these days|recent(?:ly)?|(?:most |more )recent(?:ly)?|most current|newest|newly|so far
      |as of (?:today|late)|still|any more|anymore|yet
    (?:this|last|next|past|coming|upcoming) (?:year|month|week|season|quarter|summer|winter|spring|fall|autumn
      |monday|tuesday|wednesday|thursday|friday|saturday|sunday)(?:'s)?
    (?:richest|wealthiest|highest[- ]paid|(?:most|least)[- ](?:viewed|liked|streamed|watched|followed
      |subscribed|downloaded|popular))
    how many (?:\S+ ){1,4}(?:has|have) (?:\S+ ){1,4}(?:won|scored|made|played|published|sold|released)
      |starting (?:quarterback|\w+ back|lineup|pitcher)
    upcoming|(?:the )?next|scheduled|nowadays|this (?:\w+ )?(?:year|season)(?:'s)?
    (?:is|are) (?:\S+ ){1,5}(?:on sale|hiring|available)|opening hours|open on|standings|how old is|how old are
    """
)
_OFFICES: Final = (
    r"(?:president|prime minister|minister|governor|mayor|senators?|secretary|chancellor|king|queen|pope|ceo|cfo"
    r"|chairman|chairperson|chair|chief|director|head|leader|captain|coach|manager|commissioner|speaker|judges?"
    r"|justices?|ambassador|commander|champions?|owners?|host|spokesman|spokesperson|members?|principal|quarterback"
    r"|goalkeeper|attorney general|superintendent|sheriff|general|deputy|players?|bishop|archbishop"
    r"|representatives?|mp)"
)
CHANGES_BY_THE_YEAR: Final = _words(
    rf"""
    current|last|last time|world record|records? (?:for|of|in|holder)|holds? the|all[- ]time|of all times?
      |in history
    (?:who|what|which|name)(?:'s| is| are| of)? (?:\S+ ){{0,8}}{_OFFICES}|list of|rank(?:s|ed|ings?)?|ratings?
    population|how many (?:\S+ ){{1,4}}(?:are|does|do|has|have|in)|how much (?:does|do|is|are)|how popular|how often
    (?:most|least|highest|largest|biggest|tallest|richest|longest|oldest|youngest|fastest|best|top|fewest
      |leading|lowest|greatest)
    salary|salaries|costs?|prices?|wages?|average income|fees?|gdp|net worth|worth|average|percent(?:age)?
      |number of|minimum wage
    who (?:won(?! (?:the )?(?:battle|war))|hosts?|has|have|owns|beat|runs|leads|coaches|scored|got|made
      |represents)|how many times
    when (?:will|is|are|do|does)|where (?:is|are|will|does|do) (?:\S+ ){{1,5}}(?:play(?:ing|ed)?|live|held|work
      |being|located now)
    (?:what|which) (?:team|club|teams|clubs|shows|movies|films|books|albums)|what version|laws? (?:on|about|in)
      |legal|illegal|available|(?:the|a|our) new(?! (?:york|jersey|mexico|zealand|testament|hampshire|england))
    """
)
