"""A command that is known by its name and one sentence; its module is imported when it is called, not before."""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand
from typer.main import get_group

from migrator.cli.admission import guard
from migrator.cli.brackets import show_brackets
from migrator.cli.given import take_as_given


class Later(TyperCommand):
    """
    Stands in the list of `migrator --help` for a command, or for a noun with its verbs.

    Whoever types one command waits for one module instead of thirty; `real` has the options and the verbs.
    """

    def __init__(self, name: str, sentence: str, module: str | None = None) -> None:
        super().__init__(name, help=sentence)
        self.word, self.module = name, f"migrator.cli.{module or name}"

    @cached_property
    def real(self) -> Any:
        """The command itself: of a noun the module has `app`, of other commands it has `register`."""
        room = import_module(self.module)
        around = typer.Typer(rich_markup_mode="rich")
        if hasattr(room, "app"):
            around.add_typer(room.app, name=self.word)
        else:
            room.register(around)
        command = get_group(around).commands[self.word]
        take_as_given(command)
        show_brackets(command)
        guard(command, self.word)
        return command

    def make_context(self, *said: Any, **options: Any) -> Any:
        """Read the arguments as the command itself reads them; from here on only it is asked."""
        return self.real.make_context(*said, **options)
