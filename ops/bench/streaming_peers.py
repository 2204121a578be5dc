"""Programs of the streaming bench that run in processes, and environments, of their own."""

OUR_PRINTER = """
import asyncio, sys
from pathlib import Path
from device_bridge.virtual.machine import MachinePlan, VirtualMachine

async def main():
    plan = MachinePlan(name="printer", dialect="marlin", speed=1000.0)
    VirtualMachine(plan, folder=Path(sys.argv[1])).start()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""

OCTOPRINT_PRINTER = """
import os, pty, sys, threading, tty
from pathlib import Path
from octoprint.plugin import plugin_manager
from octoprint.plugins.virtual_printer import VirtualPrinterPlugin
from octoprint.plugins.virtual_printer.virtual import VirtualPrinter

FOLDER = Path(sys.argv[1])
VALUES = VirtualPrinterPlugin().get_settings_defaults()
VALUES.update(throttle=0.0, sendWait=False, simulated_errors=[], enable_eeprom=False,
              okAfterResend=True)

class Settings:
    def get(self, path, merged=False):
        value = VALUES
        for key in path:
            value = value[key]
        return value
    get_int = get_float = get_boolean = get
    def global_get_basefolder(self, name):
        return str(FOLDER)

class Profiles:
    def get_current_or_default(self):
        return {"extruder": {"count": 1}, "volume": {"width": 200, "depth": 200, "height": 200,
                "formFactor": "rectangular", "origin": "lowerleft"}, "heatedBed": True}

plugin_manager(init=True, plugin_folders=[], plugin_entry_points=[])
printer = VirtualPrinter(Settings(), Profiles(), str(FOLDER), read_timeout=60.0)
master, slave = pty.openpty()
tty.setraw(slave)
link = FOLDER / "dev" / "printer"
link.parent.mkdir(parents=True, exist_ok=True)
link.symlink_to(os.ttyname(slave))

def out():
    while True:
        if line := printer.readline():
            os.write(master, line.rstrip(b"\\n") + b"\\n")

threading.Thread(target=out, daemon=True).start()
print("ready", flush=True)
rest = b""
while True:
    *lines, rest = (rest + os.read(master, 4096)).split(b"\\n")
    for line in lines:  # it takes one line at a write, as OctoPrint sends them
        if line.startswith(b"N-1 M110"):  # printcore's greeting, which it cannot read
            printer.lastN = printer.current_line = -1
            printer._sendOk()
            continue
        data = line + b"\\n"
        while data:
            data = data[printer.write(data):]
"""

PRINTCORE_SENDER = """
import os, sys, threading, time
from printrun import gcoder
from printrun.printcore import printcore

port, program = sys.argv[1:3]
core = printcore(port, 115200)
deadline = time.monotonic() + 20
while not core.online:
    if time.monotonic() > deadline:
        sys.exit("printcore did not come online")
    time.sleep(0.05)
time.sleep(0.5)
lines = [line.strip() for line in open(program)]
ended = threading.Event()
core.endcb = ended.set
begun = time.perf_counter()
core.startprint(gcoder.LightGCode(lines))
if not ended.wait(300):
    sys.exit("printcore did not finish")
print(time.perf_counter() - begun, flush=True)
os._exit(0)  # its disconnect may join a thread that it has not started yet
"""
