"""A stand-in for Ascend's npu-smi that keeps virtual devices in a file and prints them in the documented form."""

from __future__ import annotations

import json
import sys
from pathlib import Path

FIXTURE = Path(__file__).parents[1] / "fixtures" / "enforcers" / "ascend_vnpu.json"

_PROGRAM = """#!{python}
import json, sys
from pathlib import Path

place = Path(__file__).parent
form = json.loads(Path({fixture!r}).read_text())
there = json.loads((place / "there.json").read_text())
words = sys.argv[1:]
with (place / "calls").open("a") as calls:
    print(*words, file=calls)
option = dict(zip(words[1::2], words[2::2]))
if words == ["info", "-m"]:
    print("\\n".join(form["info -m"]))
    sys.exit()
chip = option["-i"] + "/" + option["-c"]
mine = there.setdefault(chip, {{}})
what = option["-t"]
if (place / "refuse").exists() and what == (place / "refuse").read_text():
    print("Message : Failed to do it, the device is busy")
    sys.exit(1)
if what == "create-vnpu":
    first = 100 + 16 * {{"2": 0, "5": 1}}[option["-i"]]  # by the chip's physical number
    number = next(str(n) for n in range(first, first + 16) if str(n) not in mine)
    mine[number] = option["-f"]
    print("\\n".join(form["create-vnpu"]))
elif what == "destroy-vnpu":
    del mine[option["-v"]]
    print("\\n".join(form["destroy-vnpu"]).format(number=option["-v"]))
elif what == "info-vnpu":
    rows = [form["info-vnpu row"].format(number=n, template=t) for n, t in mine.items()]
    if (place / "garbled").exists():
        rows = ["vnpu " + row.strip("|") for row in rows]
    print("\\n".join([*form["info-vnpu head"], form["info-vnpu count"].format(count=len(mine)),
                     *form["info-vnpu columns"], *rows]))
(place / "there.json").write_text(json.dumps(there))
if what == "create-vnpu" and (place / "die").exists():
    sys.exit(9)
"""


class FakeNpuSmi:
    """`npu-smi` in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        program = directory / "npu-smi"
        program.write_text(_PROGRAM.format(python=sys.executable, fixture=str(FIXTURE)))
        program.chmod(0o755)
        self.put({})

    def there(self) -> dict[str, dict[str, str]]:
        """Template by number by `card/chip`, of chips that have virtual devices."""
        found = json.loads((self.directory / "there.json").read_text())
        return {chip: devices for chip, devices in found.items() if devices}

    def put(self, there: dict[str, dict[str, str]]) -> None:
        (self.directory / "there.json").write_text(json.dumps(there))

    def calls(self) -> list[str]:
        return (self.directory / "calls").read_text().splitlines()

    def refuse(self, action: str | None) -> None:
        """From now on that action fails; None: none does."""
        (self.directory / "refuse").write_text(action or "nothing")

    def die_after_making(self, dies: bool) -> None:
        """What the caller sees when it, or the machine, ends between the making and the answer."""
        (self.directory / "die").touch() if dies else (self.directory / "die").unlink()

    def garble(self) -> None:
        """A listing of a form that no document describes."""
        (self.directory / "garbled").touch()
