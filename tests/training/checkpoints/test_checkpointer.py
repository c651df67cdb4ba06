"""What is resumed is what was saved and signed, and nothing else is ever opened."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interlock.gate import InterlockError, SignatureError, SubjectError, UnavailableError, UsageError
from interlock.gate.settings import Settings
from interlock.training.checkpoints import Checkpoint, LineageKey, SafeCheckpointer, lineage_key, store, tensorfile

KEY = LineageKey(secret=bytes(range(32)))
OTHER = LineageKey(secret=bytes(32))


def model(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 2))


def digest(module: torch.nn.Module) -> str:
    found = sha256()
    for name, tensor in module.state_dict().items():
        found.update(name.encode() + tensor.numpy().tobytes())
    return found.hexdigest()


def train(module: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        rows = torch.randn(6, 4)

        def loss(rows: torch.Tensor = rows) -> torch.Tensor:
            optimizer.zero_grad()
            found: torch.Tensor = module(rows).square().sum()
            found.backward()  # type: ignore[no-untyped-call]
            return found

        optimizer.step(loss)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture(params=[False, True], ids=["plain", "sealed"])
def saved(folder: Path, request: pytest.FixtureRequest) -> SafeCheckpointer:
    keeper = SafeCheckpointer(folder, key=KEY, seal=request.param, keep=3)
    for step in (1, 2):
        keeper.save(step, model=model(step), note=f"step {step}")
    return keeper


def newest(folder: Path) -> Path:
    return store.complete(folder)[0]


OPTIMIZERS: list[Callable[[Any], torch.optim.Optimizer]] = [
    lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    lambda p: torch.optim.Adam(p, amsgrad=True),
    lambda p: torch.optim.AdamW(p, lr=torch.tensor(0.01), foreach=False),
    torch.optim.Adamax,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.Adagrad,
    torch.optim.Adadelta,
    torch.optim.Adafactor,
    lambda p: torch.optim.RMSprop(p, momentum=0.5, centered=True),
    torch.optim.Rprop,
    torch.optim.ASGD,
    lambda p: torch.optim.LBFGS(p, max_iter=3),
]


@pytest.mark.parametrize("make", OPTIMIZERS, ids=lambda make: type(make([torch.nn.Parameter(torch.ones(1))])).__name__)
def test_each_optimizer_of_torch_goes_on_to_the_same_weights(
    folder: Path, make: Callable[[Any], torch.optim.Optimizer]
) -> None:
    one = model()
    optimizer = make(one.parameters())
    train(one, optimizer, 3)
    SafeCheckpointer(folder, key=KEY).save(3, model=one, optimizer=optimizer)
    train(one, optimizer, 3)

    again = model(seed=9)
    resumed = make(again.parameters())
    assert SafeCheckpointer(folder, key=KEY).resume(model=again, optimizer=resumed) == 3
    train(again, resumed, 3)
    assert digest(again) == digest(one)


SCHEDULERS: list[Callable[[torch.optim.Optimizer], Any]] = [
    lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [2, 4]),
    lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 2),
    lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.3, total_steps=9),
    lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
]


@pytest.mark.parametrize("make", SCHEDULERS, ids=["multi-step", "warm restarts", "one cycle", "exponential"])
def test_each_scheduler_goes_on_with_the_same_rate(folder: Path, make: Callable[[torch.optim.Optimizer], Any]) -> None:
    def run(steps: int, optimizer: torch.optim.Optimizer, scheduler: Any) -> list[float]:
        rates = []
        for _ in range(steps):
            optimizer.step()
            scheduler.step()
            rates.append(optimizer.param_groups[0]["lr"])
        return rates

    parts = []
    for _ in range(2):
        optimizer = torch.optim.SGD(model().parameters(), lr=0.1)
        parts.append((optimizer, make(optimizer)))
    run(3, *parts[0])
    SafeCheckpointer(folder, key=KEY).save(3, optimizer=parts[0][0], scheduler=parts[0][1])
    SafeCheckpointer(folder, key=KEY).resume(optimizer=parts[1][0], scheduler=parts[1][1])
    assert run(4, *parts[1]) == run(4, *parts[0])


def test_random_generators_go_on_where_they_were(folder: Path) -> None:
    own: dict[str, Any] = {"loader": torch.Generator(), "rows": np.random.default_rng(5), "words": random.Random(5)}

    def draw() -> list[object]:
        rows: Any = own["rows"]
        words: Any = own["words"]
        loader: Any = own["loader"]
        return [
            random.random(), float(np.random.rand()), torch.rand(2).tolist(), torch.rand(2, generator=loader).tolist(),
            float(rows.random()), words.random(),
        ]  # fmt: skip

    keeper = SafeCheckpointer(folder, key=KEY)
    keeper.save(0, **own)
    first = draw()
    keeper.resume(**own)
    assert draw() == first


def test_a_tied_model_is_read_by_the_library_and_by_us(folder: Path) -> None:
    import safetensors.torch

    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = torch.nn.Linear(4, 4)
            self.other = torch.nn.Linear(4, 4)
            self.other.weight = self.one.weight

    tied, again, library = Tied(), Tied(), Tied()
    SafeCheckpointer(folder, key=KEY).save(1, model=tied)
    SafeCheckpointer(folder, key=KEY).resume(model=again)
    assert digest(again) == digest(tied)
    missing, unexpected = safetensors.torch.load_model(library, newest(folder) / "model.safetensors")
    assert not missing
    assert not unexpected
    assert digest(library) == digest(tied)


def test_nothing_there_is_no_step_and_changes_nothing(folder: Path) -> None:
    one = model()
    before = digest(one)
    assert SafeCheckpointer(folder, key=KEY).resume(model=one) is None
    assert SafeCheckpointer(folder, key=KEY).latest() is None
    assert digest(one) == before


def test_plain_values_are_found_after_a_resume(saved: SafeCheckpointer, folder: Path) -> None:
    keeper = SafeCheckpointer(folder, key=KEY)
    assert keeper.resume(model=model()) == 2
    assert keeper.values == {"note": "step 2"}


def test_only_the_newest_are_kept_and_each_names_its_parent(folder: Path) -> None:
    keeper = SafeCheckpointer(folder, key=KEY, keep=2)
    made = [keeper.save(step, note=step) for step in (1, 2, 2)]
    assert [path.name for path in store.complete(folder)] == ["00000003-step-2", "00000002-step-2"]
    chain = [one.manifest.parent for one in made if one is not None]
    assert chain == ["", *(one.digest for one in made[:2] if one is not None)]
    resumed = SafeCheckpointer(folder, key=KEY)
    resumed.resume()
    after = resumed.save(3, note=3)
    assert after is not None
    assert made[2] is not None
    assert after.manifest.parent == made[2].digest


Damage = Callable[[Path], object]


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def _file(place: Path) -> Path:
    return next(iter(sorted(place.glob("model.safetensors*"))))


def _from_before(place: Path) -> None:
    older = store.complete(place.parent)[1]
    shutil.copy(_file(older), _file(place))


def _renamed_old(place: Path) -> None:
    shutil.copytree(store.complete(place.parent)[1], place.with_name("00000099-step-99"))


def _signed_by_another(place: Path) -> None:
    elsewhere = place.parent.with_name("elsewhere")
    keeper = SafeCheckpointer(elsewhere, key=OTHER)
    for step in (1, 2):
        keeper.save(step, model=model(7), note="forged")
    shutil.rmtree(place)
    shutil.copytree(elsewhere / place.name, place)


def _other_manifest(place: Path) -> None:
    document = json.loads((place / "manifest.json").read_bytes())
    for file in document["files"]:
        if file["name"].startswith("model"):
            _flip(place / file["name"], -1)
            file["sha256"] = sha256((place / file["name"]).read_bytes()).hexdigest()
    (place / "manifest.json").write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))


def _link(place: Path) -> None:
    real = place.parent.with_name("real")
    shutil.move(_file(place), real)
    place.joinpath(_file(store.complete(place.parent)[1]).name).symlink_to(real)


def _fifo(place: Path) -> None:
    target = _file(place)
    target.unlink()
    os.mkfifo(target)


def _becomes_a_file(place: Path) -> None:
    shutil.rmtree(place)
    place.write_text("")


def _becomes_a_link(place: Path) -> None:
    real = place.parent.with_name("real")
    shutil.move(place, real)
    place.symlink_to(real)


def _unsigned(place: Path) -> None:
    envelope = json.loads((place / "manifest.dsse.json").read_bytes())
    envelope["signatures"] = []
    (place / "manifest.dsse.json").write_text(json.dumps(envelope))


DAMAGES: list[tuple[str, Damage]] = [
    ("a bit of the weights", lambda place: _flip(_file(place), -1)),
    ("a bit of the state", lambda place: _flip(next(iter(place.glob("state.json*"))), 40)),
    ("a bit of the manifest", lambda place: _flip(place / "manifest.json", 30)),
    ("a bit of the signature", lambda place: _flip(place / "manifest.dsse.json", 60)),
    ("weights cut off", lambda place: os.truncate(_file(place), 100)),
    ("weights gone", lambda place: _file(place).unlink()),
    ("manifest gone", lambda place: (place / "manifest.json").unlink()),
    ("no signatures", _unsigned),
    ("a file more", lambda place: (place / "model.pkl").write_bytes(b"\x80\x04.")),
    ("weights of the checkpoint before", _from_before),
    ("an old checkpoint under a newer name", _renamed_old),
    ("signed by another lineage", _signed_by_another),
    ("manifest and weights changed, old signature", _other_manifest),
    ("weights are a link", _link),
    ("weights are a FIFO", _fifo),
    ("folder is a file", _becomes_a_file),
    ("folder is a link", _becomes_a_link),
    ("huge manifest", lambda place: os.truncate(place / "manifest.json", 1 << 30)),
]


@pytest.mark.parametrize("damage", [damage for _, damage in DAMAGES], ids=[name for name, _ in DAMAGES])
def test_a_damaged_newest_checkpoint_is_refused_before_a_tensor_is_made(
    saved: SafeCheckpointer, folder: Path, damage: Damage, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(newest(folder))
    made: list[str] = []
    monkeypatch.setattr(tensorfile.TensorFile, "__init__", lambda *_a, **_k: made.append("tensors"))
    one = model()
    before, drawn = digest(one), torch.get_rng_state()
    with pytest.raises((SubjectError, SignatureError)) as refused:
        SafeCheckpointer(folder, key=KEY).resume(model=one)
    assert newest(folder).name in str(refused.value)
    assert not made
    assert digest(one) == before
    assert torch.equal(torch.get_rng_state(), drawn)


@pytest.mark.parametrize("damage", [damage for _, damage in DAMAGES], ids=[name for name, _ in DAMAGES])
def test_the_one_before_is_used_where_that_is_allowed_and_it_is_said(
    saved: SafeCheckpointer, folder: Path, damage: Damage, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(newest(folder))
    name = newest(folder).name
    keeper = SafeCheckpointer(folder, key=KEY)
    one = model()
    assert keeper.resume(model=one, allow_previous=True) == (2 if name.endswith("99") else 1)
    assert f"interlock: {name} is not used" in capsys.readouterr().err


def test_when_all_are_damaged_the_newest_is_named(saved: SafeCheckpointer, folder: Path) -> None:
    for place in store.complete(folder):
        _flip(place / "manifest.json", 30)
    with pytest.raises(SignatureError, match="00000002"):
        SafeCheckpointer(folder, key=KEY).resume(model=model(), allow_previous=True)


def test_bytes_that_change_after_they_were_verified_are_not_the_ones_that_are_used(
    saved: SafeCheckpointer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store.read

    def read_then_overwrite(place: Path, key: LineageKey) -> tuple[Checkpoint, dict[str, Any]]:
        found = real(place, key)
        for path in place.iterdir():
            path.write_bytes(bytes(path.stat().st_size))
        return found

    monkeypatch.setattr(store, "read", read_then_overwrite)
    one = model()
    SafeCheckpointer(folder, key=KEY).resume(model=one)
    assert digest(one) == digest(model(2))


def test_a_full_disk_leaves_the_checkpoints_before_as_they_were(
    saved: SafeCheckpointer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(path.name for path in folder.iterdir())

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(UnavailableError, match="No space left"):
            saved.save(3, model=model())
    assert sorted(path.name for path in folder.iterdir()) == before
    assert saved.resume(model=model()) == 2


def test_every_byte_is_on_the_disk_before_the_name_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[tuple[str, str]] = []
    real_sync, real_rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        order.append(("sync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        real_sync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        order.append(("rename", str(self)))
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    saved = SafeCheckpointer(folder, key=KEY).save(1, model=model())
    assert saved is not None
    writing = next(path for what, path in order if what == "rename")
    before = [path for what, path in order[: order.index(("rename", writing))] if what == "sync"]
    assert set(before) == {writing, *(f"{writing}/{path.name}" for path in saved.place.iterdir())}
    assert before[-1] == writing
    assert order[-1] == ("sync", str(folder))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        pytest.param({}, "would be left out", id="an item is forgotten"),
        pytest.param({"model": torch.nn.Linear(2, 2)}, "does not take the state", id="another model"),
        pytest.param({"net": torch.nn.Linear(2, 2)}, "holds no 'net'", id="another name"),
        pytest.param({"Model": torch.nn.Linear(2, 2)}, "another name", id="a name that no file has"),
    ],
)
def test_items_that_do_not_fit_are_refused(saved: SafeCheckpointer, items: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        saved.resume(**items)


def test_a_part_is_read_alone_where_that_is_said(saved: SafeCheckpointer) -> None:
    state = torch.get_rng_state()
    assert saved.resume(allow_partial=True) == 2
    assert torch.equal(torch.get_rng_state(), state)


def test_what_cannot_be_held_leaves_no_checkpoint(folder: Path) -> None:
    with pytest.raises(UsageError, match="note/f"):
        SafeCheckpointer(folder, key=KEY).save(1, note={"f": print})
    assert not store.complete(folder)


@pytest.mark.parametrize("step", [-1, True, 1.0, "1", 10**18])
def test_a_step_is_a_whole_number(folder: Path, step: Any) -> None:
    with pytest.raises(UsageError, match="whole number"):
        SafeCheckpointer(folder, key=KEY).save(step)


def test_without_a_folder_or_a_key_it_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTERLOCK_CHECKPOINTS", raising=False)
    with pytest.raises(UsageError, match="no folder for checkpoints"):
        SafeCheckpointer(key=KEY)
    with pytest.raises(UsageError, match="no key"):
        SafeCheckpointer(folder)
    with pytest.raises(UsageError, match="at least one"):
        SafeCheckpointer(folder, key=KEY, keep=0)


def test_the_weights_of_a_sealed_checkpoint_cannot_be_found_on_the_disk(folder: Path) -> None:
    secret = torch.nn.Linear(64, 64)
    SafeCheckpointer(folder, key=KEY, seal=True).save(1, model=secret)
    needle = secret.weight.detach().numpy().tobytes()[:32]
    assert all(needle not in path.read_bytes() for path in newest(folder).iterdir())


def test_each_lineage_has_a_key_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    settings = Settings.load({"INTERLOCK_HOME": str(tmp_path)}, system_file=tmp_path / "none")
    one, other = lineage_key(settings, "s3://models/a"), lineage_key(settings, "s3://models/b")
    assert one.secret != other.secret
    assert lineage_key(settings, "s3://models/a").secret == one.secret
    assert repr(one) == "LineageKey()"
    assert (tmp_path / "keys" / "checkpoints.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda path: path.chmod(0o644), "others can read", id="readable by others"),
        pytest.param(lambda path: path.write_bytes(b"short"), "damaged", id="cut off"),
    ],
)
def test_a_master_key_that_cannot_be_trusted_is_refused(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    settings = Settings.load({"INTERLOCK_HOME": str(tmp_path)}, system_file=tmp_path / "none")
    lineage_key(settings, "a")
    spoil(tmp_path / "keys" / "checkpoints.key")
    with pytest.raises(InterlockError, match=message):
        lineage_key(settings, "a")


def test_openssl_verifies_the_signature_without_interlock(
    saved: SafeCheckpointer, folder: Path, tmp_path: Path
) -> None:
    import base64
    import subprocess

    envelope = json.loads((newest(folder) / "manifest.dsse.json").read_bytes())
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    (tmp_path / "pae").write_bytes(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload))
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    (tmp_path / "key.pem").write_text(KEY.signer.public_pem)
    words = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "pae", "-sigfile", "sig"]
    assert subprocess.run(words, cwd=tmp_path, check=False, capture_output=True).returncode == 0
    assert (
        json.loads(payload)["subject"][0]["digest"]["sha256"]
        == sha256((newest(folder) / "manifest.json").read_bytes()).hexdigest()
    )
