"""The local Label Studio: started, found again, stopped; installed once; secrets kept to their file."""

import json
from urllib.request import Request, urlopen

import pytest


@pytest.mark.server
def test_the_shared_server_knows_its_token_and_its_people(studio_server):
    request = Request(
        f"{studio_server.url}/api/current-user/whoami", headers={"Authorization": f"Token {studio_server.token}"}
    )
    with urlopen(request) as answer:
        assert json.load(answer)["email"] == studio_server.email
    assert set(studio_server.users) == {"anna@localhost", "bert@localhost"}
