"""Print every route of the web app over HOME, Gradio's included: python -m tests.support.routes HOME

A process of its own, because Gradio leaves loops and sockets open where it is imported.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from appliance.accounts.people import People
from appliance.accounts.sessions import Sessions
from appliance.box import open_box
from appliance.config import Home
from appliance.web.app import inner_app
from appliance.web.door import Door
from appliance.web.gate import Streams


def routes_of(app: FastAPI, before: str = "") -> Iterator[str]:
    """Everything that the app, and what is mounted in it, answers to."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        inner = getattr(route, "app", None)
        if isinstance(inner, FastAPI):
            yield from routes_of(inner, before + route.path)
        else:
            path = before + (context.path or route.path)
            yield from (f"{method} {path}" for method in context.methods or ("GET",))


def main(home: str) -> None:
    place = Home(root=Path(home))
    with open_box(place) as box, People(place.accounts) as people:
        app = inner_app(box, people, Sessions(people), Streams(), door=Door("12345678"))
        print("\n".join(sorted(set(routes_of(app)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
