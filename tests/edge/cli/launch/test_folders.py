"""Root makes the installation's folders without being led astray by what somebody else has put there."""

import os
import stat
from pathlib import Path

import pytest

from skep.edge.cli.launch.folders import Place, PrepareError, prepare

pytestmark = pytest.mark.root


def facts(path):
    """Return owner, group and mode."""
    info = path.lstat()
    return info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)


def test_what_is_missing_is_made(tmp_path):
    """Folders and files get their owner and mode, and keep them; what belonged to another user is handed over."""
    wanted = (
        Place(path=str(tmp_path / "data"), mode=0o711),
        Place(path=str(tmp_path / "data/state"), mode=0o700, uid=12345, gid=12345),
        Place(path=str(tmp_path / "data/token"), mode=0o600, uid=12345, gid=12345, is_file=True),
    )
    (tmp_path / "data/state/logs").mkdir(parents=True)
    (tmp_path / "data/state/out").symlink_to("/etc/hostname")
    hostname = Path("/etc/hostname").stat().st_uid
    for _ in range(2):
        prepare(wanted)

    assert facts(tmp_path / "data") == (0, 0, 0o711)
    assert facts(tmp_path / "data/state") == (12345, 12345, 0o700)
    assert facts(tmp_path / "data/token") == (12345, 12345, 0o600)
    assert facts(tmp_path / "data/state/logs")[:2] == (12345, 12345)
    assert Path("/etc/hostname").stat().st_uid == hostname


@pytest.mark.parametrize("trap", ["link", "dangling", "second name", "fifo", "folder"])
def test_a_trap_in_place_of_a_file(tmp_path, trap):
    """Nothing outside is made, given away or opened to others by way of a file that is not what it seems."""
    outside, token = tmp_path / "outside", tmp_path / "token"
    if trap != "dangling":
        outside.write_text("root's")
        outside.chmod(0o600)
    if trap in ("link", "dangling"):
        token.symlink_to(outside)
    elif trap == "second name":
        os.link(outside, token)
    elif trap == "fifo":
        os.mkfifo(token)
    else:
        token.mkdir()
    with pytest.raises(PrepareError):
        prepare([Place(path=str(token), mode=0o644, uid=12345, gid=12345, is_file=True)])

    assert outside.exists() == (trap != "dangling")
    assert trap == "dangling" or facts(outside) == (0, 0, 0o600)


def test_a_link_in_place_of_a_folder(tmp_path):
    """A folder that is a link is refused, and where it leads stays whose it was."""
    (tmp_path / "outside").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to("outside")
    with pytest.raises(PrepareError):
        prepare([Place(path=str(tmp_path / "state"), mode=0o755, uid=12345, gid=12345)])

    assert facts(tmp_path / "outside") == (0, 0, 0o700)
