"""Groups of words that may stand for one another without changing the answer."""

from __future__ import annotations

from semroute.guards._inflection import lemma
from semroute.guards._words import LIGHT

_GROUPS = """
use utilize employ leverage utilise utilization usage
get obtain acquire receive retrieve fetch
make create build construct generate produce craft formulate compose assemble
allow enable permit activate
disable deactivate
show display
help assist aid
begin start commence
buy purchase
choose select pick
big large huge
small little tiny
fast quick rapid speedy
smart intelligent clever
happy glad cheerful
sad unhappy
angry furious mad
brave courageous
modest humble
beautiful pretty
rich wealthy
hard difficult tough
easy simple straightforward effortless
correct right accurate
wrong incorrect
fix repair resolve solve
delete remove erase
cancel terminate cancellation
change modify alter edit update
need require requirement necessary
phone telephone cellphone smartphone
mobile cell
photo picture image photograph pic
film movie
doctor physician
car automobile
kid child
mom mother mum
dad father
woman lady
job occupation
house home
company firm
shop store
illness disease sickness
drug medication medicine
cost price fee
trip journey
holiday vacation
error mistake
app application
info information
doc document documentation
setup config configuration configure
admin administrator
repo repository
db database
auth authentication authenticate
account acct
website site webpage
email mail
login logon signin
register signup registration enroll
logout signoff
invoice bill
subscribe subscription
deliver delivery
ship shipping shipment dispatch
pay payment
install installation
activation activate
verify verification
confirm confirmation
renew renewal
restore restoration recover recovery
transfer move
connect connection
integrate integration
migrate migration
translate translation
convert conversion
calculate compute calculation computation
reduce decrease lower lessen
increase raise boost
improve enhance improvement
avoid prevent
stop cease quit
finish complete
important essential vital crucial
main primary chief principal
famous popular well-known renowned
best greatest finest top
good great nice decent excellent
bad poor terrible awful
different distinct
difference distinction differ
similar alike
advantage benefit pro
disadvantage drawback con
cause reason
effect impact consequence
occur happen
earth world
india bharat
usa america us
uk britain
purpose goal aim objective
method technique approach
location place spot
street road
gift present
weird strange odd
funny hilarious
scary frightening
woman female
man male
provide supply furnish offer
contain include hold
represent denote signify
specify indicate
determine decide
return yield
execute run
load loading
describe explain explanation description
learn study
talk speak
tell inform
think believe
like enjoy
want wish desire
try attempt
look search seek
find locate discover
keep retain maintain
send transmit
divide split
merge combine
gather collect
ask inquire enquire
answer reply response respond
guide manual tutorial
example instance sample
extra additional further
entire whole
common usual typical
often frequently
rarely seldom
quickly rapidly swiftly
approximately roughly around
currently presently nowadays
previous prior former
following next subsequent
fat obese
thin slim slender
sick ill
tired exhausted weary
afraid scared frightened
couch sofa
marry wed
fight combat
war conflict
attorney lawyer
teacher instructor
student pupil
boss supervisor
coworker colleague
employee worker staff
work operate function
gain earn
college institute
happy joyful
plot storyline
horrible terrible
infection infected
religion religious
earnings revenue
chance odds
symptom sign
usually normally
fully completely totally entirely
skill ability
enjoyable fun
amazing surprising
boyfriend bf
girlfriend gf
issue problem
author writer write
salary wage
trouble difficulty
ensure guarantee
permanently forever
alter adjust
damage harm
damaged broken faulty defective
reboot restart
tyre tire
reserve book reservation
lost missing
item product
package parcel
bonus reward
voucher coupon
surname lastname
picture snapshot
brilliant amazing awesome
handle manage
instruct teach
notify alert
notification alert
complaint grievance
regulation rule
law legislation
rise climb
spin rotate
hotel inn
infant baby
attractive handsome
wealth riches
cinema theater
elevator lift
garbage trash rubbish
gasoline petrol
truck lorry
sidewalk pavement
pants trousers
sneaker trainer
chinese china
japanese japan
french france
german germany
spanish spain
italian italy
russian russia
british uk
american usa
indian india
turkish turkey
greek greece
dutch netherlands
swedish sweden
irish ireland
swiss switzerland
size dimension
yearly annually annual
everyday daily
automobile vehicle
bike bicycle
plane airplane aircraft
tv television
fridge refrigerator
ad advertisement advert
lab laboratory
math mathematics
exam examination
uni university
gym gymnasium
veg vegetable
ok okay acceptable
vs versus
max maximum
min minimum
temp temperature
approx approximately
postgres postgresql
int integer
auto automatic automatically
remain stay
vac vacuum
"""


def _canonical_forms() -> dict[str, str]:
    forms: dict[str, str] = {}
    for line in _GROUPS.strip().splitlines():
        words = [lemma(word) for word in line.split()]
        head = next((forms[word] for word in words if word in forms), words[0])
        for word in words:
            forms.setdefault(word, head)
    return forms


_CANONICAL = _canonical_forms()


def canonical(word: str) -> str:
    """Return the head of the word's group of synonyms, or its own lemma, for a lower-case word."""
    key = lemma(word)
    return _CANONICAL.get(key, key)


LIGHT_KEYS = frozenset(canonical(word) for word in LIGHT)
"""The canonical keys of the words that say little."""
