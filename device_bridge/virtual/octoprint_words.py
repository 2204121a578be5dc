"""The words of a virtual OctoPrint: the state that it pushes, its refusals, its forms."""

from email import message_from_bytes
from typing import Any, Final

from device_bridge.virtual.file_printer import FilePrinter
from device_bridge.virtual.web import Answer, Request, as_json

NOT_OPERATIONAL: Final = "Printer is not operational"
NO_PRINT: Final = "Printer is neither printing nor paused, '{}' command cannot be performed"
STOPPED_BY_M112: Final = "Closing serial port due to emergency stop M112."
CHANNELS: Final = {"tool0": "hotend0", "bed": "bed"}


def current(printer: FilePrinter, state: str, problem: str) -> dict[str, Any]:
    """The whole state, as ``history`` and ``current`` carry it."""
    name = printer.file_name
    temperatures = {said: _heater(printer, own) for said, own in CHANNELS.items()}
    away = state.startswith(("Off", "Open"))
    return {
        "state": {"text": state, "error": problem, "flags": {"printing": state == "Printing"}},
        "job": {"file": {"name": name, "path": name, "origin": "local"} if name else {}},
        "progress": {
            "completion": printer.share * 100 if printer.position else None,
            "filepos": printer.position,
            "printTime": 1 if printer.busy else None,
        },
        "temps": [] if away else [temperatures | {"chamber": {"actual": None, "target": None}}],
        "resends": {"count": 0, "transmitted": 0, "ratio": 0},
    }


def heaters(printer: FilePrinter, kind: str, order: dict[str, Any]) -> None:
    """A set-point: ``tool`` with ``targets``, ``bed`` with ``target``."""
    targets = order.get("targets") if kind == "tool" else {kind: order.get("target")}
    for name, target in (targets or {}).items():
        word = {"tool0": "M104", "bed": "M140"}.get(str(name))
        if word is not None:
            printer.do(f"{word} S{target}")


def form(request: Request) -> dict[str, tuple[str, bytes]]:
    """The parts of a form by name, each a file's name and its content."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    parts: dict[str, tuple[str, bytes]] = {}
    for part in message_from_bytes(head + request.body).walk():
        content = part.get_payload(decode=True)
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str) and isinstance(content, bytes):
            parts[name] = (part.get_filename() or "", content)
    return parts


def error(code: int, message: str) -> Answer:
    """A refusal."""
    return as_json({"error": message}, status=code)


def _heater(printer: FilePrinter, name: str) -> dict[str, float]:
    body = printer.body
    return {
        "actual": round(body.temperature(name), 2),
        "target": body.heaters[name].target_c,
    }
