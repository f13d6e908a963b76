"""Read the zip that ``model.save`` writes: its JSON and its weights, but no pickle.

A value of ``data`` that JSON cannot hold is stored as base64 of a pickle under ``:serialized:``,
beside the plain text of its attributes. The pickle is never read; the text is often enough.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from sb3_explain.agents.loading.weights import Weights, read_weights
from sb3_explain.agents.loading.zip_files import open_zip, read_member
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import (
    one_line,
    parse_json,
    quote,
    require_regular_file,
    require_within_limit,
)

#: members that are read, and the share of the limit of bytes that each may have: JSON takes more
#: memory than it has bytes
SHARES = {"data": 1 / 4, "policy.pth": 1.0, "_stable_baselines3_version": 1 / 4}
#: the whole zip as a multiple of the limit: it also holds the optimizers' moments
WHOLE = 8.0
MAX_MEMBERS = 1000
#: weights hardly compress, JSON with base64 in it at most tenfold, zeros a thousandfold
MAX_RATIO = 100
#: members below this size, in bytes, may have any compression ratio
SMALL = 2**20


@dataclasses.dataclass(frozen=True)
class ModelArchive:
    """The content of a model's zip.

    :param data: JSON of the algorithm's attributes, with pickles as opaque text
    :param weights: state dict of the policy, on the CPU
    :param version: version of stable-baselines3 that saved the model, if the zip names it
    :param sha256: SHA-256 of the file
    """

    data: dict[str, Any]
    weights: Weights
    version: str | None
    sha256: str

    @property
    def policy_module(self) -> str:
        """Dotted name of the module of the policy's class; empty if the zip does not name it."""
        policy_class = self.data.get("policy_class")
        module = policy_class.get("__module__") if isinstance(policy_class, dict) else None
        return module if isinstance(module, str) else ""

    @property
    def policy_name(self) -> str:
        """Name of the policy's class, from the text of its methods; empty if it has no own ones."""
        policy_class = self.data.get("policy_class")
        texts = policy_class.values() if isinstance(policy_class, dict) else ()
        for text in texts:
            match = re.match(r"<function (\w{1,100})\.\w+ at 0x", text) if _is_text(text) else None
            if match:
                return match[1]
        return ""


def read_archive(path: Path) -> ModelArchive:
    """Read a zip that ``model.save`` wrote, without running anything in it.

    :param path: path of the zip
    :raises ExplainError: if the zip is damaged, too large or ambiguous, or holds weights that are
        not finite numbers
    """
    require_within_limit(require_regular_file(path), path.name, share=WHOLE)
    try:
        with path.open("rb") as file, open_zip(file, path.name) as archive:
            _check_members(archive, path.name)
            data = parse_json(_read_member(archive, "data", path.name), f"'data' in {path.name}")
            if not isinstance(data, dict):
                raise ExplainError(f"'data' in {path.name} is not a JSON object")
            weights = read_weights(
                _read_member(archive, "policy.pth", path.name), f"'policy.pth' in {path.name}"
            )
            # torch.compile puts the module that it is given into another one, under this name
            weights = {name.replace("_orig_mod.", ""): held for name, held in weights.items()}
            version = None
            if "_stable_baselines3_version" in archive.namelist():
                text = _read_member(archive, "_stable_baselines3_version", path.name)
                match = re.fullmatch(rb"\s*([\w.+-]{1,40})\s*", text)
                version = match[1].decode("ascii", "replace") if match else None
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ExplainError(f"{path.name} cannot be read ({one_line(error)})") from error
    return ModelArchive(data, weights, version, sha256)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _check_members(archive: zipfile.ZipFile, name: str) -> None:
    """Refuse an archive that ``model.save`` cannot have written; nothing is extracted anyway."""
    members = archive.namelist()
    if len(members) > MAX_MEMBERS or len(set(members)) != len(members):
        raise ExplainError(f"{name} holds too many members, or one twice: it is no saved model")
    for member in members:
        path = PurePosixPath(member.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", member):
            raise ExplainError(
                f"{name} holds {quote(member)}, outside of the archive: it is no saved model"
            )


def _read_member(archive: zipfile.ZipFile, member: str, name: str) -> bytearray:
    """The bytes of a member, up to its size limit.

    :raises ExplainError: if the member is missing, damaged, too large or a zip bomb
    """
    try:
        info = archive.getinfo(member)
    except KeyError as error:
        there = ", ".join(quote(other) for other in archive.namelist()[:8]) or "nothing"
        raise ExplainError(
            f"{name} is no model of stable-baselines3: it has no {member!r} (it has {there})"
        ) from error
    if info.file_size > SMALL and info.file_size > MAX_RATIO * info.compress_size:
        raise ExplainError(
            f"{member!r} in {name} would unpack to {info.file_size} bytes from "
            f"{info.compress_size}: it is no saved model"
        )
    require_within_limit(info.file_size, f"{member!r} in {name}", share=SHARES[member])
    return read_member(archive, info, name)
