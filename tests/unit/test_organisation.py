"""Tenants."""

from uuid import UUID

import pytest

from domain.organisation.aggregate import Organisation
from domain.shared.errors import IllegalTransitionError, InvalidInputError
from tests.scenario import given


def an_organisation() -> Organisation:
    return Organisation.found(UUID(int=8), name=" Shop ")


def test_an_organisation_belongs_to_itself() -> None:
    shop = an_organisation()
    assert (shop.organisation_id, shop.name) == (str(shop.id), "Shop")


def test_a_new_name_is_recorded_once() -> None:
    shop = (
        given(an_organisation())
        .when(lambda shop: shop.rename("Works"))
        .then((Organisation.Renamed, {"name": "Works"}))
    )
    given(shop).when(lambda shop: shop.rename(" Works ")).then_nothing()


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\tb"])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    given(an_organisation()).when(lambda shop: shop.rename(name)).then_refused(
        InvalidInputError, field="name"
    )


def test_admins_are_counted_once_each_and_the_last_one_stays() -> None:
    shop = (
        given(an_organisation())
        .when(lambda shop: shop.admit("ada"))
        .then((Organisation.AdminAdmitted, {"account_id": "ada"}))
    )
    given(shop).when(lambda shop: shop.admit("ada")).then_nothing()
    given(shop).when(lambda shop: shop.dismiss("ada")).then_refused(IllegalTransitionError)
    shop.admit("bea")
    given(shop).when(lambda shop: shop.dismiss("nobody")).then_nothing()
    given(shop).when(lambda shop: shop.dismiss("ada")).then(
        (Organisation.AdminDismissed, {"account_id": "ada"})
    )
    assert shop.admins == ["bea"]
