"""Every sentence that the server can say is in the console's catalogues, and the catalogues hold nothing else.

The server speaks English. The console recognizes its sentences by the templates that are written here as f-strings, see
console/src/app/sentences.ts. What no reader of the console meets stands in tools/sentences_unshown.txt.
`--missing` prints the templates that lack, ready to be pasted into console/src/locales/server/*.json.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "aicp"
CATALOGUES = sorted((ROOT / "console" / "src" / "locales" / "server").glob("*.json"))
UNSHOWN = ROOT / "tools" / "sentences_unshown.txt"
ELSEWHERE = {"cli", "main", "telemetry"}
"""Folders whose words reach a terminal or a log."""
_SILENT_CALLS = re.compile(r"^(log|access)\.|^(re\.compile|Field|Query|Path|Body|Header|Form|File|text|sa\.text)$")
_PLACEHOLDER = re.compile(r"\{(\w+)(?::\w+)?\}")


def skeleton(template: str) -> str:
    """What makes two templates the same: the words between the placeholders."""
    return " ".join(_PLACEHOLDER.sub("{}", template).split()).strip("; ").removesuffix(".")


def spoken() -> Iterator[tuple[str, str]]:
    """Every template in the sources with the place where it stands."""
    for path in sorted(SOURCE.rglob("*.py")):
        folder = path.relative_to(SOURCE).parts[0]
        if folder in ELSEWHERE or "migrations" in path.parts or path.name == "_echo_server.py":
            continue
        for line, template in _texts(ast.parse(path.read_text(encoding="utf-8"))):
            yield template, f"{path.relative_to(ROOT).as_posix()}:{line}"


def _texts(node: ast.AST) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.Call) and _SILENT_CALLS.search(ast.unparse(node.func)):
        return
    if isinstance(node, ast.Constant | ast.JoinedStr):
        template = _template(node)
        if " " in template.strip() and re.search("[A-Za-z]{2}", _PLACEHOLDER.sub("", template)):
            yield node.lineno, template
        inner = [part.value for part in getattr(node, "values", []) if isinstance(part, ast.FormattedValue)]
    else:
        inner = list(ast.iter_child_nodes(node))
    for child in inner:
        yield from _texts(child)


def _template(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    names: list[str] = []
    parts: list[str] = []
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            named = [item.attr if isinstance(item, ast.Attribute) else item.id for item in _names(part.value)]
            name = named[-1].strip("_").lower() if named else "value"
            names.append(name)
            parts.append("{" + name + (str(names.count(name)) if names.count(name) > 1 else "") + "}")
        elif isinstance(part, ast.Constant):
            parts.append(str(part.value))
    return "".join(parts)


def _names(node: ast.AST) -> list[ast.Attribute | ast.Name]:
    return [item for item in ast.walk(node) if isinstance(item, ast.Attribute | ast.Name)]


def complaints() -> Iterator[str]:
    """What is wrong, one line each."""
    unshown = {skeleton(line) for line in UNSHOWN.read_text(encoding="utf-8").splitlines()}
    said = {skeleton(template): (template, place) for template, place in spoken()}
    for path in CATALOGUES:
        known = [skeleton(key) for key in json.loads(path.read_text(encoding="utf-8"))["sentences"]]
        for key in sorted(said.keys() - unshown - set(known)):
            yield f"{said[key][1]}: not in {path.name}: {said[key][0]!r}"
        for key in sorted(set(known) - said.keys()):
            yield f"{path.name}: nobody says {key!r} any more"
        for key in sorted({key for key in known if known.count(key) > 1}):
            yield f"{path.name}: {key!r} stands there twice"
    for key in sorted(unshown - said.keys()):
        yield f"{UNSHOWN.name}: nobody says {key!r} any more"


def main() -> int:
    """Prints every complaint; 1 when there is one."""
    if "--missing" in sys.argv:
        known = {skeleton(key) for key in json.loads(CATALOGUES[0].read_text(encoding="utf-8"))["sentences"]}
        known |= {skeleton(line) for line in UNSHOWN.read_text(encoding="utf-8").splitlines()}
        found = sorted({template for template, _ in spoken() if skeleton(template) not in known})
        print(json.dumps(dict.fromkeys(found, ""), indent=2, ensure_ascii=False))
        return 0
    found = list(complaints())
    print("\n".join(found) or "sentences of the server: all in the console's languages")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
