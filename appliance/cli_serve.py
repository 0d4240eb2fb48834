"""``fieldpost serve``: the page, the API and the search for the hub, until somebody ends it."""

import signal
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import click

from appliance.command import home_option
from appliance.config import Home


@click.command()
@home_option
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets phones on the Wi-Fi in.")
@click.option("--port", default=7860, show_default=True, type=click.IntRange(1, 65535))
def serve(home: Path, host: str, port: int) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    \b
    Only this machine:   fieldpost serve --home /srv/fieldpost
    Phones too:          fieldpost serve --home /srv/fieldpost --host 0.0.0.0
    With --host other than this machine, people sign in. The first administrator does so with the one-time code
    that this command prints while there is none.
    """
    from appliance.accounts.people import People
    from appliance.announce import NAME, announced
    from appliance.box import open_box
    from appliance.certificates import ready_certificates
    from appliance.metrics import addresses
    from appliance.serving import address, listen
    from appliance.serving import serve as serve_app
    from appliance.sync.background import Background
    from appliance.web.app import create_app, is_local, names
    from appliance.web.door import Door, load_or_make_code

    # uvicorn ends its work at these signals and then raises them again; the box is closed on the way out.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    place = Home(root=home)
    with listen(host, port) as listener, open_box(place) as box, People(place.accounts) as known:
        for problem in box.retriever.problems:
            click.echo(f"Note: {problem}", err=True)
        code, certificates = "", None
        if not is_local(host):
            code = load_or_make_code(place.data / "access-code")
            # The one that was asked for too: it may be of an interface that is not up yet.
            reachable = [*addresses(), "127.0.0.1", *([host] if host[0].isdigit() and host != "0.0.0.0" else [])]  # noqa: S104
            certificates = ready_certificates(place.certificates, names(), reachable, now=datetime.now(UTC))

        def announce() -> None:
            where = address(listener, scheme="https" if certificates and known.transport == "https" else "http")
            click.echo(f"Fieldpost is at {where}  (bundle {box.release.bundle} {box.release.version})")
            if host in ("0.0.0.0", "::"):  # noqa: S104
                for one in (f"{NAME}.local", *addresses()):
                    click.echo(f"For phones: http://{one}:{port}")
            if certificates and known.transport == "https":
                click.echo(f"Certificate: {certificates.fingerprint}")
            if code and known.entry == "code":
                click.echo(f"Access code: {code[:4]} {code[4:]}")
            if not known.has_admin():
                click.echo(f"First administrator: open /setup there and type {known.new_first_code()}")

        named = announced(NAME, port, addresses) if host in ("0.0.0.0", "::") else nullcontext()  # noqa: S104
        with named, Background(place, box.config.sync, box.log.append):
            app = create_app(box, known, door=Door(code) if code else None, certificates=certificates)
            serve_app(app, listener, announce, tls=certificates.context() if certificates else None)
