"""Contractions, and phrases that say what one word says."""

from __future__ import annotations

CONTRACTIONS: dict[str, tuple[str, ...]] = {
    "cannot": ("can", "not"), "cant": ("can", "not"), "dont": ("do", "not"), "doesnt": ("does", "not"),
    "didnt": ("did", "not"), "isnt": ("is", "not"), "arent": ("are", "not"), "wasnt": ("was", "not"),
    "wont": ("will", "not"), "won't": ("will", "not"), "can't": ("can", "not"), "shan't": ("shall", "not"),
    "ain't": ("is", "not"), "couldnt": ("could", "not"), "wouldnt": ("would", "not"), "shouldnt": ("should", "not"),
    "havent": ("have", "not"), "hasnt": ("has", "not"), "whats": ("what", "is"), "hows": ("how", "is"),
    "wheres": ("where", "is"), "whos": ("who", "is"), "im": ("i", "am"), "ive": ("i", "have"), "i'd": ("i", "would"),
    "let's": ("let", "us"), "lets": ("let", "us"), "gonna": ("going", "to"), "wanna": ("want", "to"),
    "unable": ("not", "able"), "y'all": ("you",), "pls": ("please",), "plz": ("please",), "u": ("you",),
    "ur": ("your",), "wouldn't": ("would", "not"), "teh": ("the",), "hte": ("the",), "hwo": ("how",),
    "waht": ("what",), "wat": ("what",), "adn": ("and",), "taht": ("that",), "ot": ("to",), "fo": ("of",),
    "si": ("is",), "yuo": ("you",), "r": ("are",), "tehre": ("there",), "wich": ("which",), "becuase": ("because",),
    "thier": ("their",), "doe": ("does",),
}  # fmt: skip
"""Words that are two, also as they are typed without their apostrophe."""

_PHRASES = """
log in=login
logged in=login
logging in=login
logs in=login
sign in=login
signed in=login
signing in=login
sign on=login
log on=login
logging on=login
log into=login to
logged into=login to
logging into=login to
sign into=login to
signing into=login to
log out=logout
logged out=logout
logging out=logout
log off=logout
sign out=logout
signed out=logout
signing out=logout
sign off=logout
sign up=register
signing up=register
signed up=register
set up=setup
setting up=setup
get rid of=remove
getting rid of=remove
turn on=enable
turning on=enable
switch on=enable
switching on=enable
turn off=disable
turning off=disable
switch off=disable
switching off=disable
shut down=shutdown
united states of america=usa
united states=usa
the us=usa
u s a=usa
u s=usa
united kingdom=uk
great britain=uk
u k=uk
new york city=nyc
e mail=email
e mails=email
web site=website
web page=website
pass word=password
user name=username
wi fi=wifi
no longer=not
any longer=anymore
not only=only
or not=
so that=so
in order to=to
so as to=to
as well as=and
along with=and
together with=and
as well=also
a lot of=many
lots of=many
plenty of=many
due to=because
because of=because
versus=vs
allowed to=can
put together=assemble
csv file=csv
csv files=csv
pdf file=pdf
pdf files=pdf
json file=json
excel file=excel
rather than=instead
instead of=instead
how come=why
what for=why
for free=free
free of charge=free
at no cost=free
at least=atleast
at most=atmost
no more than=atmost
no less than=atleast
more than=morethan
less than=lessthan
fewer than=lessthan
up to=upto
in the world=
in life=
in your life=
donald trump=trump
barack obama=obama
hillary clinton=hillary
narendra modi=modi
mahatma gandhi=gandhi
vladimir putin=putin
albert einstein=einstein
adolf hitler=hitler
elon musk=musk
deal with=overcome
cope with=overcome
in world=
of all time=
on the market=
a copy of=
copies of=
used for=purpose
get over=overcome
second hand=secondhand
quick question=
sim card=sim
sim cards=sims
shipping address=delivery address
shipping cost=delivery cost
shipping costs=delivery costs
shipping fee=delivery fee
shipping time=delivery time
create a new=create a
add a new=add a
make a new=make a
open a new=open a
set up a new=setup a
capital city=capital
am i supposed to=should i
are we supposed to=should we
are you supposed to=should you
top up=recharge
topping up=recharge
send back=return
sending back=return
hand in=submit
handing in=submit
send in=submit
turn in=submit
file a claim=submit a claim
filing a claim=submit a claim
make an appointment=book an appointment
power cut=power outage
parking ticket=parking fine
how far away=how far
how frequently=how often
how much time=how long
get in touch with=contact
reach out to=contact
why or why not=
how to=how do i
going to=will
per year=annually
each year=annually
every year=annually
a year=annually
per month=monthly
each month=monthly
every month=monthly
a month=monthly
per day=daily
each day=daily
every day=daily
per week=weekly
each week=weekly
every week=weekly
in spite of=despite
out of=from
such as=like
for example=like
for instance=like
in fact=indeed
of course=indeed
all of=all
both of=both
each of=each
each other=eachother
one another=eachother
able to=can
"""


def _table() -> dict[tuple[str, ...], tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]]:
    table: dict[tuple[str, ...], list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
    for line in _PHRASES.strip().splitlines():
        phrase, _, meaning = line.partition("=")
        words = tuple(phrase.split())
        table.setdefault(words[:2], []).append((words, tuple(meaning.split())))
    return {start: tuple(sorted(rows, key=lambda row: -len(row[0]))) for start, rows in table.items()}


PHRASES = _table()
"""First two words → (phrase, what it says), the longest phrase first; a phrase may have but one word."""

PARTICLE_VERBS: dict[tuple[str, str], str] = {
    (verb, particle): meaning
    for verbs, particle, meaning in (
        ("turn turning switch switching", "on", "enable"),
        ("turn turning switch switching", "off", "disable"),
        ("log logging sign signing", "in", "login"),
        ("log logging sign signing", "out", "logout"),
        ("set setting", "up", "setup"),
    )
    for verb in verbs.split()
}
"""Verbs whose particle may stand a few words later ("turn the alarm off")."""
PARTICLE_VERB_HEADS = frozenset(verb for verb, _ in PARTICLE_VERBS)
