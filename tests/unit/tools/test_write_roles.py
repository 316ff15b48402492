"""The generated page of roles."""

from __future__ import annotations

from tools.write_roles import FILE, render


def test_the_page_of_roles_is_up_to_date():
    assert FILE.read_text() == render(), "run .venv/bin/python tools/write_roles.py"
