"""Whether two samples can come from one urn. Standard library only."""

import math
from collections import Counter

# A row whose samples are alike fails once in a million runs.
UNLIKELY = 1e-6


def g_test(ours, theirs):
    """How likely samples are as different as these, or more, that come from
    one urn: 1 = alike."""
    a, b = Counter(ours), Counter(theirs)
    bins = merged(a, b)
    if len(bins) < 2:
        return 1.0
    total_a, total_b = sum(x for x, _ in bins), sum(y for _, y in bins)
    whole = total_a + total_b
    g = 0.0
    for x, y in bins:
        for count, total in ((x, total_a), (y, total_b)):
            expected = (x + y) * total / whole
            if count:
                g += 2 * count * math.log(count / expected)
    return chi_squared_above(g, len(bins) - 1)


def merged(a, b):
    """Pairs of counts, in the values' order; neighbours are put together until
    each bin has at least five expected from either sample."""
    total_a, total_b = sum(a.values()), sum(b.values())
    share = min(total_a, total_b) / max(total_a + total_b, 1)
    bins, x, y = [], 0, 0
    for value in sorted(set(a) | set(b)):
        x, y = x + a[value], y + b[value]
        if (x + y) * share >= 5:
            bins.append((x, y))
            x = y = 0
    if x + y:
        last = bins.pop() if bins else (0, 0)
        bins.append((last[0] + x, last[1] + y))
    return bins


def chi_squared_above(value, freedom):
    """The share of chi-squared of so many degrees that lies above `value`."""
    a, x = freedom / 2, value / 2
    if x <= 0:
        return 1.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        for n in range(1, 1000):
            term *= x / (a + n)
            total += term
            if term < total * 1e-15:
                break
        return max(0.0, 1 - total * scale)
    # The continued fraction of the upper part, by Lentz.
    b = x + 1 - a
    c, d = 1e300, 1 / b
    h = d
    for n in range(1, 1000):
        step = -n * (n - a)
        b += 2
        d = step * d + b
        d = 1 / (d if abs(d) > 1e-300 else 1e-300)
        c = b + step / c
        c = c if abs(c) > 1e-300 else 1e-300
        h *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return min(1.0, scale * h)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values):
    return percentile(values, 0.5)


def shown(samples, most=6):
    """Counts of the commonest, for a reader."""
    counts = Counter(samples)
    text = ", ".join(f"{value}: {count}" for value, count in sorted(counts.most_common(most)))
    return "{" + text + (", …}" if len(counts) > most else "}")
