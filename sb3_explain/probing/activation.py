"""Activation maximisation on the pixels of an observation: the baseline that fails (figure 4)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.agents.targets.energies import BETA
from sb3_explain.agents.targets.find import find_energy
from sb3_explain.agents.targets.outputs import read_outputs
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.spaces import spaces_by_key
from sb3_explain.explainers.learned.losses import total_variation
from sb3_explain.states.blur import gaussian_blur

#: no regulariser, total variation (Mahendran and Vedaldi 2016), a blur between steps (Nguyen et al.
#: 2015), and shifts by some pixels (Olah et al. 2017)
REGULARIZERS = ("plain", "tv", "blur", "jitter")
#: weight of the total variation; standard deviation of the blur in pixels, and steps between two
#: blurs; largest shift in pixels
TV, BLUR_SIGMA, BLUR_EVERY, JITTER = 5.0, 0.7, 4, 4


@check_arguments
def activation_maximization(
    agent: Agent | BaseAlgorithm,
    target: str | Callable[..., Tensor],
    n: int = 8,
    *,
    regularizer: str = "plain",
    steps: int = 200,
    learning_rate: float = 0.05,
    beta: float = BETA,
    action: int | str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Tensor:
    """Search images on which a target's energy is small, by gradient descent on the pixels.

    The search starts from uniform noise. A sigmoid keeps the images in the observations' range. The
    energy is in units of its standard deviation over images of noise.

    >>> from sb3_explain import activation_maximization
    >>> images = activation_maximization(image_agent, "action:left", 2, steps=50, progress=False)
    >>> images.shape
    torch.Size([2, 2, 24, 24])
    >>> [image_agent.target_names[i] for i in image_agent.greedy(images)]
    ['left', 'left']

    :param agent: an agent that observes one image
    :param target: the target, as :func:`sb3_explain.probe` takes it
    :param n: number of images
    :param regularizer: one of :data:`REGULARIZERS`
    :param steps: number of steps of the search
    :param learning_rate: learning rate of Adam, on the logits of the pixels
    :param beta: sharpness of the soft maximum, per unit of Q
    :param action: index or name of the action, for the target ``"action"``
    :param seed: random seed of the noise and the shifts
    :param progress: show a progress bar
    :return: (n, C, H, W) images in the agent's range, or in the axes that it observes
    :raises ExplainError: for an agent that does not observe one image, or an unknown regulariser
    """
    agent = read_agent(agent)
    by_key = spaces_by_key(agent.observation_space)
    space = next(iter(by_key.values()))
    shape = next(iter(agent.layout.shapes.values()))
    low, high = (np.min(getattr(space, "low", -np.inf)), np.max(getattr(space, "high", np.inf)))
    (key, *more), pictures = by_key, agent.layout.pictures
    if more or key not in pictures or not np.isfinite(high - low):
        raise ExplainError(
            "activation maximisation draws one image within bounds, and this agent observes "
            f"{agent.observation_space}"
        )
    if regularizer not in REGULARIZERS:
        raise unknown_name("regulariser", regularizer, REGULARIZERS)
    energy = find_energy(agent, target, action=action, beta=beta)
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.uniform(0.05, 0.95, (n, *shape))).float().logit()
    logits = logits.to(agent.device).requires_grad_()

    def energies(images: Tensor) -> Tensor:
        return energy(read_outputs(agent, agent.layout.restore({key: low + (high - low) * images})))

    with torch.no_grad():
        scale = float(energies(logits.sigmoid()).std()) if n > 1 else 1.0
    optimizer = torch.optim.Adam([logits], lr=learning_rate)
    with progress_bar(f"activation maximisation, {regularizer}", steps, "steps", progress) as bar:
        for step in range(steps):
            images = logits.sigmoid()
            if regularizer == "jitter":
                shift = rng.integers(-JITTER, JITTER + 1, 2).tolist()
                images = images.roll(shift, dims=(2, 3))
            loss = energies(images).sum() / (scale or 1.0)
            if regularizer == "tv":
                loss = loss + TV * n * total_variation(images)
            (logits.grad,) = torch.autograd.grad(loss, [logits])
            optimizer.step()
            if regularizer == "blur" and step % BLUR_EVERY == BLUR_EVERY - 1:
                with torch.no_grad():
                    logits.copy_(gaussian_blur(logits, 5, BLUR_SIGMA))
            bar.update()
    return agent.layout.restore_key(key, low + (high - low) * logits.detach().sigmoid())
