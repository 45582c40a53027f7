"""The document says what there is, in the words of OpenAPI 3.1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from guardian.admin.message import Role
from guardian.admin.openapi import document
from guardian.admin.routes import all_routes
from tests.support.admin_port import ask, serving
from tests.support.operable import FakeProxy

# Of the OpenAPI initiative: https://spec.openapis.org/oas/3.1/schema/2022-10-07, Apache-2.0.
OPENAPI = json.loads((Path(__file__).parents[2] / "vectors" / "openapi-3.1.schema.json").read_text())
ROUTES = all_routes(FakeProxy(), "1.2.3")


async def test_it_is_served_and_valid() -> None:
    async with serving() as bound:
        answer = await ask(bound, "GET", "/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    Draft202012Validator(OPENAPI).validate(answer.json)
    assert answer.json["info"]["title"] == "Guardian"


def test_every_route_is_in_it_with_its_role_and_nothing_else_is() -> None:
    made = document(ROUTES, "1")
    found = {(path, method) for path, item in made["paths"].items() for method in item}
    assert found == {(route.plain_path, route.method.lower()) for route in ROUTES}
    for route in ROUTES:
        operation = made["paths"][route.plain_path][route.method.lower()]
        assert operation["x-role"] == route.role.name.lower()
        assert (operation["security"] == []) is (route.role is Role.OPEN)
        assert {each["name"] for each in operation.get("parameters", ())} == {*route.named_parts, *route.query}
    json.dumps(made)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/status", "/learning"])
async def test_answers_are_as_it_says(path: str) -> None:
    async with serving() as bound:
        answer = await ask(bound, "GET", path)
        made: Any = (await ask(bound, "GET", "/openapi.json")).json
    schema = made["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    Draft202012Validator(schema).validate(answer.json)


async def test_refusals_are_as_it_says() -> None:
    async with serving() as bound:
        refused = await ask(bound, "POST", "/groups/none/devices/none/drain")
        made: Any = (await ask(bound, "GET", "/openapi.json")).json
    operation = made["paths"]["/groups/{group}/devices/{device}/{will}"]["post"]
    assert "404" in operation["responses"]
    Draft202012Validator(made["components"]["schemas"]["Error"]).validate(refused.json)
