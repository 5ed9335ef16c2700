"""
The texts of a mapping set on their way into the control database and back.

Python among them runs in the workers. It is stored sealed by the project's key, so that nobody who can write to the
control database, and does not have the key, can make a worker run anything.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from migrator.edges.keys import ProjectKey
from migrator.errors import KeyWrong, Refused
from migrator.mapping import document
from migrator.mapping.model import MappingSet


def sealed(texts: Mapping[str, str], key: ProjectKey) -> dict[str, str]:
    """Return the texts as they are stored."""
    return {
        name: base64.b64encode(key.seal(text)).decode() if name.endswith(".py") else text
        for name, text in texts.items()
    }


def resealed(texts: Mapping[str, str], key: ProjectKey) -> dict[str, str]:
    """
    Return stored texts as they are stored with this very key, each that is already as it is.

    Raises:
        KeyWrong: code in them opens with no key that is known.
    """
    return {
        name: text
        if not name.endswith(".py") or key.seals(base64.b64decode(text))
        else base64.b64encode(key.seal(_opened(text, key))).decode()
        for name, text in texts.items()
    }


def opened(texts: Mapping[str, str], hash_: str, prefix: str, key: ProjectKey) -> MappingSet:
    """
    Make the set of stored texts.

    Raises:
        KeyWrong: code in it was not sealed with this project's key. Refused: it is not the set of this hash.
    """
    plain = {name: _opened(text, key) if name.endswith(".py") else text for name, text in texts.items()}
    code = any(name.endswith(".py") for name in plain)
    if code and document.hash_of(plain) != hash_:
        raise Refused(f"the mapping set {hash_[:12]} in the control database was changed; none of its code is run")
    return document.parse(plain, prefix)


def _opened(text: str, key: ProjectKey) -> str:
    try:
        return key.open(base64.b64decode(text, validate=True))
    except binascii.Error:
        raise KeyWrong("code in the control database is not sealed; it was not put there by this project") from None
