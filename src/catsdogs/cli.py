"""One command per stage. Nothing of a stage is imported before it is asked for: `--help` takes 0.1 s."""

import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from catsdogs import __version__
from catsdogs.commands import COMMANDS, Command
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import explain_os_error
from catsdogs.settings.remembered import recall, remember

# Package that may be missing -> the extra that brings it
EXTRAS = {"torch": "train", "fastapi": "serve", "openvino": "serve", "mlflow": "train", "cleanlab": "doctor",
          "transformers": "pretrained", "optuna": "tune", "imagehash": "photos", "scipy": "photos", "ray": "ray"}


def overview() -> str:
    """What `catsdogs --help` prints."""
    lines = [f"  {name:<18}{command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: catsdogs COMMAND [--flag value ...]",
            "",
            "From a folder of labelled photos to a monitored prediction API.",
            "",
            *lines,
            "",
            "`catsdogs COMMAND --help` lists the flags; each is an environment variable too (CATSDOGS_TRAIN_EPOCHS).",
            "`--json` prints the result for machines; events and progress go to standard error.",
            "Exit status: 0 done or passed, 1 failed, 2 called wrongly.",
        ]
    )


def main(arguments: list[str]) -> int:
    """Run one command; returns its exit status."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if arguments else 2
    if arguments[0] in ("--version", "version"):
        print(__version__)
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        print(f"catsdogs: no command {name!r}; `catsdogs --help` lists them.", file=sys.stderr)
        return 2
    return guarded(name, lambda: execute(name, rest))


def execute(name: str, arguments: list[str]) -> int:
    command = COMMANDS[name]
    as_json = "--json" in arguments
    flags = [argument for argument in arguments if argument != "--json"]
    settings = known = recall(name, flags) if command.remembers else None
    if settings is None:
        settings = parse(name, command, flags)
    gc.freeze()  # what was imported stays: nobody need look through it for garbage
    gc.enable()
    result = command.run(settings)
    if command.remembers and known is None:
        remember(name, flags, settings)
    if shown := result.data() if as_json else result.text():  # torchrun's other processes have nothing to say
        print(json.dumps(shown, indent=2, default=str) if as_json else shown, flush=True)
    return 0 if getattr(result, "passed", True) else 1


def parse(name: str, command: Command, arguments: list[str]) -> Any:
    """Flags, then environment, then defaults. Raises UsageError naming the first flag that does not fit."""
    from catsdogs.settings.plugins import leave_plugins_out

    leave_plugins_out()
    from pydantic import ValidationError
    from pydantic_settings import CliApp

    from catsdogs.settings.base import explain_invalid

    settings_type = command.settings_type()
    settings_type.model_config["cli_prog_name"] = f"catsdogs {name}"
    if command.positional and arguments and not arguments[0].startswith("-"):
        arguments = ["--" + command.positional.replace("_", "-"), *arguments]
    try:
        return CliApp.run(settings_type, arguments)
    except ValidationError as error:
        raise UsageError(explain_invalid(error)) from None


def guarded(name: str, work: Callable[[], int]) -> int:
    """A user's mistake never shows a traceback; a bug of ours does."""
    try:
        return work()
    except CatsdogsError as error:
        print(f"catsdogs {name}: {error}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `catsdogs ... | head`
        return 1
    except OSError as error:
        if error.errno is None:
            raise
        explained = explain_os_error(error)
        print(f"catsdogs {name}: {explained}", file=sys.stderr)
        return explained.exit_status
    except MemoryError:
        print(f"catsdogs {name}: out of memory: lower --batch-size, --image-size or --workers.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"catsdogs {name}: interrupted; run the same command again to go on.", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(error.name or "")
        if extra is None:
            raise
        print(f"catsdogs {name}: {error.name} is not installed: pip install 'catsdogs[{extra}]'.", file=sys.stderr)
        return 1


def run() -> None:
    """The program. Imports make no garbage, and looking for it takes 16 ms; taking them down again takes 30."""
    gc.disable()
    if os.getpid() == 1:  # the first process of a container: the kernel keeps signals from it that it does not handle
        signal.signal(signal.SIGTERM, _end)
    arguments = sys.argv[1:]
    status = main(arguments)
    if arguments and arguments[0] in COMMANDS and COMMANDS[arguments[0]].ends_at_once:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
