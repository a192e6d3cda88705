"""odds_provider itself: a real HTTP server on a free port of this machine."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from zlib import crc32

GAMES = tuple(f"game-{number}" for number in range(1, 21))

_SPECIALS = tuple(f"{side}_{goals}.5_goals" for goals in range(6) for side in ("over", "under"))


@contextmanager
def running_odds_server() -> Iterator[tuple[str, int]]:
    """Serve odds while the block runs; yield the server's host and port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _OddsHandler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), name="odds_provider", daemon=True)
        thread.start()
        try:
            yield "127.0.0.1", server.server_port
        finally:
            server.shutdown()
            thread.join()


class _OddsHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one packet, or each answer would wait for an acknowledgement

    def do_GET(self) -> None:
        game_id = self.path.removeprefix("/odds/")
        known = game_id in GAMES
        body = json.dumps(_markets(game_id) if known else {}).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep quiet."""


def _markets(game_id: str) -> dict[str, float]:
    strength = crc32(game_id.encode()) % 100 / 100
    three_way = {"home": 1.4 + 2 * strength, "draw": 3.4, "away": 4.1 - 2 * strength}
    specials = {name: round(1.2 + 0.15 * place + strength, 2) for place, name in enumerate(_SPECIALS)}
    return {**three_way, **specials}
