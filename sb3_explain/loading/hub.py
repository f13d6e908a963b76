"""Agents of the Hugging Face Hub, named as rl-zoo3 names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sb3_explain.errors import ExplainError
from sb3_explain.loading.bounded import one_line
from sb3_explain.loading.folder import AgentFiles, folder_name


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
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise ExplainError(
            "agents of the Hub need huggingface_hub: pip install 'sb3-explain[hub]'"
        ) from error
    name = f"{algo}-{folder_name(env_id)}"
    repository = _Repository(huggingface_hub, repo_id or f"{organization}/{name}", revision)
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


class _Repository:
    """One repository at one revision, with errors of one line."""

    def __init__(self, hub: Any, repo_id: str, revision: str | None) -> None:
        self.hub = hub
        self.repo_id = repo_id
        self.revision = revision

    def file(self, name: str) -> Path | None:
        """The file's place in the cache; ``None`` if the repository has no such file."""
        errors = self.hub.errors
        try:
            return Path(self._ask(self.hub.hf_hub_download, filename=name))
        except errors.LocalEntryNotFoundError as error:
            # Without a network, the cache may know that there is no such file.
            if self._is_known_to_be_missing(name):
                return None
            raise self._unreachable(error) from error
        except errors.EntryNotFoundError:
            return None

    def files(self) -> str:
        """What the repository holds, for a message."""
        return ", ".join(sorted(self._ask(self.hub.HfApi().list_repo_files))[:20]) or "nothing"

    def _ask(self, call: Callable[..., Any], **arguments: Any) -> Any:
        errors = self.hub.errors
        try:
            return call(repo_id=self.repo_id, revision=self.revision, **arguments)
        except errors.EntryNotFoundError:
            raise
        except errors.RevisionNotFoundError as error:
            raise ExplainError(f"{self.repo_id} has no revision {self.revision!r}") from error
        except errors.RepositoryNotFoundError as error:
            raise ExplainError(
                f"there is no repository {self.repo_id!r} on the Hub, or it is private: "
                "check the organization, the algorithm and the environment"
            ) from error
        except errors.HFValidationError as error:
            raise ExplainError(f"{self.repo_id!r} is no name of a repository") from error
        # The Hub's own errors and those of whatever library carries its requests.
        except (OSError, ValueError, RuntimeError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ExplainError:
        return ExplainError(
            f"{self.repo_id!r} cannot be downloaded and is not in the cache: "
            f"is there a network? ({one_line(error)})"
        )

    def _is_known_to_be_missing(self, name: str) -> bool:
        cached = self.hub.try_to_load_from_cache(self.repo_id, name, revision=self.revision)
        return cached is not None and not isinstance(cached, str)
