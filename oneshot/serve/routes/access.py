"""Who may use a route."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from oneshot.serve.door import unknown_caller
from oneshot.serve.keys import Caller, Role
from oneshot.serve.problems import Problem, responses

BEARER = HTTPBearer(auto_error=False, scheme_name="key", description="A key that `oneshot key` made.")
"""For the OpenAPI description; the door has checked the key already."""

REFUSED = responses(400, 401, 403, 408, 413, 429, 500, 503, 504)
"""What every route that needs a key may answer."""


def needs(role: Role) -> Callable[..., Caller]:
    """A dependency that gives the caller, if they have this role."""

    def check(
        request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)]
    ) -> Caller:
        caller: Caller | None = request.state.caller
        if caller is None:
            raise unknown_caller()
        if not caller.may(role):
            raise Problem(403, f"this key has the role {caller.role}; use one with the role {role}")
        return caller

    return check


Reader: Any = Depends(needs("read"))
Writer = Annotated[Caller, Depends(needs("write"))]
