"""A platform on which the demonstration model is served by the real engine, and ways to ask it."""

from __future__ import annotations

import importlib.util
import json
import sys
from types import ModuleType

import httpx
from tests.support.platform import DEMO_MODEL, Platform


def demo_module(name: str) -> ModuleType:
    """A module of the demo folder (score, shuffle), which is no package."""
    spec = importlib.util.spec_from_file_location(f"demo_{name}", DEMO_MODEL.parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[f"demo_{name}"] = module
    spec.loader.exec_module(module)
    return module


class Walk:
    """A platform whose `make run` equivalent has been done once for all tests of this file."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.facts = json.loads((platform.data_dir / "quickstart.json").read_text())

    def try_once(self) -> httpx.Response:
        """One token of the demo, whatever comes of it."""
        return self.platform.chat(self.facts["api_key"], self.facts["model"], "ready?", max_tokens=1)

    def ask(self, question: str) -> str:
        answer = self.platform.chat(self.facts["api_key"], self.facts["model"], question, max_tokens=96)
        assert answer.status_code == 200, answer.text
        return answer.json()["choices"][0]["message"]["content"]

    def stream(self, question: str) -> tuple[str, list[dict[str, object]]]:
        body = {
            "model": self.facts["model"],
            "messages": [{"role": "user", "content": question}],
            "stream": True,
            "temperature": 0,
        }
        headers = {"Authorization": f"Bearer {self.facts['api_key']}"}
        url = f"{self.facts['api_base']}/chat/completions"
        with httpx.stream("POST", url, json=body, headers=headers, timeout=120, trust_env=False) as response:
            assert response.status_code == 200, response.read()
            lines = [line[6:] for line in response.iter_lines() if line.startswith("data: ")]
        assert lines[-1] == "[DONE]"
        chunks = [json.loads(line) for line in lines[:-1]]
        pieces = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]]
        return "".join(pieces), chunks
