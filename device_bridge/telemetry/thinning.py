"""Several columnar messages of one machine become one with fewer readings. Pure."""

from typing import Any


def thinned(messages: list[dict[str, Any]], *, spacing_s: int) -> dict[str, Any]:
    """One message that keeps of each channel a reading only when ``spacing_s`` have passed since
    the last one kept. Messages: ``{build_id, channels, t, c, v}``, oldest first, of one build."""
    index: dict[str, int] = {}
    newest: dict[str, int] = {}
    t: list[int] = []
    c: list[int] = []
    v: list[float] = []
    for message in messages:
        for at, code, value in zip(message["t"], message["c"], message["v"], strict=True):
            channel = message["channels"][code]
            if channel in newest and at - newest[channel] < spacing_s * 1000:
                continue
            newest[channel] = at
            t.append(at)
            c.append(index.setdefault(channel, len(index)))
            v.append(value)
    build_id = messages[0]["build_id"]
    return {"build_id": build_id, "channels": list(index), "t": t, "c": c, "v": v}
