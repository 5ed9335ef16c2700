"""
Where the project's key comes from: `file:PATH`, `env:NAME`, or `command:ARGV`, for a key that a KMS or a vault keeps.

A command is run without a shell. It gets on standard input what is in the key's file (the key as the KMS has sealed it),
or nothing where there is no such file; it prints base64 of the 32 bytes of the key on standard output and ends with 0,
within 30 seconds. Such are `aws kms decrypt --ciphertext-blob fileb:///dev/stdin --query Plaintext --output text` and
`vault write -field=plaintext transit/decrypt/migrator ciphertext=-`. What it prints is never shown.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from migrator.edges.keys import ProjectKey
from migrator.errors import Refused, SettingWrong, Unreachable

TIMEOUT_SECONDS = 30
_KINDS = ("file", "env", "command")
_SHOWN = 200  # characters of what a command complains about


class KeySource:
    """One place where a key may be."""

    def __init__(self, said: str, root: Path, environment: Mapping[str, str], sealed: Path) -> None:
        """
        Understand where a key is.

        Args:
            said: as `[security] key` says it; without a kind it is a path.
            root: against which a relative path counts.
            sealed: the file whose content a command gets.

        Raises:
            SettingWrong: it cannot be understood.
        """
        kind, colon, rest = said.partition(":")
        self.kind, self.rest = (kind, rest.strip()) if colon and kind in _KINDS else ("file", said)
        if not self.rest:
            raise SettingWrong(f'[security] key = "{said}": say file:PATH, env:NAME or command:ARGV')
        self._root, self._environment, self._sealed = root, environment, sealed

    def __str__(self) -> str:
        words = {"file": f"at {self.path}", "env": f"in the variable {self.rest}"}
        return words.get(self.kind, f"that `{self._program}` gives")

    @property
    def path(self) -> Path:
        """Of a file: where it is."""
        return (self._root / Path(self.rest).expanduser()).resolve()

    def load(self) -> ProjectKey:
        """
        Get the key.

        Raises:
            SettingWrong: There is none, others may read it, or it is no key.
            Refused: The command failed.
            Unreachable: The command did not answer.
        """
        if self.kind == "file":
            return ProjectKey.load(self.path)
        if self.kind == "env":
            if not self._environment.get(self.rest):
                raise SettingWrong(
                    f"the variable {self.rest} is not set, and [security] key says that the project key is in it; "
                    "a new project takes one from `openssl rand -base64 32`"
                )
            return ProjectKey.read(self._environment[self.rest].encode(), f"the variable {self.rest}")
        return ProjectKey.read(self._asked(), f"what `{self._program}` printed")

    @property
    def _program(self) -> str:
        return self.rest.split(maxsplit=1)[0]

    def _asked(self) -> bytes:
        sealed = self._sealed.read_bytes() if self._sealed.is_file() else b""
        try:
            argv = shlex.split(self.rest)
        except ValueError as error:
            raise SettingWrong(f"[security] key: the command cannot be read: {error}") from None
        try:
            done = subprocess.run(
                argv, input=sealed, capture_output=True, timeout=TIMEOUT_SECONDS, check=False, cwd=self._root,
                env=dict(self._environment),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Unreachable(f"`{argv[0]}` did not give the project key within {TIMEOUT_SECONDS} s") from None
        except OSError as error:
            raise SettingWrong(f"[security] key: `{argv[0]}` cannot be run: {error.strerror}") from None
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            why = f": {said[-1][:_SHOWN]}" if said else ""
            raise Refused(
                f"`{argv[0]}` gave no project key (exit code {done.returncode}){why}; run it by hand to see why"
            )
        return done.stdout
