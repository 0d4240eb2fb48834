"""Tests of the administration area over HTTP: what a technician does there is done, and told."""

import re
import time

import pytest

from tests.support.people import token_in
from tests.support.scripted import eventually


def posted(client, page, action="", files=None, **fields):
    """Send a form of a page, with the token that stands in it."""
    return client.post(action or page, data={"token": token_in(client.get(page).text), **fields}, files=files)


@pytest.fixture
def admin(site):
    return site.role("admin")


def named(site, name):
    return next(person for person in site.people.all() if person.name == name)


def test_a_person_is_added_and_signs_in_with_what_was_shown_once(site, admin):
    name = f"Juma {time.monotonic_ns()}"
    shown = posted(admin, "/admin/people", name=name, role="worker", kind="pin").text
    pin = re.search(r'class="secret">(\d+)<', shown)[1]
    assert pin not in admin.get("/admin/people").text
    juma = site.signed_in(name, pin)
    assert juma.get("/me").status_code == 200
    page = f"/admin/people/{named(site, name).id}"
    posted(admin, page, act="shut-out")
    assert juma.get("/me").status_code == 401
    posted(admin, page, act="let-in")
    fresh = re.search(r'class="secret">(\d+)<', posted(admin, page, act="pin").text)[1]
    juma = site.signed_in(name, fresh)
    posted(admin, page, act="end")
    assert juma.get("/me").status_code == 401
    assert "supervisor" in posted(admin, page, act="role", role="supervisor").text.lower()
    assert "is removed" in posted(admin, page, act="remove").text
    assert name not in admin.get("/admin/people").text


def test_the_last_administrator_cannot_lock_everybody_out(site, admin):
    page = f"/admin/people/{named(site, 'admin').id}"
    for act in ("shut-out", "remove"):
        refused = posted(admin, page, act=act)
        assert refused.status_code == 422
        assert "only administrator" in refused.text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "admin", "role": "worker"}, "There is somebody called"),
        ({"name": " ", "role": "worker"}, "is no name"),
        ({"name": "X", "role": "emperor"}, "no such role"),
        ({"name": "X", "role": "admin", "kind": "pictures"}, "cannot sign in with pictures"),
    ],
)
def test_mistakes_are_told_on_the_page(admin, fields, words):
    refused = posted(admin, "/admin/people", **fields)
    assert refused.status_code == 422
    assert words in refused.text


def test_an_uploaded_document_answers_a_question_and_a_removed_one_does_not(site, admin):
    text = b"# Store\n\nThe soap is kept in the blue cupboard behind the school kitchen.\n"
    assert posted(admin, "/admin/documents", files={"file": ("store.md", text)}, lang="en").status_code == 303
    eventually(lambda: "store.md: done" in admin.get("/admin/documents").text, within_s=60)

    def answer():
        job = site.role("worker").post("/api/ask", json={"text": "Where is the soap kept?", "lang": "en"}).json()["id"]
        eventually(lambda: site.role("worker").get(f"/api/jobs/{job}").json()["state"] == "done")
        return site.role("worker").get(f"/api/jobs/{job}").json()["answer"]

    assert "blue cupboard" in answer()
    posted(admin, "/admin/documents", "/admin/documents/index")
    eventually(lambda: "index of all documents: done" in admin.get("/admin/documents").text, within_s=60)
    assert "blue cupboard" in answer()
    assert posted(admin, "/admin/documents", "/admin/documents/remove", name="store.md").status_code == 303
    assert "blue cupboard" not in answer()
    assert not list((site.place.home / "data" / "incoming").glob("*")), (
        "nothing of an upload is left beside the library"
    )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("evil.exe", b"MZ", "evil.exe"),
        ("../../../../etc/cron.d/evil.md", b"# no\n", "done"),
        ("scan.pdf", b"%PDF-1.4 broken", "scan.pdf"),
    ],
)
def test_a_hostile_upload_is_refused_in_words_or_kept_where_it_belongs(site, admin, name, content, words):
    posted(admin, "/admin/documents", files={"file": (name, content)})
    last = name.rpartition("/")[2]

    def settled():
        page = admin.get("/admin/documents").text
        return f"{last}:" in page and "<progress" not in page

    eventually(settled, within_s=60)
    assert words in admin.get("/admin/documents").text
    found = [path for path in site.place.home.rglob("*evil*") if "documents" not in path.parts]
    assert found == []


def test_a_key_is_shown_once_and_opens_the_api_until_it_is_revoked(site, admin):
    name = f"sheet{time.monotonic_ns()}"
    shown = posted(admin, "/admin/keys", name=name).text
    secret = re.search(r"<code>(fp-[^<]+)</code>", shown)[1]
    program = site.stranger()
    bearer = {"authorization": f"Bearer {secret}"}
    assert program.get("/v1/models", headers=bearer).status_code == 200
    posted(admin, "/admin/keys", "/admin/keys/revoke", name=name)
    assert program.get("/v1/models", headers=bearer).status_code == 401


def test_what_was_done_stands_in_the_audit_trail_by_name_there_and_by_id_in_the_log(site, admin):
    name = f"Wanjiru {time.monotonic_ns()}"
    posted(admin, "/admin/people", name=name, role="worker", kind="pictures")
    page = admin.get("/admin/audit").text
    assert 'Person added<p class="dim">person: ' + name in page
    assert "role: worker" in page
    assert "{" not in page.partition("<tbody>")[2]
    assert name in page
    log = b"".join(path.read_bytes() for path in (site.place.home / "data").glob("log.sqlite*"))
    assert name.encode() not in log


def test_the_box_its_hub_and_how_it_is_used_are_told(admin):
    front = admin.get("/admin").text
    for words in ("GiB free", "not enrolled", "Licence", "Put a stick in"):
        assert words in front
    use = admin.get("/admin/use").text
    assert "Questions a day" in use
    assert "<script" not in use


def test_a_stick_that_is_not_there_is_told_and_a_folder_is_none(site, admin, tmp_path):
    refused = posted(admin, "/admin/people", "/admin/stick", stick=str(tmp_path), act="backup")
    assert refused.status_code == 422
    assert "not there any more" in refused.text
    assert not list(tmp_path.iterdir())
