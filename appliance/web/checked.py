"""Every form of ours that changes something: it must carry the token that its visitor's cookie makes.

A page elsewhere can make a browser send a form with its cookie, where the browser is old; it cannot know the token.
"""

from typing import Annotated

from fastapi import Form, HTTPException, Request

from appliance.web import identity
from appliance.web.identity import Identity


def checked(request: Request, token: Annotated[str, Form(max_length=64)] = "") -> None:
    """A dependency of every route that takes a form.

    Raises:
        HTTPException: 403, the form was not ours, or is from before a sign-in.
    """
    if not identity.form_fits(identity.of(request), token):
        raise HTTPException(403, "This form is out of date. Go back, reload the page and send it again.")


def with_token(request: Request) -> tuple[Identity, str | None]:
    """The visitor with a token to put into a form, and a new cookie to be set for it where there is none yet."""
    visitor = identity.of(request)
    if visitor.form_token:
        return visitor, None
    secret = identity.new_secret()
    return identity.with_form(visitor, secret), secret
