"""A printer that answers Marlin's lines as fast as Python can, for a process of its own."""

FAST_PRINTER = '''
import json, os, pty, random, sys, tty
from functools import reduce
from operator import xor
from pathlib import Path

SHARE = 0.0
FOLDER = Path(sys.argv[1])
dice = random.Random(2)
master, slave = pty.openpty()
tty.setraw(slave)
link = FOLDER / "dev" / "printer"
link.parent.mkdir(parents=True, exist_ok=True)
link.symlink_to(os.ttyname(slave))
counts = {"taken": 0, "wrong": 0, "lost": 0, "damaged": 0, "unanswered": 0}
last = 0
ASKED = {
    b"M115": b"FIRMWARE_NAME:Marlin (virtual, fast) MACHINE_TYPE:bench\\nCap:EMERGENCY_PARSER:1\\n",
    b"M114": b"X:0.00 Y:0.00 Z:0.00 E:0.00 Count X:0 Y:0 Z:0\\n",
    b"M105": b"",
}

def answer(line):
    """The reply to one line; what is lost on the way is lost once."""
    global last
    if line[:1] != b"N":
        return reply(line)
    head, _, check = line.rpartition(b"*")
    number, _, command = head[1:].partition(b" ")
    if command[:4] == b"M110":
        last = int(number)
        return b"ok\\n"
    loss = dice.random() if SHARE and command[:3] == b"G92" else 1.0
    if loss < SHARE / 3:
        counts["lost"] += 1
        return b""
    if loss < SHARE * 2 / 3:
        counts["damaged"] += 1
        return refuse("checksum mismatch")
    if SHARE and reduce(xor, head, 0) != int(check):
        return refuse("checksum mismatch")
    if int(number) != last + 1:
        return refuse("Line Number is not Last Line Number+1")
    last += 1
    said = reply(command)
    if loss < SHARE:
        counts["unanswered"] += 1
        return b""
    return said

def refuse(why):
    return f"Error:{why}, Last Line: {last}\\nResend: {last + 1}\\nok\\n".encode()

def reply(command):
    word = command[:4]
    if word == b"G92 ":
        counts["taken"] += 1
        counts["wrong"] += command != b"G92 E%d" % counts["taken"]
    elif word == b"M77":
        (FOLDER / "counts.json").write_text(json.dumps(counts))
    elif word == b"M105":
        return b"ok T:20.00 /0.00 B:20.00 /0.00 @:0 B@:0\\n"
    return ASKED.get(word, b"") + b"ok\\n"

print("ready", flush=True)
rest = b""
while True:
    *lines, rest = (rest + os.read(master, 4096)).split(b"\\n")
    if said := b"".join(answer(line) for line in lines if line):
        os.write(master, said)
'''


def lossy(share: float) -> str:
    """The same printer on a bad wire: this share of the program's lines is lost on the way, damaged
    or taken and not answered, each as often as the others."""
    return FAST_PRINTER.replace("SHARE = 0.0", f"SHARE = {share}")
