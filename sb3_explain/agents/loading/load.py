"""Load an agent from a zoo folder, a zip or the Hub, without running code from a file."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading.algorithms import (
    HER,
    check_algorithm,
    find_algorithm,
    find_class,
    find_trainer,
)
from sb3_explain.agents.loading.archive import read_archive
from sb3_explain.agents.loading.environment import normalizes_observations, read_recipe
from sb3_explain.agents.loading.folder import AgentFiles, ModelSelection, find_files
from sb3_explain.agents.loading.hub import download
from sb3_explain.agents.loading.normalization import (
    count_normalized_frames,
    find_normalization,
    tell_normalized,
)
from sb3_explain.agents.loading.policies import build_policy, read_n_stack
from sb3_explain.agents.loading.policy_kwargs import read_policy_kwargs, read_saved_sizes
from sb3_explain.agents.loading.policy_spaces import find_spaces
from sb3_explain.agents.loading.saved_spaces import read_space
from sb3_explain.agents.loading.yaml_config import read_yaml
from sb3_explain.agents.self_check import choose_view
from sb3_explain.agents.value_units import ValueUnits, read_discount
from sb3_explain.common.errors import ExplainError, make_printable
from sb3_explain.common.signatures import check_arguments, require_arguments
from sb3_explain.envs.feature_names import FeatureNames, accept_feature_names
from sb3_explain.envs.given_action_names import ActionNames
from sb3_explain.envs.recipe import EnvRecipe, require_recipe
from sb3_explain.envs.registered import import_packages
from sb3_explain.envs.spaces import require_space
from sb3_explain.envs.trust import read_trusted

logger = logging.getLogger(__name__)

Space = spaces.Space[Any]


@check_arguments
def load_agent(
    algo: str | type[BaseAlgorithm],
    env: str | None,
    *,
    folder: str | Path = "logs",
    exp_id: int = 0,
    load_best: bool = False,
    load_checkpoint: int | None = None,
    load_last_checkpoint: bool = False,
    organization: str | None = None,
    repo_id: str | None = None,
    revision: str | None = None,
    device: str | torch.device = "cpu",
    observation_space: Space | None = None,
    action_space: Space | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    vec_normalize: str | Path | bool | None = None,
    policy_class: type[BasePolicy] | None = None,
    policy_kwargs: Mapping[str, Any] | None = None,
    recipe: EnvRecipe | None = None,
    trusted: str | Sequence[str] = (),
    gym_packages: str | Sequence[str] = (),
    self_check: bool = True,
    picture_keys: Sequence[str] | None = None,
    action_names: ActionNames | None = None,
    feature_names: FeatureNames | None = None,
) -> Agent:
    """Load an agent that stable-baselines3, sb3-contrib or rl-zoo3 saved.

    Nothing is unpickled, evaluated or imported because a file says so: weights are read as weights,
    everything else as plain data.

    >>> from sb3_explain import load_agent
    >>> model.save(folder / "cartpole.zip")
    >>> agent = load_agent("ppo", "CartPole-v1", folder=folder / "cartpole.zip")
    >>> agent.action_names, agent.n_scores
    (('left', 'right'), 2)

    :param algo: name of the algorithm in the zoo, or its class: ``"ppo"``, ``"her"``, ``PPO``, ...
    :param env: gymnasium id; a zip that says what its spaces are needs none
    :param folder: the zoo's folder of all agents (``<folder>/<algo>/<env>_<id>/``), the folder of
        one run, or the ``.zip`` that ``model.save`` wrote
    :param exp_id: number of the run; 0 for the newest run
    :param load_best: load ``best_model.zip`` instead of the model at the end of training
    :param load_checkpoint: load the checkpoint after this number of steps
    :param load_last_checkpoint: load the checkpoint after the most steps
    :param organization: download ``<organization>/<algo>-<env>`` from the Hub instead
    :param repo_id: download this repository of the Hub instead
    :param revision: branch, tag or commit of the repository; the newest commit when not given
    :param device: device of the policy; ``"auto"`` for an accelerator if there is one
    :param observation_space: what the policy observes, stacked and channel-first; taken from the
        file or the environment when not given
    :param action_space: action space; taken from the file or the environment when not given
    :param env_kwargs: arguments of the environment, which override those in the files
    :param vec_normalize: path of the statistics of VecNormalize, in place of those beside the
        agent; ``False`` to use none
    :param policy_class: class of the policy, if it is neither SB3's nor sb3-contrib's
    :param policy_kwargs: arguments of the policy, which override those in the files
    :param recipe: how the environment is made, instead of what the files say; a zip without a zoo
        folder says nothing about arguments, wrappers and frame stacks
    :param trusted: dotted names of packages, modules and wrappers that may be imported because the
        files say so, and of arguments that the files may give the environment
        (``"env_kwargs.map_path"``)
    :param gym_packages: modules that register the environment, which are imported, as rl-zoo3 does
        with ``--gym-packages``; what they hold is trusted
    :param self_check: whether the agent's answers on a few sampled observations are compared with
        the policy's own
    :param picture_keys: keys of the observation that are pictures, see :class:`Agent`
    :param action_names: one name per score, instead of the environment's
    :param feature_names: names of the features, instead of the environment's, see :class:`Agent`.
        An agent that has none, since its zip holds none and its environment is not registered,
        takes those of the environment that it is played in first, or of its stored states
    :raises ExplainError: if there is no such agent, or it is damaged, does not fit the spaces, or
        needs code that is not trusted
    """
    if recipe is not None and env_kwargs:
        raise ExplainError("env_kwargs are part of the recipe: give them there")
    if env is not None and not isinstance(env, str):
        raise ExplainError(
            f"env is a gymnasium id, not a {type(env).__name__}: for an environment without an id "
            "give env=None, and its observation_space and action_space"
        )
    for argument, space in (
        ("observation_space", observation_space), ("action_space", action_space)
    ):  # fmt: skip
        if space is not None:
            require_space(argument, space)
    require_recipe(recipe)
    made, own_class, own_names = recipe, policy_class, feature_names
    named = import_packages(gym_packages)
    trusted = (*read_trusted(trusted), *named)
    name = find_algorithm(algo)
    selection = ModelSelection(load_best, load_checkpoint, load_last_checkpoint)
    files = _find_files(name, env, Path(folder), exp_id, selection, organization, repo_id, revision)
    archive = read_archive(files.model)
    config, args, more_env_kwargs = (
        read_yaml(path) if path is not None else {}
        for path in (files.config, files.args, files.env_kwargs)
    )
    notes: list[str] = []
    trainer = find_trainer(archive, args) if name == HER else name
    if name == HER:
        notes.append(f"trained by {trainer} with hindsight experience replay")

    check_algorithm(trainer, policy_class, archive)
    sizes = None
    if policy_class is None:
        policy_class = find_class(trainer, config.get("policy"), archive)
    else:
        sizes = read_saved_sizes(archive, config, policy_kwargs)
    require_arguments(policy_class, policy_class, policy_kwargs or {})
    kwargs = read_policy_kwargs(archive, config, policy_kwargs)

    normalizers, reward_scale, said = find_normalization(
        files, config, archive.data, trainer, vec_normalize, trusted
    )
    notes += said
    if recipe is not None:
        if normalizers or vec_normalize is False:
            recipe = dataclasses.replace(recipe, normalizers=normalizers)
    elif env is not None:
        observed = observation_space or read_space(archive.data.get("observation_space"))
        recipe, changes = read_recipe(
            env,
            config,
            args,
            more_env_kwargs,
            normalizers,
            trusted,
            own_kwargs=env_kwargs,
            own_packages=named,
            observation_space=observed,
        )
        notes += changes
        for change in changes:
            logger.warning("%s", change)
    found = find_spaces(archive.data, recipe, observation_space, action_space)
    both = found.observation_space, found.action_space
    n_stack = count_normalized_frames(
        normalizers, both[0], recipe.frame_stack if recipe is not None else None
    )
    n_stack = read_n_stack(policy_class, archive) or n_stack
    if feature_names is None:
        stacked = n_stack or (recipe.frame_stack if recipe is not None else 1)
        feature_names = accept_feature_names(found.feature_names, both[0], stacked)
    policy = build_policy(policy_class, kwargs, archive.weights, *both, device, sizes)
    agent = Agent(
        choose_view(policy, *both, self_check=self_check),
        *both,
        algo=name,
        action_names=action_names if action_names is not None else found.action_names,
        n_stack=n_stack,
        recipe=recipe,
        normalizers=normalizers,
        picture_keys=picture_keys,
        feature_names=feature_names,
        value_units=ValueUnits(read_discount(archive.data.get("gamma")), reward_scale),
        provenance={
            # A name of bytes that are no UTF-8 could not be written to a page.
            "file": make_printable(files.model.name),
            "run": files.run,
            "repository": files.source,
            "sha256": archive.sha256,
            "stable_baselines3": archive.version,
            "notes": notes + found.notes,
        },
    )
    agent.trained_normalized = (
        tell_normalized(archive.data, trainer)
        if files.config is None
        else normalizes_observations(config.get("normalize"))
    )
    given = (repo_id, observation_space, action_space, picture_keys, own_class, policy_kwargs, made)
    if env is not None and all(each is None for each in given):  # flags can say it
        agent.origin = {
            "algo": name, "env": env, "folder": str(Path(folder).resolve()), "exp_id": exp_id,
            "load_best": load_best, "load_checkpoint": load_checkpoint,
            "load_last_checkpoint": load_last_checkpoint, "organization": organization,
            "revision": revision,
            "vec_normalize": (
                str(Path(vec_normalize).resolve()) if isinstance(vec_normalize, str | Path)
                else "no" if vec_normalize is False else None
            ),
            "action_names": None if action_names is None else list(agent.action_names),
            "feature_names": list(own_names) if isinstance(own_names, list | tuple) else None,
            "env_kwargs": [f"{key}:{value!r}" for key, value in (env_kwargs or {}).items()],
            "gym_packages": list(named), "trust": list(trusted),
        }  # fmt: skip
    return agent


def _find_files(
    algo: str,
    env: str | None,
    folder: Path,
    exp_id: int,
    selection: ModelSelection,
    organization: str | None,
    repo_id: str | None,
    revision: str | None,
) -> AgentFiles:
    if organization is None and repo_id is None:
        if revision is not None:
            raise ExplainError("revision is of a repository: give organization or repo_id too")
        return find_files(folder, algo, env, exp_id, selection)
    if env is None:
        raise ExplainError("the name of the environment is needed to find its agent: give env=...")
    if exp_id or not selection.is_default:
        raise ExplainError(
            "a repository of the Hub holds one model: leave out exp_id, load_best, "
            "load_checkpoint and load_last_checkpoint"
        )
    return download(algo, env, organization=organization, repo_id=repo_id, revision=revision)
