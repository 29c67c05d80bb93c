"""How many wrong hits a sample may hold so that an error rate is promised: exact bounds for counts.

Two statements are promised together, each with half of the allowed doubt (so that both hold with the confidence that
was asked for, by the union bound):

1. **The rate behind the sample** is within the bound. The p-value of "the rate is over D" after k wrong hits in n
   requests is the binomial tail P(Bin(n, D) <= k); refusing it where it is small enough is the bound of Clopper and
   Pearson (1934), and the p-value that Learn-then-Test asks for (Angelopoulos et al., arXiv 2110.01052).
2. **The rate among the next n' requests** is within the bound. These are a finite sample too: even where the rate
   behind them is D exactly, about half of all such samples show more than D. So what is bounded is the realised
   count. When the two samples are exchangeable and hold K wrong hits together, the first holds a hypergeometric
   share of them, whatever the rate is; more than m = floor(D n') in the second and only k in the first is as
   improbable as P(Hyp(n + n', k + m + 1, n) <= k). The tail of Bin(k + m + 1, n / (n + n')), which is used here, is
   above that of the hypergeometric distribution on this side (Hoeffding 1963, section 6), so the promise only gets
   safer; unlike it, it goes on to counts that are no whole numbers, which samples with weights or clusters have.

Neither statement needs a correction for looking at many thresholds, as long as the served sets are nested (a lower
threshold serves all that a higher one does). Testing from strict to lenient until the first failure is Learn-then-Test
with a fixed sequence. The second statement is not a fixed hypothesis but an event, and holds for all thresholds at
once too: put all wrong hits of both samples in the order of their scores; if some threshold has at most k of them in
the first sample and more than m in the second, then the first k + m + 1 in that order have at most k in the first
sample as well, and that is the event whose probability is bounded above.

**Labels with weights** were not drawn evenly: a pair that was drawn with probability p speaks for w = 1/p requests. The
error rate is then estimated by sum(w of wrong hits) / sum(w) (Horvitz and Thompson 1952), and its variance is about
sum(w^2 of wrong hits) / sum(w)^2: that of wrong hits which all weigh s = sum(w^2) / sum(w) over the wrong hits. So the
sample is taken for n = sum(w) / s independent requests with rate * n wrong hits (the scaled Poisson count of Fay and
Feuer 1997, "Confidence intervals for directly standardized rates", without their margin for the heaviest weight). Few
wrong hits tell little of their weight, so s is at least what the hits have. It is computed at each level, since strict
levels hold other weights than lenient ones. Clusters make n smaller (`semroute.tuning.weighting`).

This is an approximation, and no bound for every case. It needs wrong hits that are not drawn much more seldom than
hits are. That is so where labels are drawn by doubt and the doubt tells something; where the rules are surest exactly
where they are wrong, hardly any wrong hit is drawn, and no statistic of those that were can show it. In simulations
with 300 labels of 3,000 pairs and a confidence of 0.95 (tests/tuning/test_weighted_promise.py, and its cases in other
combinations) the promise was broken in at most 1.5 % of the policies where labels were drawn by doubt, and in up to
36 % for a bound of 0.02 and 8 % for 0.05 where every wrong pair got the least chance to be drawn. With clusters and a
bound of 0.02 there were too few policies to tell (5 of 500 splits, one of them broken). How far wrong hits cluster is
measured on few of them, and is not to be relied on where nearly all pairs hang together in a few components.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

_SMALLEST: Final = 1e-300
_MOST_TERMS: Final = 100_000
_MOST_PAIRS: Final = 10**9


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), for a, b > 0.

    By Lentz's continued fraction (Abramowitz and Stegun 26.5.8), which converges in about sqrt(max(a, b)) terms.
    """
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1.0) / (a + b + 2.0):
        return math.exp(log_front) * _fraction(x, a, b) / a
    return 1.0 - math.exp(log_front) * _fraction(1.0 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > _SMALLEST else _SMALLEST)
    result = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        for term in (even, odd):
            d, c = 1.0 + term * d, 1.0 + term / c
            d = 1.0 / (d if abs(d) > _SMALLEST else _SMALLEST)
            c = c if abs(c) > _SMALLEST else _SMALLEST
            result *= c * d
        if abs(c * d - 1.0) < 1e-12:
            break
    return result


def binomial_cdf(k: float, n: float, p: float) -> float:
    """Return P(Bin(n, p) <= k); for k and n that are no whole numbers, its continuation by the beta function."""
    if k >= n:
        return 1.0
    if k < 0:
        return 0.0
    return beta_cdf(1.0 - p, n - k, k + 1.0)


def clopper_pearson_upper(k: float, n: float, confidence: float) -> float:
    """Return the upper confidence bound of a rate after k of n (Clopper and Pearson 1934), one-sided."""
    if k >= n:
        return 1.0
    low, high = k / n, 1.0
    while high - low > 1e-7 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_cdf(k, n, middle) > 1.0 - confidence else (low, middle)
    return high


def p_of_rate(wrong: float, n: float, max_error: float) -> float:
    """Return the p-value of "the rate behind the sample is over max_error", after `wrong` of n."""
    return binomial_cdf(wrong, n, max_error)


def p_of_future(wrong: float, n: float, allowed: float, requests: float) -> float:
    """Return how improbable it is that the next `requests` hold more than `allowed` wrong hits, after `wrong` of n."""
    return beta_cdf(requests / (n + requests), allowed + 1.0, wrong + 1.0)


@dataclass(frozen=True, slots=True)
class Terms:
    """What is to be promised: the error rate, the confidence, and among how many requests it is to be realised."""

    max_error: float
    confidence: float
    requests: int

    def hold_after(self, wrong: float, n: float, requests_effect: float = 1.0) -> bool:
        """Say whether both statements can be made after `wrong` wrong hits in n independent requests.

        A sample with weights or clusters is to be given as the independent requests that it is worth (its effective
        size; Rao and Scott 1992, "A simple method for the analysis of clustered binary data"). `requests_effect`, at
        least 1, is by how much the count among the next requests varies more than one of independent requests.
        """
        doubt = (1.0 - self.confidence) / 2
        if p_of_rate(wrong, n, self.max_error) > doubt:
            return False
        least_over = math.floor(self.max_error * self.requests + 1e-9) + 1
        allowed = least_over / requests_effect - 1.0
        return p_of_future(wrong, n, allowed, self.requests / requests_effect) <= doubt

    def allowed_rate(self, n: float, requests_effect: float = 1.0) -> float | None:
        """Return the highest error rate in a sample after which both statements hold; None where not even 0 is."""
        if not self.hold_after(0.0, n, requests_effect):
            return None
        low, high = 0.0, self.max_error
        while high - low > self.max_error * 1e-5:
            middle = (low + high) / 2
            low, high = (middle, high) if self.hold_after(middle * n, n, requests_effect) else (low, middle)
        return low


def pairs_needed(
    max_error: float, confidence: float, *, error_rate: float = 0.0, share: float = 1.0, requests: int | None = None
) -> int | None:
    """Return how many pairs a promise needs when a sample shows `error_rate`; None where no number is enough.

    `share` of the pairs are tested on; `requests` are those of the promise, None for as many as there are pairs.
    """

    def is_enough(n: int) -> bool:
        terms = Terms(max_error, confidence, n if requests is None else requests)
        return terms.hold_after(error_rate * share * n, share * n)

    high = 1
    while not is_enough(high):
        high *= 2
        if high > _MOST_PAIRS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
