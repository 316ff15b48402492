"""What an engine itself tells of its prefix cache, put in terms of the blocks that routing knows.

Routing has no tokenizer and an engine tells of blocks of tokens. A request connects the two: it goes to the engine with
a name, under which the engine tells which blocks it has kept of it, each by a number and after which other one. So the
place of every block is known in tokens, and once the engine has counted the prompt also in bytes, as far as tokens are
spread evenly over them. What the engine then gives up is given up here too. What is stored by others is not learnt of:
its bytes were never seen.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from aicp.gateway.prefixes import ENDS, Block, Held

Number = int | bytes
"""What an engine calls one of its blocks."""
_MOST_NAMES: Final = 4096
_SPARE: Final = 1.25
"""How much is held of a full engine, of the most that it told of, lest what was never told of stay for ever."""


class _Sent:
    """A request that the engine was sent. `tokens` is 0 until they are counted."""

    __slots__ = ("blocks", "size", "stored", "tokens")

    def __init__(self, blocks: Sequence[Block], size: int) -> None:
        self.blocks, self.size = blocks, size
        self.tokens = 0
        self.stored: list[Number] = []
        """What the engine keeps of it, from its beginning on, and is not yet put in our terms."""


class EngineCache:
    """Keeps `held` true to what one engine tells."""

    __slots__ = ("_depths", "_held", "_most", "_ours", "_placed", "_sent", "_whole")

    def __init__(self, held: Held) -> None:
        self._held = held
        self._depths: dict[Number, int] = {}
        """Of every block of the engine, where in its prompt it ends, in tokens."""
        self._most = 0
        self._whole = True
        """Whether all that it holds was told of."""
        self._ours: dict[Number, list[Block]] = {}
        """What goes of ours when the engine's block goes."""
        self._placed: set[Block] = set()
        self._sent: OrderedDict[str, _Sent] = OrderedDict()

    def __len__(self) -> int:
        return len(self._depths)

    def sent(self, name: str, blocks: Sequence[Block], size: int) -> None:
        """A request of that name is about to be sent; `size` is that of its whole body in bytes."""
        self._sent[name] = _Sent(blocks, size)
        if len(self._sent) > _MOST_NAMES:
            self._sent.popitem(last=False)

    def counted(self, name: str, tokens: int) -> None:
        """The engine has counted the prompt of that name."""
        sent = self._sent.get(name)
        if sent is not None:
            sent.tokens = tokens
            self._place(sent)

    def stored(self, name: str, numbers: Sequence[Number], parent: Number | None, tokens: int) -> None:
        """The engine keeps further blocks, of `tokens` tokens each, of the request of that name.

        `parent` is the block before them; nothing can be said of them where that was never told of.
        """
        depth = 0 if parent is None else self._depths.get(parent, -1)
        if depth < 0:
            return
        for number in numbers:
            depth += tokens
            self._depths[number] = depth
        sent = self._sent.get(name)
        if sent is not None:
            sent.stored.extend(numbers)
            if sent.tokens:
                self._place(sent)

    def removed(self, numbers: Sequence[Number], tokens: int) -> None:
        """The engine has given up blocks of `tokens` tokens each: it is full."""
        self._most = max(self._most, len(self._depths))
        for number in numbers:
            self._depths.pop(number, None)
            for block in self._ours.pop(number, ()):
                self._placed.discard(block)
                self._held.drop(block)
        if self._whole:
            self._held.bound(self._most * tokens * _SPARE)

    def cleared(self) -> None:
        """The engine holds nothing any more."""
        self._forget()
        self._whole = True
        self._held.clear()

    def missed(self) -> None:
        """Something was told and not heard: what is learnt of from now on goes with the engine, the rest is a guess."""
        self._forget()
        self._whole = False
        self._held.bound(None)

    def _forget(self) -> None:
        self._most = 0
        self._depths.clear()
        self._ours.clear()
        self._placed.clear()
        for sent in self._sent.values():
            sent.stored.clear()

    def _place(self, sent: _Sent) -> None:
        """Each of our blocks goes with the block of the engine in which it ends.

        What lies before the first of them was found in the cache. If it was never placed, it came there with an answer:
        it goes with the first, which an engine gives up before all that it stands on.
        """
        depths = [(self._depths[number], number) for number in sent.stored if number in self._depths]
        sent.stored.clear()
        if not depths:
            return
        per_byte, last, at = sent.tokens / sent.size, len(depths) - 1, 0
        for place, block in enumerate(sent.blocks):
            end = ENDS[place + 1] * per_byte
            while at < last and depths[at][0] < end:
                at += 1
            if block not in self._placed:
                self._placed.add(block)
                self._ours.setdefault(depths[at][1], []).append(block)
