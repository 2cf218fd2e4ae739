"""`python -m infra.stack.launch NAME`: become a program of the stack.

The process manager calls this. It reads the program's secrets, ends what an earlier process of the
same name left behind (a killed MLflow server leaves the process that holds its port), and replaces
itself, so that the process manager sees the program itself.
"""

import os
import sys

import psutil

from infra.stack.config import StackSettings
from infra.stack.programs import Program, environment_of, programs

MARK = "STACK_PROGRAM"


def mark_of(settings: StackSettings, name: str) -> str:
    """How processes of one program of one stack know each other."""
    return f"{settings.home}:{name}:{os.environ.get('STACK_COPY', '0')}"


def leftovers(mark: str) -> list[psutil.Process]:
    """Processes that bear the mark, but this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
        except psutil.Error:
            continue
    return found


def end(processes: list[psutil.Process]) -> None:
    """End them at once and wait until they are gone."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=10)


def main(name: str) -> None:
    """Become the program."""
    settings = StackSettings()
    program: Program = next(one for one in programs(settings) if one.name == name)
    mark = mark_of(settings, name)
    environment = environment_of(settings, program) | {MARK: mark}
    if not program.leaves_runs:
        end(leftovers(mark))
    os.chdir(settings.project)
    environment["PWD"] = str(settings.project)
    os.execve(program.command[0], list(program.command), environment)  # noqa: S606 (no shell)


if __name__ == "__main__":
    main(sys.argv[1])
