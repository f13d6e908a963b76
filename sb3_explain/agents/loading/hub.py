"""Agents of the Hugging Face Hub, named as rl-zoo3 names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sb3_explain.agents.loading.bounded import one_line
from sb3_explain.agents.loading.folder import AgentFiles, folder_name
from sb3_explain.common.errors import ExplainError


def download(
    algo: str,
    env_id: str,
    *,
    organization: str | None = None,
    repo_id: str | None = None,
    revision: str | None = None,
) -> AgentFiles:
    """Download ``<organization>/<algo>-<env>``, all files of one commit, or find them in the cache.

    :param algo: the zoo's name of the algorithm
    :param env_id: gymnasium id
    :param organization: whose repository, for example ``"sb3"``
    :param repo_id: the repository, where it is not named as the zoo does
    :param revision: branch, tag or commit; the newest when not given
    :raises ExplainError: without huggingface_hub, without a network, or without such an agent
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
        statistics=repository.file("vec_normalize.pkl"),
        source=f"{repository.repo_id}@{commit}",
    )


def huggingface_hub() -> Any:
    """The library.

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


#: functions of the Hub that need a right to write
WRITING = ("create_repo", "upload_folder")


class Repository:
    """One repository of the Hub at one revision, with errors of one line.

    :param repo_id: ``organization/name``
    :param revision: branch, tag or commit; the newest when not given
    :param token: of an account; the one that is logged in when not given
    """

    def __init__(self, repo_id: str, revision: str | None = None, token: str | None = None) -> None:
        self.hub = huggingface_hub()
        self.repo_id = repo_id
        self.revision = revision
        self.token = token

    def file(self, name: str) -> Path | None:
        """The file's place in the cache; ``None`` if the repository has no such file."""
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
        """What the repository holds, for a message."""
        names = self.ask(self.hub.HfApi().list_repo_files, revision=self.revision)
        return ", ".join(sorted(names)[:20]) or "nothing"

    def upload(self, folder: Path, message: str, *, private: bool) -> str:
        """Put all files of a folder into the repository, which is made if there is none.

        :param message: of the commit
        :param private: of a repository that is made
        :return: address of the commit
        """
        api = self.hub.HfApi()
        self.ask(api.create_repo, private=private, exist_ok=True)
        commit = self.ask(
            api.upload_folder,
            folder_path=folder,
            commit_message=message,
            revision=self.revision,
        )
        return str(commit.commit_url)

    def ask(self, call: Callable[..., Any], **arguments: Any) -> Any:
        """Call a function of the Hub.

        :raises ExplainError: in place of the Hub's errors, but those of missing files
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
        # of whatever library carries the requests; httpx has a class of its own
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
    """Whether the Hub says that an account has not the right."""
    return getattr(getattr(error, "response", None), "status_code", None) in (401, 403)
