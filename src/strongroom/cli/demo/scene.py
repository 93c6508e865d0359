"""Where the story plays: directories and processes."""

from dataclasses import dataclass
from pathlib import Path

from strongroom.cli.demo.processes import Command, DeviceProcess

MODEL, VERSION, CHANNEL = "file-types", "3.3", "stable"
REFERENCE = f"{MODEL}@{CHANNEL}"


@dataclass(frozen=True, slots=True)
class Scene:
    """Where the story plays. Everything the demo writes is under `root`."""

    root: Path
    ada: DeviceProcess
    second: DeviceProcess  # of the same account
    mallory: DeviceProcess  # of another account
    strongroom: Command

    @classmethod
    def under(cls, root: Path) -> "Scene":
        """Lay out the places under a directory."""
        devices = root / "devices"
        for place in (root / "desk", devices / "ada", devices / "ada-second", devices / "mallory"):
            place.mkdir(parents=True, mode=0o700)
        ada, second, mallory = (DeviceProcess(devices / name) for name in ("ada", "ada-second", "mallory"))
        return cls(root, ada, second, mallory, Command(root / "office"))

    @property
    def office(self) -> Path:
        return self.root / "office"

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    @property
    def sealed(self) -> Path:
        return self.root / "desk" / f"{MODEL}-{VERSION}.srm"

    @property
    def objects(self) -> list[Path]:
        """The bucket's objects."""
        return sorted(path for path in (self.office / "objects").iterdir() if path.is_file())
