"""Tables of plain text: aligned columns, empty ones left out, the last one wrapped."""

from collections.abc import Sequence
from textwrap import wrap

WIDTH = 110
GAP = "  "
NARROWEST = 40


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
    room = max(NARROWEST, WIDTH - len(begin))
    parts = [last] if right[-1] else wrap(last, room, break_long_words=False, break_on_hyphens=False) or [""]
    indent = " " * len(begin)
    return [f"{indent if number else begin}{part}".rstrip() for number, part in enumerate(parts)]
