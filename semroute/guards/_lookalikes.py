"""Words of their own that stand one letter apart from a common word, and are no misspelling of it."""

from __future__ import annotations

from semroute.guards._inflection import lemma
from semroute.guards._words import words

_LOOKALIKES = frozenset(
    lemma(word)
    for word in words(
        """
        accent aground ample angela angelo anger angie anglo ankle apply arms audi audit avid back baking ball band
        bang banning bard bark batter believer bell bids bile billy bind bitter blanc blank blend blind block blond
        bloody bloom blown boeing bony booker boom boon boot bother brace brad braid brake brandt brandy breach
        breadth break bred breed bring broad brody brood brook brow bruins budge building bull bunk burton butter
        cale cancer capitol cara care carl carp carr cars cart cary casualty chad chan chance chancel chant charles
        charming charred chart charters cheat cheng chile chili chill chong chose chung cite clone closer closest
        closet coarse coat cold colon commuter completes compute concert conform conor contract convent cord covert
        crane crater creaked cremated crested crete curate cure curled curve daily daisy dale dame dane dante dare
        darted dave daze deceased decree deliver depleted descend deserved designer difficulty dread dreamer earl
        ease east economics electron emery emil ether evenings ever excerpt exercises expanse expansive expert
        extensive fact failed farmer farther faust feast feather fest fife fight fill film fine fire fisher fist
        five fixed fled flies fling flowed folded forbes fore forge formed forrest forte fried fright gave germany
        gorman grace grade grape gravel greaves greece greed greek greer greet grove hart healy heap hear heard
        hearst hearth heat heath held hell helm hoarse hole holmes homer homme homo hope horde horne horst hose
        hostel hove howe imagine inland interned lace lake lame lane last later latter layer leading leaked lean
        leaped leapt lear leary leash leave leaves lengthy lenses lesions lest lester lighter lightning list
        listener lister litter load loaf lobe loft logan lone loosen lore loser loss lots love lovely lust mace
        manage marked marker martian massage meetings melting mick mighty mike mile mine moaning monkey monte monty
        moose mornings morse mortal moth mourning mouth move mural muse musica musik newer notion officer older
        opener opined oven owen pace paige pain painter pale paler pants parsons patent pearson peoples persona
        photon piper place plaid plan plank plate platt pointer poker polite possibly powder present prick pride
        primate prime prince probable proceeds produce programmer prone protect proto quilt quiz quote rally ready
        realm rear receiver recovery reds reed reel regal reid reilly remote renal reporter resort rest retorted
        rider rivera road rods rover sack safer safety sage sake sale same sample sand sane save scent score seas
        seat sect seed sees seize sensing sept serve seth shack shake sheep sheet shin shock shop shore show sick
        side simpler simply sipped sire site sits skate skip slack slate sleek sleepy slick slip sloping slot slower
        smack smart smoke sneak snow snuck sock sore spade spare spared spear specialty sped speeds speedy spent
        spice spike spores spring sprinter stacy staged stale stalk star stare stark starr starter startled starved
        stat statue status steal steam steep step sticky stink stoke stomped stone stony storey stormy stove streak
        string strung stuart stuck supporter swat swear sweaty sweep swept swore tack tail tale teaches tear teased
        term thank theme thick thin thing thorough thoughts three ticked tier timer tough trace tracker tract tracy
        trailer trainee trainer trait tram tran travers trek triad tribal trick tries trough truck true unite vague
        vale valle valve verity wait waiter wales walter watery waves wear weed weekly weep weigh whole wide widow
        windows wine wipe wire wise word wound wright wrist writer
        """
    )
)


def is_lookalike(word: str) -> bool:
    """Say whether a lower-case word only looks like a misspelling: "hostel" is no slip of "hotel"."""
    return lemma(word) in _LOOKALIKES
