"""The loop that keeps a promise true: what shadow mode would have served, put before a person, and turned into labels.

`ShadowLog` takes down what lookups found, `most_informative` chooses the pairs whose labels tell most, and
`ReviewSession` asks for those labels and keeps them in the file that `semroute tune` reads; `review` does so in a
notebook, `semroute review` in a shell.
"""

from semroute.review.choosing import Choice, most_informative
from semroute.review.labels import Label, LabelsFile
from semroute.review.log import LogSize, ShadowLog
from semroute.review.session import Progress, ReviewSession
from semroute.review.widget import ReviewWidget, review

__all__ = [
    "Choice",
    "Label",
    "LabelsFile",
    "LogSize",
    "Progress",
    "ReviewSession",
    "ReviewWidget",
    "ShadowLog",
    "most_informative",
    "review",
]
