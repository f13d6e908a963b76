"""Read the zip that ``model.save`` writes: its JSON and its weights, but no pickle.

A value of ``data`` that JSON cannot hold is stored as base64 of a pickle under ``:serialized:``,
beside the plain text of its attributes. The pickle is never read; the text is often enough.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import one_line, quote

#: size limit of each member that is read from the archive, in bytes
MAX_BYTES = {"data": 64 * 2**20, "policy.pth": 2**30, "_stable_baselines3_version": 100}
MAX_MEMBERS = 1000
#: weights hardly compress, JSON with base64 in it at most tenfold, zeros a thousandfold
MAX_RATIO = 100
#: members below this size, in bytes, may have any compression ratio
SMALL = 2**20

Weights = dict[str, Tensor]


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
    if not path.is_file():
        raise ExplainError(f"{path} is not a file")
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        with _open(path) as archive:
            _check_members(archive, path.name)
            data = _read_json(_read_member(archive, "data", path.name), path.name)
            weights = _read_weights(_read_member(archive, "policy.pth", path.name), path.name)
            version = None
            if "_stable_baselines3_version" in archive.namelist():
                text = _read_member(archive, "_stable_baselines3_version", path.name)
                match = re.fullmatch(rb"\s*([\w.+-]{1,40})\s*", text)
                version = match[1].decode("ascii", "replace") if match else None
    except OSError as error:
        raise ExplainError(f"{path.name} cannot be read ({one_line(error)})") from error
    return ModelArchive(data, weights, version, sha256)


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except OSError:
        raise
    # BadZipFile, and UnicodeDecodeError, NotImplementedError and more from a spoilt directory
    except Exception as error:
        raise ExplainError(
            f"{path.name} is not a whole zip archive ({one_line(error)}): fetch or save it again"
        ) from error


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


def _read_member(archive: zipfile.ZipFile, member: str, name: str) -> bytes:
    """The bytes of a member, up to its size limit, whatever size it declares.

    :raises ExplainError: if the member is missing, damaged or a zip bomb
    """
    try:
        info = archive.getinfo(member)
    except KeyError as error:
        there = ", ".join(quote(other) for other in archive.namelist()[:8]) or "nothing"
        raise ExplainError(
            f"{name} is no model of stable-baselines3: it has no {member!r} (it has {there})"
        ) from error
    limit = MAX_BYTES[member]
    _check_sizes(info, limit, name)
    try:
        with archive.open(info) as file:
            content = file.read(limit + 1)
    # zlib.error, EOFError, NotImplementedError, RuntimeError (encrypted): as damaged as can be
    except Exception as error:
        raise ExplainError(
            f"{member!r} in {name} is damaged ({one_line(error)}): fetch or save it again"
        ) from error
    if len(content) > limit:
        raise ExplainError(f"{member!r} in {name} is larger than {limit} bytes")
    return content


def _check_sizes(info: zipfile.ZipInfo, limit: int, name: str) -> None:
    bomb = info.file_size > SMALL and info.file_size > MAX_RATIO * info.compress_size
    if info.file_size > limit or bomb:
        raise ExplainError(
            f"{quote(info.filename)} in {name} would unpack to {info.file_size} bytes from "
            f"{info.compress_size}: it is no saved model"
        )


def _read_json(content: bytes, name: str) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ExplainError(f"'data' in {name} is not JSON ({one_line(error)})") from error
    if not isinstance(data, dict):
        raise ExplainError(f"'data' in {name} is not a JSON object")
    return data


def _read_weights(content: bytes, name: str) -> Weights:
    """The tensors of ``policy.pth``, read by torch with ``weights_only=True``."""
    if content.startswith(b"PK"):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as inner:
                for info in inner.infolist():
                    _check_sizes(info, 2 * len(content), f"'policy.pth' in {name}")
        except ExplainError:
            raise
        except Exception as error:  # as in _open
            raise ExplainError(f"'policy.pth' in {name} is damaged ({one_line(error)})") from error
    try:
        weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    # The restricted reader raises whatever the damage leads to.
    except Exception as error:
        raise ExplainError(
            f"'policy.pth' in {name} is damaged or holds more than weights, and was not loaded "
            f"({quote(type(error).__name__)})"
        ) from error
    if not isinstance(weights, dict) or not weights:
        raise ExplainError(f"'policy.pth' in {name} holds no state dict")
    for key, tensor in weights.items():
        _check_tensor(key, tensor, name)
    return dict(weights)


def _check_tensor(key: Any, tensor: Any, name: str) -> None:
    if not isinstance(key, str) or not isinstance(tensor, Tensor):
        raise ExplainError(f"{quote(key)} in the weights of {name} is not a named tensor")
    plain = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_complex()
    # A view may claim any shape over one number.
    if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ExplainError(f"{quote(key)} in the weights of {name} is not a plain tensor")
    if not torch.isfinite(tensor).all():
        raise ExplainError(f"{quote(key)} in the weights of {name} holds NaN or infinite numbers")
