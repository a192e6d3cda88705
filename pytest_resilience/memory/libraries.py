"""Whose code holds something: the project's, which its reader can mend, or a library's."""

import sys
import sysconfig
from pathlib import Path

INSTALLED = tuple({Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")})


def is_library(holder: str) -> bool:
    """Tell whether a dotted name begins in a module of the standard library, or of an installed package."""
    parts = holder.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    module = next((sys.modules[name] for name in prefixes if name in sys.modules), None)
    if module is None:
        return False
    file = getattr(module, "__file__", None)
    return not file or any(Path(file).resolve().is_relative_to(folder) for folder in INSTALLED)
