"""python -m wsfast.serve is wsfast-serve."""

from wsfast.serve.cli import main

__all__: list[str] = []

main()
