"""The story: one real model, from its publisher to one device, and what happens to those who should not have it."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import onnxruntime

import strongroom
from strongroom.cli.demo import inventory, refusals
from strongroom.cli.demo.measure import Score, Specimen, find_specimen, labelled_files, score
from strongroom.cli.demo.needles import Needles, needles_of, search, sharp
from strongroom.cli.demo.processes import DeviceProcess, Server, free_ports
from strongroom.cli.demo.scene import CHANNEL, MODEL, REFERENCE, VERSION, Scene
from strongroom.cli.demo.show import Report
from strongroom.cli.printing import size
from strongroom.operator import OfficeClient
from strongroom.sealed import Description
from strongroom.wire import trust as trust_of

HOST = "localhost"


def tell(root: Path, report: Report) -> None:
    """Tell the whole story under an empty directory; differences from what must happen are in the report.

    Raises:
        StrongroomError: something failed that the story does not know.
    """
    started = time.monotonic()
    scene, specimen, files = Scene.under(root), find_specimen(), labelled_files()
    report.say("strongroom: one model, from its publisher to one device")
    report.say(f"  model      {specimen.path.parent.name} of magika, ONNX, {size(specimen.size)}, Apache-2.0")
    report.say(f"  measured   {len(files)} files of this environment, labelled by their extension")
    report.say(f"  written    under {root}")

    report.head("The office")
    with ExitStack() as stack:
        server = stack.enter_context(_opened_office(scene, report))
        report.head("The publisher")
        needles = _publish(scene, server, specimen, report)
        report.head("The device, a process of its own")
        _deliver(scene, server, specimen, files, report)
        report.head("What lies where")
        report.lies(inventory.take(scene, specimen.size))
        report.head("Refused, really")
        outsider = _enrolling(scene, server, scene.mallory, "mallory")
        refusals.attempt(scene, REFERENCE, outsider, _enrolling(scene, server, scene.second, "ada"), report)
        server.stop()
        report.head("With the server stopped")
        with _timed() as clock:
            kept = scene.ada("has", reference=REFERENCE)
        report.check(holds=kept.get("opened") is True, otherwise="the device did not open its model offline")
        report.step("offline", "the device opens its model again, within its lease, from its own disk", clock())
    _look_everywhere(scene, needles, report)
    report.say()
    report.say(f"done in {time.monotonic() - started:.1f} s")


@contextmanager
def _opened_office(scene: Scene, report: Report) -> Iterator[Server]:
    device_port, admin_port = free_ports()
    with _timed() as clock:
        ports = ("--device-port", str(device_port), "--admin-port", str(admin_port))
        made = scene.strongroom("init", str(scene.office), "--host", HOST, *ports)
    report.step("init", "keys, database, folder store, own authority, owner key (hybrid, post-quantum)", clock())
    with _timed() as clock:
        server = Server(Path(made["config"]), scene.log, made["public_url"], made["admin_url"]).start()
    try:
        report.step("serve", f"{server.device_url} for devices, :{admin_port} for operators, TLS 1.3", clock())
        yield server
    finally:
        server.stop()


def _publish(scene: Scene, server: Server, specimen: Specimen, report: Report) -> Needles:
    """Protect in this process, as a trainer would, and return what must never be found again."""
    trust = trust_of.read((scene.office / "trust.json").read_bytes())
    owner = scene.office / "owner" / "owner.key"
    made = scene.strongroom("operator", "add", "trainer", "--role", "publisher")
    office = OfficeClient.connect(server.admin_url, token=made["token"], trust=trust, owner_keys=(owner,))
    description = Description(format="onnx", licence="Apache-2.0")
    with _timed() as clock:
        protected = strongroom.protect(
            specimen.path, name=MODEL, version=VERSION, out=scene.sealed, office=office, description=description
        )
    with protected:
        sealed = size(scene.sealed.stat().st_size)
        report.step("protect", f"sealed under a fresh key, signed by the owner: {sealed}", clock())
        needles = _needles(specimen, bytes(protected.key.reveal()), report)
        with _timed() as clock:
            protected.publish(channel=CHANNEL)
        report.step("publish", "key deposited, ciphertext uploaded, every segment checked by the office", clock())
    with _timed() as clock:
        scene.strongroom("account", "add", "ada")
        scene.strongroom("account", "add", "mallory")
        scene.strongroom("entitle", "ada", REFERENCE)
    report.step("entitle", f"account ada may have {REFERENCE}; account mallory exists, and may not", clock())
    return needles


def _deliver(scene: Scene, server: Server, specimen: Specimen, files: list[tuple[str, str]], report: Report) -> None:
    with _timed() as clock:
        (told,) = scene.ada.attempt(_enrolling(scene, server, scene.ada, "ada"))
    report.check(holds="device" in told, otherwise=f"enrolling failed: {told}")
    report.step("enrol", "device key proven, token bound to it; trust.json pins the server's key", clock())
    told = scene.ada("pull", reference=REFERENCE)
    asked, fetched = size(told["asked"]), size(told["fetched"])
    for verb, what in (
        ("request", f"challenge, ephemeral X-Wing key, proof by the device key: {asked}"),
        ("release", "entitlement checked, key sealed to this one request, grant and lease signed"),
        ("fetch", f"head part first, then segments: {fetched} of ciphertext by a 300 s link"),
        ("re-seal", "each segment verified, opened, sealed again under a fresh local key"),
    ):
        report.step(verb, what, told[verb])
    _run(scene, specimen, files, report)


def _run(scene: Scene, specimen: Specimen, files: list[tuple[str, str]], report: Report) -> None:
    """Run the model on the device and in plaintext here, over the same files."""
    ran = scene.ada("run", reference=REFERENCE, files=files, labels=specimen.labels)
    report.check(holds=ran["wiped"] is True, otherwise="the plaintext stayed readable after its block")
    memory = size(ran["memory"])
    report.step("open", f"owner, subject and content verified again; {memory} in one private buffer", ran["open"])
    report.step("run", f"an onnxruntime.InferenceSession over it, {len(files)} files; then it is wiped", ran["run"])

    report.head(f"Accuracy on n = {len(files)} labelled files")
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    plain = score(onnxruntime.InferenceSession(specimen.path.read_bytes(), options), files, specimen.labels)
    through = Score(**ran["score"])
    report.measured("in plaintext", plain)
    report.measured("through strongroom", through)
    report.say("  every single answer is the same" if plain == through else "  THE ANSWERS DIFFER")
    report.check(holds=plain == through, otherwise="the model answers differently through strongroom")


def _enrolling(scene: Scene, server: Server, device: DeviceProcess, user: str) -> dict[str, object]:
    """Issue a token to a user, hand over trust.json, and return what the device has to do."""
    token = scene.strongroom("token", "issue", "--user", user)["token"]
    trust = device.home.parent / f"{device.home.name}.trust.json"
    shutil.copyfile(scene.office / "trust.json", trust)
    return {"do": "enrol", "url": server.device_url, "token": token, "trust": str(trust)}


def _look_everywhere(scene: Scene, needles: Needles, report: Report) -> None:
    report.head("Everything the demo wrote, searched")
    found = search(scene.root, needles)
    report.searched = found
    pieces = f"{len(needles.model)} samples of the model and {len(needles.key)} spellings of its key"
    report.say(f"  {pieces} in {found.files} files, {size(found.size)}: {len(found.hits)} found")
    report.check(holds=not found.hits, otherwise=f"plaintext or key found in {', '.join(found.hits)}")


def _needles(specimen: Specimen, key: bytes, report: Report) -> Needles:
    model = specimen.path.read_bytes()
    needles = needles_of(model, key)
    report.check(holds=sharp(model, key, needles), otherwise="the search cannot find what is there")
    return needles


@contextmanager
def _timed() -> Iterator[Callable[[], float]]:
    """Give a function that says how many seconds the block took, or takes so far."""
    started, ended = time.monotonic(), 0.0
    yield lambda: (ended or time.monotonic()) - started
    ended = time.monotonic()
