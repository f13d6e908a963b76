"""The arguments of a policy's class: the user's words, over those of the files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from sb3_explain.agents.loading.archive import ModelArchive
from sb3_explain.agents.loading.expressions import read_class, read_expression
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import quote

#: arguments that only training needs
UNUSED = ("optimizer_class", "optimizer_kwargs", "lr_schedule", "log_std_init", "ortho_init")
#: arguments that are classes, or functions that make an instance
CLASSES = {"activation_fn", "features_extractor_class"}
#: arguments that are read off the weights, whatever a file says
SIZES = (
    "net_arch", "n_quantiles", "n_critics", "lstm_hidden_size", "n_lstm_layers", "use_sde",
    "full_std", "share_features_extractor", "enable_critic_lstm", "shared_lstm", "batch_norm",
    "with_bias", "n_layers", "n_filters", "features_dim", "decoder_filters", "soda_dim",
    "predicts_saliency",
)  # fmt: skip


def read_policy_kwargs(
    archive: ModelArchive, config: Mapping[str, Any], given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The policy's arguments, except sizes in the files: activations, bounds, extractors.

    :param archive: content of the model's zip
    :param config: content of ``config.yml``, which overrides the zip
    :param given: the user's words, sizes among them, which override both
    :raises ExplainError: if an argument in the files is code, or malformed
    """
    words = dict(given or {})
    left_out = {*UNUSED, *SIZES, *words}
    kwargs = _read_words(archive, config, words, lambda name: name not in left_out) | words
    for name in CLASSES & words.keys():
        if not callable(words[name]):
            raise ExplainError(
                f"policy_kwargs[{name!r}] is {quote(words[name])}: give the class itself"
            )
    if not isinstance(kwargs.get("features_extractor_kwargs", {}), dict | None):
        raise ExplainError("policy_kwargs['features_extractor_kwargs'] is not a dict")
    return kwargs


def read_saved_sizes(
    archive: ModelArchive, config: Mapping[str, Any], given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the files say of sizes, unless it is more than the weights have.

    :param archive: content of the model's zip
    :param config: content of ``config.yml``, which overrides the zip
    :param given: the user's words
    """
    largest = max(size for tensor in archive.weights.values() for size in (*tensor.shape, 1))
    sizes = _read_words(archive, config, given or (), lambda name: name in SIZES)
    numbers = _list_numbers(list(sizes.values()))
    return sizes if all(abs(n) <= largest for n in numbers) and len(numbers) < 100 else {}


def _list_numbers(value: Any) -> list[float]:
    members = value.values() if isinstance(value, dict) else value
    if isinstance(value, list | tuple | dict):
        return [number for member in members for number in _list_numbers(member)]
    return [value] if isinstance(value, int | float) else []


def _read_words(
    archive: ModelArchive,
    config: Mapping[str, Any],
    unread: Collection[str],
    select: Callable[[str], bool],
) -> dict[str, Any]:
    """The words of both files that are selected.

    :param unread: names that the user gives, so that the files may have code there
    """
    saved = archive.data.get("policy_kwargs")
    configured = config.get("policy_kwargs")
    if isinstance(configured, str):
        configured = read_expression(configured, "policy_kwargs in config.yml", unread)
    kwargs = {}
    for said in (saved, configured):
        if said is not None and not isinstance(said, dict):
            raise ExplainError("policy_kwargs is not a dict")
        for name, value in (said or {}).items():
            if not str(name).startswith(":") and select(str(name)):
                where = f"policy_kwargs[{quote(name)}]"
                # the text of a function or a partial is not that of a class, but code all the same
                code = name in CLASSES and isinstance(value, str)
                kwargs[str(name)] = read_class(value, where) if code else _read_value(value, where)
    return kwargs


def _read_value(value: Any, where: str) -> Any:
    """A value from JSON or YAML, where text may be the ``repr`` of a class or a literal."""
    if isinstance(value, dict):
        if ":serialized:" in value:
            return {
                key: _read_value(item, where)
                for key, item in value.items()
                if not key.startswith(":")
            }
        return {str(key): _read_value(item, where) for key, item in value.items()}
    if isinstance(value, str) and value.startswith("<"):
        return read_class(value, where)
    if isinstance(value, str) and value[:1] in ("[", "(", "{"):
        return read_expression(value, where)
    return value
