"""People's own words, which lie sealed in every read model, opened for those who may see them."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import strawberry
from strawberry.dataloader import DataLoader
from strawberry.extensions import FieldExtension

from domain.shared.errors import UnavailableError
from domain.shared.personal import SEALED
from gateways.ports import People

ERASED: Final = "[erased]"
"""Stands where a person's words were whose key was destroyed."""
NOT_YOURS: Final = "[sealed]"
"""Stands where they are not for this reader."""
NOT_NOW: Final = "[sealed, ask again]"
"""Stands where whoever has the keys does not answer: no note is worth losing the object for."""


class Notes:
    """The notes of one request: asked for together, remembered nowhere."""

    def __init__(self, people: People, token: str) -> None:
        self._people = people
        self._token = token
        self._loader: DataLoader[str, str] = DataLoader(self._load, cache=False)

    async def in_clear(self, text: str) -> str:
        """The text with every sealed word in it opened, or said to be erased."""
        for word in {found.group() for found in SEALED.finditer(text)}:
            text = text.replace(word, await self._loader.load(word))
        return text

    async def all_in_clear(self, value: Any) -> Any:
        """The same for every text in a JSON value."""
        if isinstance(value, dict):
            return {name: await self.all_in_clear(each) for name, each in value.items()}
        if isinstance(value, list):
            return [await self.all_in_clear(each) for each in value]
        return await self.in_clear(value) if isinstance(value, str) else value

    async def _load(self, words: list[str]) -> list[str]:
        try:
            told = await self._people.reveal_notes(list(dict.fromkeys(words)), token=self._token)
        except UnavailableError:
            return [NOT_NOW] * len(words)
        return [_shown(told.get(word), known=word in told) for word in words]


class _InClear(FieldExtension):
    """Opens what the field's resolver gives."""

    async def resolve_async(
        self,
        next_: Callable[..., Awaitable[Any]],
        source: Any,
        info: strawberry.Info[Any, None],
        **given: Any,
    ) -> Any:
        text = await next_(source, info, **given)
        return await info.context.notes.in_clear(text)


def noted(text: str) -> Any:
    """A text field that may hold people's own words, described by ``text``."""
    return strawberry.field(description=text, extensions=[_InClear()])


def _shown(text: str | None, *, known: bool) -> str:
    if not known:
        return NOT_YOURS
    return ERASED if text is None else text
