"""What must never be seen: a password or token that prints as stars wherever it is printed by mistake."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

MASK = "***"
_LEAST = 4  # characters: what is shorter stands in ordinary words


class Secret:
    """A text that only reveal() gives away: not repr, str, format, pickle or a copy to disk."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that sends it."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        import hmac

        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written down")


NOTHING = Secret("")


def masked(text: str, secrets: Iterable[Secret]) -> str:
    """The text without these secrets, as it is and as a registry may quote them back."""
    for secret in secrets:
        shown = secret.reveal()
        if len(shown) >= _LEAST:
            text = text.replace(shown, MASK)
    return text
