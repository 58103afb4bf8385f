"""`abidance`: the commands, each in the file of its noun. Heavy libraries load only when a command needs them."""

import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import typer

from abidance import __version__

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
    "Trade": {"backtest": "backtest", "trade": "trade"},
    "Strategies": {"new-strategy": "strategies", "list-strategies": "strategies"},
    "Data": {"import-data": "data", "list-data": "data", "check-data": "data"},
    "Configuration": {"new-config": "config", "show-config": "config"},
}
"""Every command by panel, with the module of this package that holds it as a function of the same name."""


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


def _register() -> None:
    for panel, commands in _PANELS.items():
        for name, module in commands.items():
            function = getattr(import_module(f"abidance.cli.{module}"), name.replace("-", "_"))
            app.command(name, rich_help_panel=panel)(function)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with a stable code.

    0 done, 1 unexpected, 2 usage, 3 config, 4 data, 5 strategy, 6 journal, 7 broken invariant, 130 interrupted.
    """
    _register()
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    from abidance.model.errors import AbidanceError

    command = typer.main.get_command(app)
    try:
        code: Any = command.main(args=arguments, prog_name="abidance", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except AbidanceError as error:
        _complain(error.found, error.remedy)
        return error.exit_code
    except typer.TyperException as error:
        told = getattr(error, "format_message", error.__str__)()
        _complain(told, "`abidance --help`, or the same after a command, shows what fits.")
        return 2
    except (KeyboardInterrupt, typer.Abort):
        _complain("Interrupted.", "")
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); silence the interpreter's own complaint at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        _complain(f"{error.strerror or error}: {error.filename or 'an input or output failed'}.", "Nothing was lost.")
        return 1


def _complain(found: str, remedy: str) -> None:
    red, plain = ("\033[31m", "\033[0m") if sys.stderr.isatty() and "NO_COLOR" not in os.environ else ("", "")
    print(f"{red}Error:{plain} {found}", file=sys.stderr)
    if remedy:
        print(f"       {remedy}", file=sys.stderr)
