"""A question asked while the hub is away reaches it exactly once, whichever ways it travels; and carries no names."""

from tests.journeys.demo import EMAIL, SWAHILI, TELEPHONE
from tests.support.site import files_holding, free_port, installed_demo, run, serving


def test_a_question_reaches_the_hub_exactly_once_and_without_names(tmp_path):
    site = installed_demo(tmp_path)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with serving("fieldpost-hub", "--data", site.hub, port=port):
        token = run("fieldpost-hub", "enrol", "--data", site.hub, "--name", "s", "--url", url).stdout.split()[-1]
        run("fieldpost", "sync", "enrol", token, "--home", site.home)
        site.ask("For how long must the water boil?")
        site.sync()
        assert site.hub_status()["records"]["chat"] == 1

    asked = site.ask(f"{SWAHILI} {TELEPHONE} {EMAIL}", "--lang", "sw")
    refused = run("fieldpost", "sync", "run", "--home", site.home, check=False)
    assert refused.returncode == 1
    assert url in refused.stderr

    run("fieldpost", "sync", "export", "--stick", site.stick, "--home", site.home)
    with serving("fieldpost-hub", "--data", site.hub, port=port):
        site.sync()
        assert site.hub_status()["records"]["chat"] == 2
    run("fieldpost-hub", "import", site.stick, "--data", site.hub)
    assert site.hub_status()["records"]["chat"] == 2
    run("fieldpost", "sync", "import", "--stick", site.stick, "--home", site.home)
    run("fieldpost", "log", "verify", "--home", site.home)

    assert TELEPHONE in asked["question"], "the person sees what they asked"
    for needle in (TELEPHONE, TELEPHONE.replace(" ", ""), EMAIL, EMAIL.partition("@")[0]):
        for place in (site.home, site.hub, site.stick):
            assert files_holding(place, needle) == []
