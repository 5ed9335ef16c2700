"""`migrator mapping …`: the noun. Each file beside this one brings some of its verbs."""

from __future__ import annotations

import typer

from migrator.cli import mapping_diff, mapping_draft, mapping_example, mapping_explain, mapping_lint, mapping_preview

app = typer.Typer(help="Write, check and try the mappings of the project.", no_args_is_help=True)
for verbs in (mapping_lint, mapping_preview, mapping_explain, mapping_diff, mapping_example, mapping_draft):
    verbs.register(app)
