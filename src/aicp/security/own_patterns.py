"""Regular expressions that users write: taken only where no text whatever can make them slow.

Python's engine tries every way in which a pattern can fit. So the ways are counted when a pattern is set: without a
repetition that has no end, and with few ways from any one place, the time grows with the text's length and no faster.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from aicp.security.windows import WINDOW, replace_in_windows

_parser: Any = importlib.import_module("re._parser")

_MOST_WAYS = 256
"""From one place of a text."""
_LONGEST_MATCH = 512
_LONGEST_LOOK = 64
_MOST_STEPS = 5000
"""From one place, in all ways together: what is looked at again and again in each of them."""
_STEPS_OF_A_CALL = 1 << 20
"""Nobody else runs within a call: some milliseconds."""
_NO_END = int(_parser.MAXREPEAT)
_REFUSED = {"GROUPREF": "a reference to a group", "GROUPREF_EXISTS": "a condition on a group"}


class OwnPattern:
    """One pattern. Raises ValueError that says what is wrong with it."""

    def __init__(self, text: str) -> None:
        try:
            parsed = _parser.parse(text)
            self._pattern = re.compile(text)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"it is no regular expression ({error})") from error
        ways = _ways(parsed)
        shortest, longest = parsed.getwidth()
        if shortest == 0:
            raise ValueError("it fits where nothing is")
        if longest > _LONGEST_MATCH:
            raise ValueError(f"it fits texts of more than {_LONGEST_MATCH} characters")
        if ways > _MOST_WAYS:
            raise ValueError(
                f"it can fit in more than {_MOST_WAYS} ways from one place, so that a text can make it slow; "
                f"give its repetitions narrower bounds"
            )
        looked = _looked(parsed)
        if looked > _LONGEST_LOOK:
            raise ValueError(f"it looks further than {_LONGEST_LOOK} characters beside what it fits")
        if ways * (longest + looked) > _MOST_STEPS:
            raise ValueError(
                f"it can take more than {_MOST_STEPS} steps from one place, so that a text can make it slow; "
                f"give its repetitions narrower bounds"
            )
        self._longest = int(longest) + looked
        self._window = max(_STEPS_OF_A_CALL // int(ways * self._longest), 64)

    def replace(self, text: str, mask: str) -> str:
        """`text` with `mask` for every match."""
        return replace_in_windows(self._pattern, self._longest, text, mask, window=min(self._window, WINDOW))


def _ways(parsed: Any) -> int:
    """In how many ways a pattern can fit from one place, at most. Raises ValueError for what has no bound."""
    ways = 1
    for operation, given in parsed:
        ways *= _ways_of(str(operation), given)
        if ways > _MOST_WAYS:
            return _MOST_WAYS + 1
    return ways


def _looked(parsed: Any) -> int:
    """How many characters a pattern's assertions look at beside what it fits, at most; their own count as well."""
    looked = 0
    for operation, given in parsed:
        name = str(operation)
        if name in ("ASSERT", "ASSERT_NOT"):
            looked += int(given[1].getwidth()[1]) + _looked(given[1])
        elif name == "BRANCH":
            looked += sum(_looked(one) for one in given[1])
        elif name == "SUBPATTERN":
            looked += _looked(given[3])
        elif name == "ATOMIC_GROUP":
            looked += _looked(given)
        elif name.endswith("_REPEAT"):
            looked += int(given[1]) * _looked(given[2])
    return looked


def _ways_of(operation: str, given: Any) -> int:
    if operation in _REFUSED:
        raise ValueError(f"it has {_REFUSED[operation]}, which has no bound in time")
    if operation == "BRANCH":
        return sum(_ways(one) for one in given[1])
    if operation == "SUBPATTERN":
        return _ways(given[3])
    if operation == "ATOMIC_GROUP":
        return _ways(given)
    if operation in ("ASSERT", "ASSERT_NOT"):
        return _ways(given[1])
    if operation.endswith("_REPEAT"):
        return _ways_of_repeat(*given)
    return 1


def _ways_of_repeat(least: int, most: int, parsed: Any) -> int:
    if most >= _NO_END:
        raise ValueError("it has a repetition without an end; write {1,64} instead of +, and {0,64} instead of *")
    each = _ways(parsed)
    if each == 1:
        return int(most) - int(least) + 1
    ways = 0
    for number in range(int(least), int(most) + 1):
        ways += each ** min(number, 64)
        if ways > _MOST_WAYS:
            break
    return ways
