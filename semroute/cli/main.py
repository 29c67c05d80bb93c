"""The entry point of the command line, and the table of its commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from semroute import __version__
from semroute.cli import bench, care, evaluate, ring, router, transfer, verifier
from semroute.cli._interrupts import STATUS, Interrupted
from semroute.cli._output import UsageError, side
from semroute.cli.demo_command import demo_command
from semroute.cli.evaluate_router import router_command
from semroute.cli.explain import explain_command
from semroute.cli.replay_command import replay_command
from semroute.cli.review import review_command
from semroute.cli.tune import tune_command
from semroute.cli.warm import warm_command
from semroute.errors import SemrouteError


class Commands(TyperGroup):
    """The commands; an error that a person can act on, or Ctrl-C, is told in one sentence, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SemrouteError as error:
            _complain(str(error))
            raise typer.Exit(2 if isinstance(error, UsageError) else 1) from error
        except (Interrupted, KeyboardInterrupt) as stopped:
            _complain(f"stopped; {stopped}" if isinstance(stopped, Interrupted) else "stopped before it was done")
            raise typer.Exit(STATUS) from None


def _complain(sentence: str) -> None:
    # Plain text: square brackets of a message must not be read as markup, nor :ID: as an emoji.
    side().print(f"semroute: {sentence}", style="red", markup=False, emoji=False, soft_wrap=True)


app = typer.Typer(
    name="semroute",
    cls=Commands,
    help="An answer cache for LLM applications that proves a semantic hit before it serves it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("demo")(demo_command)
app.command("replay")(replay_command)
app.command("explain")(explain_command)
app.command("review")(review_command)
app.command("tune")(tune_command)
app.command("warm")(warm_command)
app.command("stats")(care.stats_command)
app.command("invalidate")(care.invalidate_command)
app.command("export")(transfer.export_command)
app.command("import")(transfer.import_command)
app.add_typer(bench.app, name="bench")
app.add_typer(evaluate.app, name="eval")
app.add_typer(ring.app, name="ring")
app.add_typer(verifier.app, name="verifier")
app.add_typer(router.app, name="router")
evaluate.app.command("router")(router_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"semroute {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Take the options that stand before every command."""


def main() -> None:
    """Run the command line."""
    app()
