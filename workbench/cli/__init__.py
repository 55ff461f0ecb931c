"""`wb`: one module per verb, in the order of the flow. The only place that prints or exits."""

import sys

import typer
from typer.core import TyperGroup

from workbench.cli import (
    data,
    diagnose,
    evaluate,
    gate,
    generate,
    init,
    loop,
    models,
    predict,
    review,
    run,
    serve,
    tokens,
    train,
    why,
)
from workbench.cli.output import report_error


class Verbs(TyperGroup):
    """The verbs of `wb`. Ctrl-C is answered here: typer itself would only exit."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # typer's own context class
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            report_error("Stopped.", "What was finished is stored; the same command goes on from there.")
            raise typer.Exit(130) from None


app = typer.Typer(
    name="wb",
    cls=Verbs,
    help="From an imbalanced or confused intent set to an honest verdict: data, diagnose, generate, gate, review, train, evaluate.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def version(show: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    """Show the version."""
    if show:
        from workbench import __version__

        typer.echo(__version__)
        raise typer.Exit


for module in (
    init,
    data,
    diagnose,
    generate,
    gate,
    review,
    train,
    evaluate,
    loop,
    tokens,
    predict,
    serve,
    run,
    why,
    models,
):
    module.register(app)


def main() -> None:
    """Run `wb`; the one place where errors become sentences and exit codes."""
    from workbench.errors import WorkbenchError

    try:
        app()
    except WorkbenchError as error:
        report_error(error.message, error.hint)
        sys.exit(error.exit_code)
