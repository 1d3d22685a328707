"""What OpenAPI allows, and what it does not, is answered as OpenAPI says, never by a fault."""

from contextlib import suppress

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks
from serving import EILEEN, Running, images

CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


def test_requests_made_from_the_description_are_answered_as_it_says(
    running: Running, photos: dict[str, bytes]
) -> None:
    with running.client() as client:
        client.post("/v1/people", data={"name": EILEEN}, files=images(photos[EILEEN]))
    schema = schemathesis.openapi.from_url(f"{running.address}/openapi.json")
    key = {"Authorization": f"Bearer {running.write}"}
    asked = 0
    for found in schema.get_all_operations():
        for mode in GenerationMode:

            @settings(max_examples=10, suppress_health_check=list(HealthCheck))
            @given(case=found.ok().as_strategy(generation_mode=mode))
            def ask(case: Case) -> None:
                nonlocal asked
                asked += 1
                case.call_and_validate(headers=key, checks=CHECKS)

            with suppress(Unsatisfiable):  # where nothing is asked for, nothing can be wrong
                ask()
    assert asked > 200
