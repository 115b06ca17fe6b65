"""Reads docs/ASSIGNMENT2_REQUIREMENTS_COVERAGE.md and says what it names that is not there."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from catsdogs.commands import COMMANDS
from tests.servers import ROOT
from tests.test_cli import DOORS

ROW = re.compile(r"^\| (M[1-5]\.\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
FOREIGN = {"git", "docker", "curl", "dvc", "mlflow", "grep", "head", "tail", "ls", "uvicorn", "pip",
           "source"}
"""Programs that are not ours: that they exist is not for this project to say."""
ALWAYS = {"--json", "--help"}
BUNDLE_DOOR = "./scripts/create_submission_bundle.sh"


@dataclass(frozen=True)
class Requirement:
    identity: str
    text: str
    files: list[str]
    commands: list[str]


def requirements(text: str) -> list[Requirement]:
    return [Requirement(identity, what.strip(), re.findall(r"`([^`]+)`", files), re.findall(r"`([^`]+)`", commands))
            for identity, what, files, commands in ROW.findall(text)]


def shown(text: str) -> dict[str, str]:
    """Command -> what the document says that it prints."""
    found: dict[str, str] = {}
    for block in CONSOLE.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found[command] = output.strip()
    return found


def faults(text: str) -> Iterator[str]:
    """One line for everything that the document promises and that is not there."""
    printed = shown(text)
    for row in requirements(text):
        if not row.files or not row.commands:
            yield f"{row.identity} names no file or no command"
        for name in row.files:
            if not (ROOT / name).exists():
                yield f"{row.identity} names the file {name}, which does not exist"
        for command in row.commands:
            if not printed.get(command):
                yield f"{row.identity} names the command {command!r}, and no block shows what it prints"
    for command in printed:
        for part in re.split(r" (?:\||&&) ", command):
            yield from _command_faults(part)


def _command_faults(command: str) -> Iterator[str]:
    words = shlex.split(command)
    while words and re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    program, rest = words[0], words[1:]
    if program == "catsdogs" and rest and rest[0] in COMMANDS:
        yield from _flag_faults(rest[0], rest[1:])
    elif program == "python" and rest[0] in DOORS:
        yield from _flag_faults(DOORS[rest[0]], rest[1:])
    elif program == "python" and rest[0] == "-m":
        if not (ROOT / rest[1].replace(".", "/")).exists():
            yield f"no module {rest[1]}"
    elif program == BUNDLE_DOOR:
        yield from _flag_faults("bundle", rest)
        yield from _script_faults(program)
    elif program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        yield from (f"no target {word} in the Makefile" for word in rest if "=" not in word and word not in targets)
    elif program == "pytest":
        yield from (f"no test {word}" for word in rest
                    if not word.startswith("-") and not (ROOT / word.partition("::")[0]).exists())
    elif "/" in program:
        yield from _script_faults(program)
    elif program not in FOREIGN:
        yield f"no command {' '.join(words[:2])}"
    if program == "docker" and "-f" in rest and not (ROOT / rest[rest.index("-f") + 1]).exists():
        yield f"no file {rest[rest.index('-f') + 1]} to build from"


def _flag_faults(name: str, words: list[str]) -> Iterator[str]:
    command = COMMANDS[name]
    flags = {"--" + field.replace("_", "-") for field in command.settings_type().model_fields} | ALWAYS
    for word in words:
        flag = word.partition("=")[0]
        if flag.startswith("--") and flag not in flags and flag.replace("--no-", "--", 1) not in flags:
            yield f"catsdogs {name} has no flag {flag}"
    if words and not words[0].startswith("-") and not command.positional:
        yield f"catsdogs {name} takes no first word, such as {words[0]}"


def _script_faults(name: str) -> Iterator[str]:
    path = ROOT / name
    if not path.is_file():
        yield f"no script {name}"
    elif not path.stat().st_mode & 0o111:
        yield f"{name} is not executable"
