"""What a site's people agreed to share, seen at the hub: words, figures, or nothing; and the chain holds throughout."""

import sqlite3

from appliance.box import open_box
from appliance.config import Home
from appliance.exchange import Question
from tests.journeys.demo import ENGLISH
from tests.support.site import installed_demo, run


def test_only_what_was_agreed_when_it_was_written_reaches_the_hub(tmp_path):
    site = installed_demo(tmp_path)
    for share in ("text", "metrics", "nothing"):
        (site.home / "config.toml").write_text(f'[safety]\nshare = "{share}"\n')
        with open_box(Home(root=site.home)) as box:
            list(box.pipeline.ask(Question(text=f"{ENGLISH} {share}", lang="en")))
            stopped = box.pipeline.ask(Question(text=ENGLISH, lang="en"))
            next(stopped)
            stopped.close()
    token = run("fieldpost-hub", "enrol", "--data", site.hub, "--name", "s").stdout.split()[-1]
    run("fieldpost", "sync", "enrol", token, "--home", site.home)
    run("fieldpost", "sync", "export", "--stick", site.stick, "--home", site.home)
    run("fieldpost-hub", "import", site.stick, "--data", site.hub)

    with sqlite3.connect(site.hub / "hub.sqlite") as database:
        rows = database.execute("SELECT stream, seq, body FROM record ORDER BY stream, seq").fetchall()
    database.close()
    assert [(stream, seq, body is not None) for stream, seq, body in rows] == [
        ("chat", 1, True), ("chat", 2, False), ("chat", 3, False),
        ("metric", 1, True), ("metric", 2, True), ("metric", 3, False),
    ]  # fmt: skip
    shown = run("fieldpost", "log", "show", "--stream", "chat", "--home", site.home).stdout
    assert all(f"{ENGLISH} {share}" in shown for share in ("text", "metrics", "nothing")), "the box keeps everything"
    run("fieldpost", "log", "verify", "--home", site.home)
