"""Pictures of the attributions of trained critics, in every mode of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from sb3_explain.sgqn import SGQN, PixelSAC
from sb3_explain.sgqn.attribution import binarize
from sb3_explain.sgqn.augmentations import center_crop
from sb3_explain.workflows.pixel_training.recipes import RECIPES, get_quantile
from sb3_explain.workflows.pixel_training.suites import Suite
from sb3_explain.workflows.pixel_training.training import make_env

#: number of an episode's states that are shown, at equal distances
SHOWN = 4


def draw_saliency_rows(
    models: Mapping[str, PixelSAC],
    suite: Suite,
    task: str,
    modes: Sequence[str],
    env_kwargs: Mapping[str, Any],
    *,
    seed: int,
) -> dict[str, list[NDArray[np.uint8]]]:
    """Draw states of each algorithm, side by side in every mode, and below their attributions.

    The rows are ``state``; ``true``, the attribution of Q1; ``mask``, the frame where it is
    binarised; and ``predicted``, the attribution that an SGQN agent predicts.

    :param models: trained models by the name of the algorithm
    :param suite: benchmark that the task belongs to
    :param task: name of the task
    :param modes: modes of the environment
    :param env_kwargs: further arguments of the environments
    :param seed: random seed of the episodes
    :return: (H, W, 3) uint8 pictures of each row by its name
    """
    rows: dict[str, list[NDArray[np.uint8]]] = {}
    for algo, model in models.items():
        for mode in modes:
            env = make_env(suite.get_id(task, mode), RECIPES[algo].size, env_kwargs)
            states = play_states(model, env, seed)
            env.close()
            observations = torch.from_numpy(states)
            actions, _ = model.predict(states, deterministic=True)
            scaled = torch.from_numpy(model.policy.scale_action(actions)).to(model.device)
            attribution = model.policy.attribution(observations.to(model.device), scaled).cpu()
            size = model.policy_kwargs.get("size")
            if size is not None:  # the networks observe the middle alone
                attribution = center_crop(attribution, size)
                observations = center_crop(observations, size)
            frames = observations[:, -3:].permute(0, 2, 3, 1).numpy()
            shown = {"state": list(frames)}
            quantile = model.saliency_quantile if isinstance(model, SGQN) else get_quantile(task)
            mask = binarize(attribution, quantile, model.n_stack)[:, -3:].numpy()
            magnitudes = attribution.abs()[:, -3:].amax(1)
            bright = magnitudes.flatten(1).quantile(0.99, dim=1)[:, None, None] + 1e-12
            shown["true"] = draw_gray((magnitudes / bright).numpy())
            shown["mask"] = list(np.where(mask.transpose(0, 2, 3, 1), frames, frames // 8 + 16))
            if isinstance(model, SGQN) and model.policy.predicts_saliency:
                _, predicted = model.predict_saliency(states)
                shown["predicted"] = draw_gray(predicted[:, -3:].max(1))
            for name, pictures in shown.items():
                rows.setdefault(f"{algo}: {name}", []).extend(pictures)
    # of a network that has hardly learned, whose mask shows everything
    return {
        name if np.any(pictures) else f"{name} (zero)": pictures for name, pictures in rows.items()
    }


def play_states(model: PixelSAC, env: gym.Env[Any, Any], seed: int) -> NDArray[np.uint8]:
    """Play an episode, and return states at equal distances, (SHOWN, C, H, W)."""
    states = [env.reset(seed=seed)[0]]
    finished = False
    while not finished:
        action, _ = model.predict(states[-1], deterministic=True)
        state, _, terminated, truncated, _ = env.step(action)
        states.append(state)
        finished = terminated or truncated
    return np.stack(
        [states[i] for i in np.linspace(0, len(states) - 1, SHOWN + 2, dtype=int)[1:-1]]
    )


def draw_gray(attributions: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    """Draw attributions (B, H, W) as gray pictures, from black at 0 to white at 1."""
    shades = (255 * np.clip(attributions, 0, 1)).astype(np.uint8)
    return list(np.repeat(shades[..., None], 3, axis=3))
