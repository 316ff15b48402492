"""Twenty images of text, Chinese and English, drawn with the engine's own Pillow and a font of the system."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

TEXTS = (
    "請在三十天內將商品退回本店。",
    "人工智慧計算平台讓所有加速卡成為一個資源池。",
    "會議改到星期五下午兩點半舉行。",
    "本產品保固期為二十四個月，人為損壞除外。",
    "台北車站往高雄的列車將於九點十五分發車。",
    "模型发布之后，所有应用都能调用它。",
    "请将发票寄到上海市浦东新区世纪大道100号。",
    "订单编号：2026-1127，合计：3,480.50 元。",
    "用户可以随时暂停或恢复服务。",
    "天气预报说明天有小雨，气温十八度。",
    "The quick brown fox jumps over the lazy dog.",
    "Invoice No. 2026-1127, total: 3,480.50 USD",
    "Please return the goods within 30 days.",
    "A replica is a running copy of a service.",
    "Meeting moved to Friday at 2:30 pm.",
    "Serial number: AX-9071-QK",
    "Warranty: 24 months from the date of purchase.",
    "Models become services with one command.",
    "Temperature 18 degrees, light rain expected.",
    "Contact: support@example.org or +886 2 1234 5678",
)
_PROGRAM = """
import json, sys
from PIL import Image, ImageDraw, ImageFont
font_path, folder, texts = json.loads(sys.argv[1])
for number, text in enumerate(texts):
    size = 26 + 2 * (number % 6)
    font = ImageFont.truetype(font_path, size)
    width = int(font.getlength(text)) + 60
    paper, ink = ((255, 255, 255), (0, 0, 0)) if number % 3 else ((244, 238, 220), (40, 30, 90))
    picture = Image.new("RGB", (width, 3 * size + 20), paper)
    ImageDraw.Draw(picture).text((30, size), text, font=font, fill=ink)
    picture.save(f"{folder}/{number}.png")
"""


def find_font() -> Path | None:
    """A font of the system with Chinese letters, as fontconfig knows it."""
    try:
        command = ["fc-list", ":lang=zh-tw:lang=zh-cn", "file"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    paths = sorted(Path(line.split(":")[0]) for line in done.stdout.splitlines() if line.strip())
    regular = [path for path in paths if "Regular" in path.name and "Sans" in path.name]
    return next(iter([*regular, *paths]), None)


def draw_images(python: Path, font: Path, folder: Path) -> list[Path]:
    """The images of TEXTS as PNG files, in that order."""
    words = [str(python), "-I", "-c", _PROGRAM, json.dumps([str(font), str(folder), TEXTS])]
    subprocess.run(words, check=True, timeout=120)
    return [folder / f"{number}.png" for number in range(len(TEXTS))]


def wrong_characters(expected: str, found: str) -> int:
    """Characters to insert, delete or change (Levenshtein's distance); spaces do not count."""
    expected, found = expected.replace(" ", ""), found.replace(" ", "")
    row = list(range(len(found) + 1))
    for index, letter in enumerate(expected, 1):
        before, row[0] = row[0], index
        for column, other in enumerate(found, 1):
            before, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, before + (letter != other)),
            )
    return row[-1]
