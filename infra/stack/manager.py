"""The process manager: supervisord, its configuration, and a line to it.

Its socket lies in a folder that only the stack's owner gets into; its configuration has no secrets.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from supervisor.xmlrpc import Faults, SupervisorTransport

from infra.stack.config import ROOT, StackSettings, as_root
from infra.stack.errors import StackError
from infra.stack.programs import BIN, Program, inherited, needs, programs
from infra.stack.secrets import write_private

BOOT_SECONDS = 30
LONGEST_SOCKET = 100  # sun_path holds 108 bytes, and supervisord adds its PID for a moment
SETTLED = {Faults.ALREADY_STARTED, Faults.NOT_RUNNING}


def socket_of(settings: StackSettings) -> Path:
    """The socket that supervisord listens on."""
    return settings.run / "supervisor.sock"


def write_configuration(settings: StackSettings) -> Path:
    """Write supervisord's configuration and give its path.

    Raises:
        StackError: if the folder's path is too long for a socket.
    """
    if len(str(socket_of(settings)).encode()) > LONGEST_SOCKET:
        raise StackError(
            f"The path {settings.home} is too long for a socket. Nothing was started. Name another "
            f"folder with STACK_HOME."
        )
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 (an ini file)
        keep_trailing_newline=True,
    )
    templates.filters["quoted"] = lambda value: json.dumps(str(value)).replace("%", "%%")
    text = templates.get_template("supervisord.conf.j2").render(
        stack=settings,
        socket=socket_of(settings),
        programs=programs(settings),
        command=_command,
        environment=settings.as_environment(),
        root=ROOT,
        as_root=as_root(),
    )
    file = settings.run / "supervisord.conf"
    write_private(file, text)
    return file


def _command(program: Program) -> str:
    # PostgreSQL gets no secrets and may run under another account, which cannot read this code.
    words = [sys.executable, "-m", "infra.stack.launch", program.name]
    words = words if needs(program) else [word or "''" for word in program.command]
    return " ".join(words).replace("%", "%%")


class Manager:
    """A line to supervisord."""

    def __init__(self, settings: StackSettings) -> None:
        self._settings = settings

    @property
    def _proxy(self) -> Any:
        # A new one each time: one whose call failed can make no other.
        transport = SupervisorTransport(serverurl=f"unix://{socket_of(self._settings)}")
        return ServerProxy("http://localhost", transport=transport)

    def is_running(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self._proxy.supervisor.getState()["statename"] == "RUNNING")
        except (OSError, Fault):
            return False

    def boot(self) -> None:
        """Start supervisord, unless it runs."""
        file = write_configuration(self._settings)
        if self.is_running():
            return
        words = [str(BIN / "supervisord"), "-c", str(file)]
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, cwd=ROOT, env=inherited()
        )
        if done.returncode:
            raise StackError(
                f"The process manager did not start: {done.stdout}{done.stderr} "
                f"See {self._settings.logs}."
            )
        deadline = time.monotonic() + BOOT_SECONDS
        while not self.is_running():
            if time.monotonic() > deadline:
                raise StackError(f"The process manager does not answer. See {self._settings.logs}.")
            time.sleep(0.05)

    def start(self, name: str) -> None:
        """Start a program, all its copies; what runs goes on."""
        for one in self._names(name):
            try:
                self._proxy.supervisor.startProcess(one, False)
            except Fault as fault:
                if fault.faultCode not in SETTLED:
                    raise

    def stop(self, name: str) -> None:
        """Stop a program in order, all its copies, and wait for it."""
        for one in self._names(name):
            try:
                self._proxy.supervisor.stopProcess(one)
            except Fault as fault:
                if fault.faultCode not in SETTLED:
                    raise

    def shut_down(self) -> None:
        """Stop every program, the last started first, then supervisord."""
        for program in sorted(programs(self._settings), key=lambda one: -one.priority):
            self.stop(program.name)
        self._proxy.supervisor.shutdown()

    def states(self) -> list[dict[str, Any]]:
        """What runs: group, name, statename, pid, description."""
        return list(self._proxy.supervisor.getAllProcessInfo())

    def pids(self, name: str) -> list[int]:
        """PIDs of a program's copies that run."""
        return [one["pid"] for one in self.states() if one["group"] == name and one["pid"]]

    def _names(self, group: str) -> list[str]:
        return [f"{group}:{one['name']}" for one in self.states() if one["group"] == group]
