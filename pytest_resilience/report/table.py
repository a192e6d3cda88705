"""Tables of plain text: aligned columns, empty ones left out, the last one wrapped, below if need be."""

from collections.abc import Sequence
from textwrap import wrap

WIDTH = 110
GAP = "  "
NARROWEST = 40
BELOW = " " * 4


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> list[str]:
    """Return the lines of a table, columns in `numbers` aligned to the right; none if all cells are empty."""
    shown = [place for place in range(len(header)) if any(row[place] for row in rows)]
    cells = [[row[place] for place in shown] for row in (header, *rows)]
    if not shown:
        return []
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [header[place] in numbers for place in shown]
    return [line for row in cells for line in _lines(row, widths, right)]


def _lines(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    *most, last = (
        cell.rjust(width) if from_right else cell.ljust(width)
        for cell, width, from_right in zip(row, widths, right, strict=True)
    )
    begin = "".join(f"{cell}{GAP}" for cell in most)
    if right[-1]:
        return [f"{begin}{last}".rstrip()]
    room = WIDTH - len(begin)
    if room < NARROWEST and len(last.rstrip()) > room:
        return [begin.rstrip(), *(f"{BELOW}{part}" for part in _wrapped(last, WIDTH - len(BELOW)))]
    first, *others = _wrapped(last, max(NARROWEST, room))
    return [f"{begin}{first}".rstrip(), *(f"{' ' * len(begin)}{part}" for part in others)]


def _wrapped(text: str, width: int) -> list[str]:
    """Break a text where words end; what somebody may copy is never broken."""
    return wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
