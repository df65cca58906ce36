"""What likeness.py says of samples whose answer is known."""

import random
import unittest
from collections import Counter

import likeness

ECDSA = {70: 1, 71: 157, 72: 300, 73: 142}


class Likeness(unittest.TestCase):
    def test_tables(self):
        for value, freedom, known in [
            (3.841, 1, 0.05), (6.635, 1, 0.01), (5.991, 2, 0.05), (16.919, 9, 0.05),
            (27.877, 9, 0.001), (0.211, 2, 0.90), (44.314, 20, 0.001388), (28.374, 2, 6.9e-7),
        ]:
            share = likeness.chi_squared_above(value, freedom)
            self.assertAlmostEqual(share / known, 1, delta=0.02)

    def test_one_urn_is_alike(self):
        dice = random.Random(1)
        urn = [value for value, count in ECDSA.items() for _ in range(count)]
        lowest = min(
            likeness.g_test(dice.choices(urn, k=60), dice.choices(urn, k=60)) for _ in range(10_000)
        )
        self.assertGreater(lowest, likeness.UNLIKELY)

    def test_signatures_are_not_uniform(self):
        dice = random.Random(2)
        urn = [value for value, count in ECDSA.items() for _ in range(count)]
        for _ in range(200):
            site = dice.choices(urn, k=300)
            ours = dice.choices([70, 71, 72, 73], k=300)
            self.assertLess(likeness.g_test(ours, site), likeness.UNLIKELY)

    def test_a_constant_is_told_from_another(self):
        self.assertLess(likeness.g_test([5] * 300, [6] * 300), likeness.UNLIKELY)
        self.assertEqual(likeness.g_test([5] * 300, [5] * 300), 1.0)

    def test_rare_values_are_merged(self):
        self.assertEqual(likeness.merged(Counter({1: 100, 2: 1}), Counter({1: 100})), [(101, 100)])


if __name__ == "__main__":
    unittest.main()
