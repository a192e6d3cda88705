"""The report as JSON."""

import json
import math
import os
from dataclasses import asdict
from pathlib import Path

from pytest_resilience.errors import StoreError
from pytest_resilience.report.model import Report

_EMBEDDED = ("settings", "environment")


def to_json(report: Report) -> str:
    """Return the report as a JSON object that any parser reads: nan and infinity are null, lines a list."""
    content = asdict(report)
    for key in _EMBEDDED:
        content[key] = _parsed(content[key])
    for leak in content["leaks"]:
        leak["culprits"] = leak["culprits"].splitlines()
    return json.dumps(_finite(content), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def write(report: Report, path: Path) -> None:
    """Write the report in one step: at any time the file is the old one or the new; raise StoreError."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(to_json(report), "utf-8", errors="backslashreplace")
        unfinished.replace(path)
    except OSError as reason:
        unfinished.unlink(missing_ok=True)
        raise StoreError(
            f"{path} cannot be written: {reason}. Free space, or choose another --resilience-dir."
        ) from reason


def _parsed(text: str) -> object:
    """Return what the stored JSON text means, or the text if it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _finite(value: object) -> object:
    match value:
        case dict():
            return {key: _finite(each) for key, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case float() if not math.isfinite(value):
            return None
    return value
