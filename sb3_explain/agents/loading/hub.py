"""Download agents from the Hugging Face Hub, whose repositories rl-zoo3 names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sb3_explain.agents.loading.folder import AgentFiles, folder_name
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import one_line


def download(
    algo: str,
    env_id: str,
    *,
    organization: str | None = None,
    repo_id: str | None = None,
    revision: str | None = None,
) -> AgentFiles:
    """Download ``<organization>/<algo>-<env>``, or find it in the cache.

    All files are of one commit.

    :param algo: name of the algorithm in the zoo
    :param env_id: gymnasium id of the environment
    :param organization: owner of the repository, for example ``"sb3"``
    :param repo_id: name of the repository, if the zoo's naming does not apply
    :param revision: branch, tag or commit; the newest commit when not given
    :raises ExplainError: if huggingface_hub is not installed, the Hub cannot be reached, or there
        is no such agent
    """
    name = f"{algo}-{folder_name(env_id)}"
    repository = Repository(repo_id or f"{organization}/{name}", revision)
    model = repository.file(f"{name}.zip")
    if model is None:
        raise ExplainError(f"{repository.repo_id} has no {name}.zip (it has: {repository.files()})")
    # The cache's folders are named by commit: what follows is of the same one.
    repository.revision = commit = model.parent.name
    return AgentFiles(
        model,
        config=repository.file("config.yml"),
        args=repository.file("args.yml"),
        env_kwargs=repository.file("env_kwargs.yml"),
        statistics=repository.file("vec_normalize.pkl") or repository.file("vecnormalize.pkl"),
        source=f"{repository.repo_id}@{commit}",
    )


def huggingface_hub() -> Any:
    """The module ``huggingface_hub``, imported on first use.

    :raises ExplainError: if it is not installed
    """
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise ExplainError(
            "the Hub needs huggingface_hub: pip install 'sb3-explain[hub]'"
        ) from error
    return huggingface_hub


#: functions of the Hub that need write access
WRITING = ("create_repo", "upload_folder")


class Repository:
    """One repository of the Hub at one revision; its errors are one-line :class:`ExplainError`.

    :param repo_id: name of the repository, ``organization/name``
    :param revision: branch, tag or commit; the newest commit when not given
    :param token: access token; that of the account that is logged in when not given
    :param space_sdk: kind of the Space, if it is one: ``"static"`` of pages
    """

    def __init__(
        self,
        repo_id: str,
        revision: str | None = None,
        token: str | None = None,
        *,
        space_sdk: str | None = None,
    ) -> None:
        self.kind: dict[str, str] = {} if space_sdk is None else {"repo_type": "space"}
        self.space_sdk = space_sdk
        self.hub = huggingface_hub()
        self.repo_id = repo_id
        self.revision = revision
        self.token = token

    def file(self, name: str) -> Path | None:
        """Download a file and return its path; ``None`` if the repository has no such file."""
        errors = self.hub.errors
        try:
            return Path(self.ask(self.hub.hf_hub_download, filename=name, revision=self.revision))
        except errors.LocalEntryNotFoundError as error:
            # Without a network, the cache may know that there is no such file.
            if self._is_known_to_be_missing(name):
                return None
            if refuses(error.__cause__):
                raise self._forbidden(self.hub.hf_hub_download) from error
            raise self._unreachable("downloaded and is not in the cache", error) from error
        except errors.EntryNotFoundError:
            return None

    def files(self) -> str:
        """Names of the first 20 files of the repository, for error messages."""
        names = self.ask(self.hub.HfApi().list_repo_files, revision=self.revision)
        return ", ".join(sorted(names)[:20]) or "nothing"

    def upload(self, folder: Path, message: str, *, private: bool) -> str:
        """Upload all files of a folder, and create the repository if it does not exist.

        :param folder: folder whose files are uploaded
        :param message: message of the commit
        :param private: whether a new repository is private
        :return: address of the commit
        """
        api = self.hub.HfApi()
        made: dict[str, str] = {} if self.space_sdk is None else {"space_sdk": self.space_sdk}
        self.ask(api.create_repo, private=private, exist_ok=True, **self.kind, **made)
        commit = self.ask(
            api.upload_folder,
            folder_path=folder,
            commit_message=message,
            revision=self.revision,
            **self.kind,
        )
        return str(commit.commit_url)

    def ask(self, call: Callable[..., Any], **arguments: Any) -> Any:
        """Call a function of the Hub on this repository.

        :param call: function of ``huggingface_hub``
        :param arguments: further arguments of the function
        :raises ExplainError: in place of the Hub's errors, except those of missing files
        """
        errors = self.hub.errors
        try:
            return call(repo_id=self.repo_id, token=self.token, **arguments)
        except errors.EntryNotFoundError:
            raise
        except errors.RevisionNotFoundError as error:
            raise ExplainError(f"{self.repo_id} has no revision {self.revision!r}") from error
        except errors.RepositoryNotFoundError as error:
            raise ExplainError(
                f"there is no repository {self.repo_id!r} on the Hub, or it is private: "
                "check its name, and log in by `hf auth login` if it is yours"
            ) from error
        except errors.HFValidationError as error:
            raise ExplainError(f"{self.repo_id!r} is no name of a repository") from error
        except errors.LocalTokenNotFoundError as error:
            raise self._forbidden(call) from error
        except errors.HfHubHTTPError as error:
            if refuses(error):
                raise self._forbidden(call) from error
            raise self._unreachable("reached", error) from error
        # errors of the library that sends the requests; httpx has a class of its own
        except (OSError, ValueError, RuntimeError, getattr(errors, "HTTPError", OSError)) as error:
            raise self._unreachable("reached", error) from error

    def _forbidden(self, call: Callable[..., Any]) -> ExplainError:
        may = "write to" if call.__name__ in WRITING else "read"
        return ExplainError(
            f"the Hub does not let you {may} {self.repo_id!r}: log in by `hf auth login`, or set "
            f"HF_TOKEN to a token that may {may.split()[0]}"
        )

    def _unreachable(self, what: str, error: Exception) -> ExplainError:
        return ExplainError(
            f"{self.repo_id!r} cannot be {what}: is there a network? ({one_line(error)})"
        )

    def _is_known_to_be_missing(self, name: str) -> bool:
        cached = self.hub.try_to_load_from_cache(self.repo_id, name, revision=self.revision)
        return cached is not None and not isinstance(cached, str)


def refuses(error: BaseException | None) -> bool:
    """Whether an error is the Hub's refusal of access (status 401 or 403)."""
    return getattr(getattr(error, "response", None), "status_code", None) in (401, 403)
