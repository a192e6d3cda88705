"""Mistakes in the user's hooks, told in one line."""

import traceback


def raised_text(hook: str, error: BaseException) -> str:
    """Say what a hook raised, and where: `pytest_x raised ValueError: … (conftest.py:12)`."""
    line = traceback.format_exception_only(error)[-1].strip()
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{hook} raised {line} ({frame.filename}:{frame.lineno})"
