"""Everyday questions that look alike: a state of this hour or of one's own, and a rule that holds for everybody."""

from __future__ import annotations

import pytest

from semroute.cacheability import Cacheability, Facts, judge_cacheability

PERISHABLE = """
Is my flight BA204 on time?
Has my connecting flight been cancelled?
Which gate does my flight leave from?
How full is the gym right now?
Are you open at the moment?
Is the pool open today?
Is the app down?
Is there an outage in my area?
Are the servers having problems at the moment?
Is the internet down in Leeds?
How long is the queue at the counter right now?
What's the waiting time in the emergency room?
How late is the 8:15 train?
When does the next tram leave?
Is the motorway blocked this morning?
Will it rain this afternoon?
Do I need an umbrella today?
What's the dollar worth in euros today?
What is the current price of a barrel of oil?
What's the pollen level in town today?
How are the markets doing?
Who is winning the match?
What's the latest on the strike?
Any breaking news?
What's on the menu tonight?
Which doctor is on duty tonight?
Is the bike in stock?
How many rooms are left for tonight?
Are there any free tables this evening?
Are there seats left on the 6 pm bus?
How much money is in my savings account?
How much is left on my gift card?
What did I spend on groceries last month?
When was I last charged?
When is my next payment due?
Did my payment go through?
Did my rent get paid?
Has my salary come in yet?
Why is my balance negative?
What is the status of my claim?
Has anyone looked at my claim yet?
Who is handling my case?
What's happening with my application?
Was my loan approved?
Is my appointment confirmed?
What time is my appointment?
Which room is my lecture in?
What grade did I get?
How many holidays do I have left?
How many vacation days have I used this year?
Is my prescription ready?
Are my test results in?
Where did my package end up?
My parcel hasn't come, where is it?
Is my ticket still valid?
Which plan am I on?
When does my contract end?
How much data have I used?
What's my seat number?
Has the plumber I booked left already?
When will my card arrive?
Did you ship my order yet?
Which platform does my train leave from?
Is the website down for everyone?
When did I last log in?
Did my transfer clear?
Has somebody replied to my complaint?
Who is working on my ticket?
Are my photos in?
Is my gift card still active?
How much is on my travel card?
Are there still places free in the yoga class?
What mark did I get in maths?
Is my doctor in today?
Is lane 3 free?
How busy is the pool?
Is my room ready?
Is my car fixed?
What's playing at the cinema tonight?
Do I have any unread messages?
Did I pass?
Have I been paid?
Am I late with my payment?
What's the score?
How long until my bus comes?
When does the bus come?
How many steps have I taken?
What is my order total?
Why did my payment fail?
Why did my claim get rejected?
Is the lift working?
Is the printer on floor 2 working again?
What's wrong with the network?
Is VPN down?
Are you having an outage?
Has the incident been resolved?
Is the courier close?
How far away is my driver?
What is the price of gold?
What are today's opening times?
Has the match started?
"""
LASTING = """
How do I check the status of my order?
Where can I see my current balance?
What does the status "pending" mean?
What does "delayed" mean for a refund?
How do I find my account number?
How do I change my current password?
How do I update my app to the latest version?
Where do I change my current address?
How do I turn on live captions?
What is a live view?
Can I pay now and collect later?
What happens to my data when I cancel?
What happens if my flight is cancelled?
What should I do if my parcel is late?
What if my order arrives broken?
Can I return my order after 30 days?
Can I change my booking after check-in?
How do I cancel my subscription?
How do I dispute a charge on my card?
Do you offer same-day delivery?
What is a status page?
How do I set my status to away?
How do I go live on the app?
How does live chat work?
What is the difference between a current and a savings account?
What is a current account?
How do I open a current account?
Is my data encrypted?
Is my deposit protected if the bank fails?
Am I allowed to bring my own food?
Can my child use my ticket?
Can I use my points to pay for a flight?
Can I transfer my ticket to a friend?
How is my premium calculated?
How is my bonus taxed?
Why do I need to verify my identity?
Why do you ask for my phone number?
How do I add my wife to my policy?
How do I export my invoices?
Who can see my calendar?
Who can see my messages?
How do I share my location?
How do I track a parcel?
How do I read my meter?
How do I download my payslip?
How do I track my spending in the app?
What is a tracking number?
What does my deductible mean?
What does a negative balance mean?
How do I sort my emails by date?
How do I delete my account?
How do I recover my account?
How do I get my deposit back?
How do I check in for my flight?
How do I upgrade my seat?
How do I put my account on hold?
How do I see my latest invoice?
How do I start a live stream?
How do I schedule a message for tomorrow?
How do I set a reminder for tonight?
How do I set an alarm for tomorrow morning?
What does real-time tracking mean?
Where can I find my policy number?
How do I make my profile private?
What does "last seen" mean?
How do I turn off the weather widget?
How do I add the news feed to my home screen?
Can I still get a refund after 30 days?
What room types do you have?
How late can I check in?
How do I see my order total?
Which seat is best for legroom?
Is my warranty still valid after a repair?
Why do payments fail?
What time does breakfast start?
How long is the current contract term?
Can I see my claim in the app?
Are there rooms with a balcony?
Are there lockers?
Is my laptop covered by the warranty?
What is the latest I can check out?
Do you have live support?
How do I print today's schedule?
How do I know if my order went through?
How will I know that my application was received?
Why is my screen black?
Why does my app crash?
How do I find out when my contract ends?
How do I see which plan I am on?
Where do I find my order number?
Is my data kept after I leave?
What if my card is stolen?
How many devices can I use on my plan?
How much luggage can I take on my flight?
How much is shipping?
What does it cost to change my flight?
Is there a student discount?
Is support open on Sundays?
How do I join a live class?
"""


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


@pytest.mark.parametrize("question", lines(PERISHABLE))
def test_a_state_of_this_hour_or_of_ones_own_is_never_cached(question: str) -> None:
    assert judge_cacheability(Facts(question)).cacheability is Cacheability.BYPASS


@pytest.mark.parametrize("question", lines(LASTING))
def test_a_way_a_rule_or_a_meaning_is_cached_whatever_it_is_about(question: str) -> None:
    assert judge_cacheability(Facts(question)).cacheability is Cacheability.FULL
