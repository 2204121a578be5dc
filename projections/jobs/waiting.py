"""What keeps machines from taking a piece, in words for the person who waits."""

from typing import Final

_WORDS: Final[dict[str, tuple[str, str]]] = {
    "PROCESS": ("does another process", "wait for a machine of the right kind or register one"),
    "MATERIAL": ("cannot work the material", "order another material or configure a machine"),
    "SIZE": ("is too small", "make the part smaller or register a larger machine"),
    "PRECISION": ("is not precise enough", "register a more precise machine"),
    "NOZZLE_TEMPERATURE": ("has too cool a nozzle", "use a program that heats less"),
    "BED_TEMPERATURE": ("has too cool a bed", "use a program that heats less"),
    "NOT_CONFIGURED": ("is not configured", "configure it"),
    "MAINTENANCE": ("is in maintenance", "end the maintenance"),
    "NOT_CONNECTED": ("is not connected", "switch it on and look at its bridge"),
    "EMERGENCY_STOP": ("is stopped in an emergency", "make it safe and clear the stop"),
    "HELD": ("is held by a person", "resume it"),
    "FAULT": ("reports a fault", "look at the machine and clear the fault"),
    "NOT_READY": ("waits for a person at its panel", "look at the machine and make it ready"),
    "BUSY": ("is at work", "wait"),
    "BED_NOT_CLEAR": ("has something on its bed", "take it off and confirm that the bed is clear"),
    "ALREADY_TRIED": ("has lost or refused a piece of this", "another machine is preferred: wait"),
    "MATERIAL_IN_STOCK": ("has too little of the material", "receive material"),
}
_NO_MACHINE: Final = ("The organisation has no machine.", "Register one.")


def why_waiting(code: str, machines: int) -> dict[str, str]:
    """A reason: ``code``, ``message``, ``remedy``."""
    if code == "NO_MACHINE":
        message, remedy = _NO_MACHINE
    else:
        what, remedy = _WORDS.get(code, (f"cannot: {code}", "look at the machine"))
        message = (
            f"{machines} of the machines: each {what}."
            if machines > 1
            else (f"One machine {what}.")
        )
        remedy = f"{remedy[0].upper()}{remedy[1:]}."
    return {"code": code, "message": message, "remedy": remedy}
