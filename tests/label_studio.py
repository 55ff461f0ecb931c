"""A real Label Studio for tests that are marked `server`: one for all of them, also for all workers of xdist.

    @pytest.mark.server
    def test_it(studio_server):
        studio_server.url, studio_server.token, studio_server.email, studio_server.password, studio_server.users

WB_LABEL_STUDIO names an installed Label Studio; where it is not set, the product installs its own into the user's cache.
Accounts: the administrator, `anna` and `bert`. Tests make their own projects and must not stop this server.
"""

import os

import pytest
from filelock import FileLock


@pytest.fixture(scope="session")
def studio_server(tmp_path_factory):
    """The shared server: the first worker starts it, the last one to finish stops it."""
    from workbench.label_studio.server import start, stop

    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, guests = root / "studio", root / "studio-guests"
    mine = guests / str(os.getpid())
    with FileLock(root / "studio.lock"):
        guests.mkdir(exist_ok=True)
        mine.touch()
        local = start(folder, users=["anna", "bert"])
    yield local
    with FileLock(root / "studio.lock"):
        mine.unlink(missing_ok=True)
        if not guests.is_dir() or not any(guests.iterdir()):
            stop(folder)
