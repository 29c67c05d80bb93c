"""Common words that a misspelling is recognised by."""

from __future__ import annotations

from semroute.guards._inflection import lemma
from semroute.guards._words import words

_COMMON = frozenset(
    lemma(word)
    for word in words(
        """
        password account email address payment refund order delivery shipping invoice receipt subscription
        subscribe cancel cancellation upgrade downgrade billing charge card credit debit bank transfer money
        price discount coupon voucher gift return exchange warranty repair support customer service contact
        phone number message chat question answer problem issue error trouble help login logout register profile
        setting notification language currency country region city state street house office home school college
        university student teacher course lesson exam degree science history physics chemistry biology
        mathematics english french german spanish chinese japanese computer laptop tablet keyboard mouse screen
        printer camera battery charger cable network internet wireless router server database software hardware
        program application website browser window button menu page file folder document image picture photo
        video audio music movie book story letter paper report table column row value field format version
        update install download upload import export backup restore delete remove change create start stop open
        close enable disable activate deactivate connect disconnect receive send forget remember recover reset
        verify confirm track package parcel weight size colour color black white green yellow orange purple
        brown people person children family friend mother father brother sister husband wife doctor nurse lawyer
        engineer developer manager worker company business market product project team meeting schedule calendar
        date month year week hour minute second morning evening night today tomorrow yesterday weather
        temperature water coffee bread chicken cheese fruit apple banana animal horse tiger whale spider snake
        bird fish plant flower tree forest river mountain ocean island earth planet space energy light sound
        power force speed height length distance health disease medicine hospital treatment symptom blood heart
        brain stomach muscle body exercise sleep dream government president minister election policy police
        military army county world nation capital economy interest loan mortgage insurance salary income budget
        expense difference between important possible necessary available different similar general special
        public private personal professional social political economic natural human modern ancient early late
        quick fast slow easy difficult simple complex strong weak heavy cheap expensive beautiful dangerous safe
        healthy happy lonely angry learning learn improve increase decrease reduce prevent avoid explain
        describe compare convert translate calculate measure determine define develop design build write read
        speak listen understand believe travel flight airport ticket hotel restaurant train station vehicle
        engine bicycle because before after should would could where which while without within through though
        thought their there these those about above again against always another around better becoming being
        during each either enough every first little least might much never often other actually really probably
        especially usually maximum minimum average desert dessert quiet quite trial trail casual causal angel
        angle dairy diary affect effect accept except advice advise principal principle stationary stationery
        loose lose breath breathe cloth clothes complement compliment council counsel descent decent device
        devise formally formerly incident accident marital martial moral morale patience patients personnel
        precede proceed prescribe proscribe sensual sweet sweat united untied whether brand bland brave grave
        crate curse lease release prize plain plane paint point print sprint stage stake steak snack stack stick
        stock store storm
        """
    )
)


def is_known(word: str) -> bool:
    """Say whether a lower-case word, or a form of it, is a common English word."""
    return lemma(word) in _COMMON
