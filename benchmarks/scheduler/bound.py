"""How few cards could do: the configuration LP by column generation, and the exact optimum of small instances.

Run in an environment with scipy, apart from the platform's: instances as JSON on the input, bounds on the output.
An instance is {"sizes": [[compute, memory], ...], "counts": [...], "card": [compute, memory], "exact": bool}, all
integers. The LP asks for the least sum of cards over all patterns (combinations that fit on one card) such that every
part is covered (Gilmore and Gomory, "A Linear Programming Approach to the Cutting-Stock Problem", 1961); the pricing
problem is an exact two-dimensional knapsack, so that the value is a true lower bound: divided by the best reduced
price it stays one even if the generation of columns stops early (Farley, 1990).
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import numpy as np
from scipy.optimize import LinearConstraint, linprog, milp

_ROUNDS = 2000


def best_pattern(sizes: list[list[int]], prices: Any, card: list[int]) -> tuple[float, dict[int, int]]:
    """The most valuable combination that fits on one card."""
    height, width = card
    value = np.zeros((height + 1, width + 1))
    chosen = np.full((height + 1, width + 1), -1)
    useful = [part for part in range(len(sizes)) if prices[part] > 1e-9]
    for row in range(height + 1):
        if row:
            value[row] = value[row - 1]
            chosen[row] = -2
        for part in useful:
            compute, memory = sizes[part]
            if compute > row or memory > width:
                continue
            # compute is at least 1, so that the row below is finished and a part may repeat
            candidate = value[row - compute, : width + 1 - memory] + prices[part]
            better = candidate > value[row, memory:] + 1e-12
            value[row, memory:][better] = candidate[better]
            chosen[row, memory:][better] = part
    row, column = height, width
    pattern: dict[int, int] = {}
    while row and chosen[row, column] != -1:
        part = int(chosen[row, column])
        if part == -2:
            row -= 1
            continue
        pattern[part] = pattern.get(part, 0) + 1
        row, column = row - sizes[part][0], column - sizes[part][1]
    return float(value[height, width]), pattern


def configuration_bound(sizes: list[list[int]], counts: list[int], card: list[int]) -> float:
    """The value of the configuration LP."""
    columns = [
        {part: min(card[place] // size[place] for place in (0, 1) if size[place])} for part, size in enumerate(sizes)
    ]
    best = 0.0
    for _ in range(_ROUNDS):
        matrix = np.zeros((len(sizes), len(columns)))
        for number, pattern in enumerate(columns):
            for part, count in pattern.items():
                matrix[part, number] = count
        answer = linprog(np.ones(len(columns)), A_ub=-matrix, b_ub=-np.array(counts, float), method="highs")
        worth, pattern = best_pattern(sizes, -answer.ineqlin.marginals, card)
        best = max(best, answer.fun / max(worth, 1.0))
        if worth <= 1 + 1e-7:
            break
        columns.append(pattern)
    return best


def optimum(sizes: list[list[int]], counts: list[int], card: list[int]) -> int:
    """The fewest cards, over all maximal patterns."""
    patterns: list[tuple[int, ...]] = []

    def extend(part: int, compute: int, memory: int, counted: tuple[int, ...]) -> None:
        if part == len(sizes):
            patterns.append(counted)
            return
        most = min(counts[part], compute // sizes[part][0], memory // sizes[part][1])
        for count in range(most, -1, -1):
            extend(part + 1, compute - count * sizes[part][0], memory - count * sizes[part][1], (*counted, count))

    extend(0, card[0], card[1], ())
    matrix = np.array(patterns, float).T
    answer = milp(
        np.ones(len(patterns)), constraints=LinearConstraint(matrix, lb=np.array(counts, float)), integrality=1
    )
    return round(answer.fun)


def main() -> None:
    """Instances in, bounds out."""
    found = []
    for item in json.load(sys.stdin):
        bound = configuration_bound(item["sizes"], item["counts"], item["card"])
        exact = optimum(item["sizes"], item["counts"], item["card"]) if item["exact"] else None
        found.append({"bound": math.ceil(bound - 1e-6), "exact": exact})
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
