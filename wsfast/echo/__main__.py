"""python -m wsfast.echo is wsfast-echo."""

from wsfast.echo.cli import main

__all__: list[str] = []

main()
