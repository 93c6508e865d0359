"""C03: the disk says once that it could not make something durable, and from then on that all is well."""

import shutil
from pathlib import Path

import pytest

from crash import acts
from rooms.edge.recorded_disk import Disk, Image, write_image
from strongroom.errors import StrongroomError


def looked(made: acts.Scene, image: Image, home: Path) -> str:
    write_image(image, home)
    try:
        return made.act.look(made.device(home))
    finally:
        shutil.rmtree(home)


@pytest.mark.slow
@pytest.mark.parametrize("act", acts.ACTS[1:], ids=lambda act: act.name)
def test_a_sync_that_failed_is_never_taken_back(tmp_path, monkeypatch, act):
    """C03: fsync fails, each in turn: what was acknowledged all the same is in every image that is left; else typed."""
    first = acts.scene(act, tmp_path / "first")
    pending = list(first.office.pending)
    seen, at, acknowledged = set(), 0, 0
    while True:
        at += 1
        home = tmp_path / "device"
        acts.copy(first, home)
        first.office.pending = list(pending)
        device, count = first.device(home), 0
        with monkeypatch.context() as patch, acts.in_order():
            disk = Disk(patch, home)

            def breaks(call: str, name: str, at: int = at) -> bool:
                nonlocal count
                count += 1
                return count == at

            disk.breaks, disk.on = breaks, True
            try:
                act.do(device)
                done = True
            except StrongroomError as error:
                assert error.next_step  # noqa: PT017 - refused or not, both are judged
                done = False
            disk.on = False
            left = sorted(disk.now_left())
        found = {looked(first, image, tmp_path / "after") for image in (left if done else left[:: len(left) // 4 + 1])}
        assert found <= ({acts.AFTER} if done else {acts.BEFORE, acts.AFTER})
        seen |= found
        acknowledged += done and count >= at
        shutil.rmtree(home)
        if count < at:
            break
    assert acts.AFTER in seen
    assert at > 5
    print(f"{act.name}: {at - 1} syncs failed in turn, acknowledged all the same: {acknowledged}")  # noqa: T201 - how much was tried is a result
