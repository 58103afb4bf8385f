"""`abidance`: the commands, each in the file of its noun. Heavy libraries load only when a command needs them."""

import gc
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import typer

from abidance import __version__
from abidance.cli import terminal

app = typer.Typer(
    name="abidance",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Take a trading idea from backtest to guarded trading: the same decisions in every mode.",
)

_PANELS = {
    "Start here": {"demo": "demo"},
    "Trade": {
        "backtest": "backtest",
        "trade": "trade",
        "kill": "kill",
        "reconcile": "reconcile",
        "circuits": "circuits",
        "serve": "serve",
    },
    "Strategies": {"new-strategy": "strategies", "list-strategies": "strategies", "check-strategy": "check"},
    "Research": {"optimize": "optimize", "verdict": "verdict", "simulate": "simulate"},
    "Prove it": {"simulate-faults": "simulate_faults"},
    "Data": {
        "download-data": "download",
        "import-data": "data",
        "list-data": "data",
        "check-data": "data",
        "refresh-instruments": "instruments",
        "list-instruments": "instruments",
        "show-instrument": "instruments",
        "venues": "venues",
        "download-sentiment": "sentiment",
    },
    "Configuration": {"new-config": "config", "show-config": "config"},
}
"""Every command by panel, with the module of this package that holds it as a function of the same name."""
_GROUPS = {
    "data": ("download", "Data"),
    "keys": ("keys", "Trade"),
    "loans": ("loans", "Trade"),
    "users": ("users", "Serve"),
    "audit": ("audit", "Serve"),
}
"""Every command that has commands of its own, with the module that holds them as `app`, and its panel."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"abidance {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and leave."
    ),
) -> None:
    """Say the version, or nothing."""


def _register(arguments: Sequence[str]) -> None:
    """Add the command that was typed; all of them where it is none of them, as only then their list is shown."""
    known = {*_GROUPS, *(name for commands in _PANELS.values() for name in commands)}
    wanted = known.intersection(arguments[:1]) or known
    for panel, commands in _PANELS.items():
        for name, module in commands.items():
            if name in wanted:
                function = getattr(import_module(f"abidance.cli.{module}"), name.replace("-", "_"))
                app.command(name, rich_help_panel=panel)(function)
    for name, (module, panel) in _GROUPS.items():
        if name in wanted:
            app.add_typer(import_module(f"abidance.cli.{module}").app, name=name, rich_help_panel=panel)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with a stable code.

    0 done, 1 unexpected, 2 usage, 3 config, 4 data, 5 strategy, 6 journal, 7 broken invariant, 8 venue,
    130 interrupted.
    """
    gc.set_threshold(50_000, 20, 100)  # imports make a hundred thousand objects, and all of them stay
    terminal.prepare()
    _register(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    from abidance.model.errors import AbidanceError

    command = typer.main.get_command(app)
    try:
        code: Any = command.main(args=arguments, prog_name="abidance", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except AbidanceError as error:
        terminal.complain(error.found, error.remedy)
        return error.exit_code
    except typer.TyperException as error:
        found, remedy = _mistyped(error)
        if found:  # without arguments the help is shown, and that says it all
            terminal.complain(found, remedy)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        terminal.complain("Interrupted.")
        return 130
    except (BrokenPipeError, SystemExit):
        terminal.silence()  # the reader of our output has seen enough (`| head`); rich and typer leave by SystemExit
        return 0
    except OSError as error:
        terminal.silence()
        where = f"{error.filename}: " if error.filename else "The output cannot be written: "
        terminal.complain(f"{where}{error.strerror or error}.", "Check the disk and its permissions.")
        return 1
    except MemoryError:
        terminal.complain("There is not enough memory.", "Ask for fewer instruments or a shorter time range.")
        return 1
    except Exception as error:  # noqa: BLE001 - whatever else comes here is a mistake of ours, to be reported
        _print_traceback()
        told = f"This is a defect of the program ({type(error).__name__}), not of what you typed."
        terminal.complain(told, "Please report it, with the lines above.")
        return 1


def _print_traceback() -> None:
    """Print where it happened, without any secret that this process has seen."""
    from abidance.kernel.log import PROCESS

    print(PROCESS.text(traceback.format_exc()), file=sys.stderr)


def _mistyped(error: typer.TyperException) -> tuple[str, str]:
    """Return what was found and what to do about arguments that do not parse."""
    told = str(getattr(error, "format_message", error.__str__)())
    problems: Any = getattr(error.__cause__, "errors", list)()  # what pydantic says of a value
    if problems and "input" in problems[0]:
        told = told.replace(": ", f" {problems[0]['input']!r}: ", 1)
    context: Any = getattr(error, "ctx", None)
    return told, f"`{context.command_path if context else 'abidance'} --help` shows what fits."
