"""The form in which explainers see an observation: pictures channel-first, all else flat."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from torch import Tensor

from sb3_explain.agents.convolved import find_convolved
from sb3_explain.agents.lookups import find_looked_up
from sb3_explain.agents.policy_views import PolicyView
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.envs.picture_axes import PictureAxes, guess_axes
from sb3_explain.envs.spaces import Observations, join_keys, spaces_by_key


class ObservationLayout:
    """Arranges what stands under each key of an observation: pictures (C, H, W), features (D,).

    So an agent's own axes are known in one place. Pictures (C, H, W), vectors (D,) and categories
    () are in this form already, and stay the same tensors.

    >>> agent.layout.shapes, image_agent.layout.shapes
    ({'': (4,)}, {'': (2, 24, 24)})

    :param space: observation space of the policy
    :param pictures: axes of the keys that are pictures; all other keys are features
    """

    def __init__(self, space: spaces.Space[Any], pictures: Mapping[str, PictureAxes]) -> None:
        #: axes of the pictures by key
        self.pictures = dict(pictures)
        #: shapes of the observation by key
        self.own_shapes: dict[str, tuple[int, ...]] = {
            key: tuple(observed.shape or ()) for key, observed in spaces_by_key(space).items()
        }
        #: shapes by key in the form in which explainers see them
        self.shapes: dict[str, tuple[int, ...]] = {
            key: tuple(self.arrange_key(key, torch.empty(1, *shape)).shape[1:])
            for key, shape in self.own_shapes.items()
        }

    def arrange_key(self, key: str, observed: Tensor) -> Tensor:
        """Arrange what stands under a key.

        :param key: key of the observation; empty if it is no dict
        :param observed: (B, ...) observations, single frames of them or attributions, in the
            observation's own axes; or with more axes in front
        :return: (B, C, H, W) pictures, (B, D) features or (B,) categories
        """
        if key in self.pictures:
            return self.pictures[key].to_picture(observed)
        n_axes = len(self.own_shapes[key])
        return observed.flatten(-n_axes) if n_axes > 1 else observed

    def restore_key(self, key: str, arranged: Tensor) -> Tensor:
        """Return what stands under a key in its own axes, the opposite of :meth:`arrange_key`."""
        shape = self.own_shapes[key]
        if key in self.pictures:
            return self.pictures[key].from_picture(arranged, shape)
        return arranged.reshape(*arranged.shape[:-1], *shape) if len(shape) > 1 else arranged

    def arrange(self, by_key: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Arrange observations by key, see :meth:`arrange_key`, in the order of the agent's keys.

        So what is made of a dict does not depend on the order in which a user, or a file, has it.
        """
        keys = sorted(by_key, key=list(self.own_shapes).index)
        return {key: self.arrange_key(key, by_key[key]) for key in keys}

    def restore(self, by_key: Mapping[str, Tensor]) -> Observations:
        """Return observations in their own axes, as the agent takes them: a tensor, or a dict."""
        return join_keys({key: self.restore_key(key, held) for key, held in by_key.items()})


def find_layout(
    view: PolicyView, space: spaces.Space[Any], picture_keys: Sequence[str] | None = None
) -> ObservationLayout:
    """Find which keys of an observation are pictures, and their axes.

    A key is a picture if a convolution of the policy reads it, by the axes that the convolution
    reads; or if Stable-Baselines3 treats it as one (uint8 from 0 to 255, of three axes), and the
    policy does not look its numbers up in a table. All else,
    such as a board that the policy flattens, is features.

    :param view: reads the scores off the policy
    :param space: observation space of the policy
    :param picture_keys: the keys that are pictures, where the user knows better
    :raises ExplainError: if a key that shall be a picture has no two axes
    """
    by_key = spaces_by_key(space)
    if picture_keys is not None and not picture_keys:
        return ObservationLayout(space, {})
    convolved = find_convolved(view, space)
    chosen = picture_keys
    if chosen is None:
        images = {key: by_key[key] for key in by_key if is_image_space(by_key[key])}
        if images.keys() - convolved.keys():  # a grid of tokens has the space of an image
            looked_up = find_looked_up(view, by_key)
            images = {key: space for key, space in images.items() if not looked_up[key].all()}
        chosen = [key for key in by_key if key in convolved or key in images]
    pictures: dict[str, PictureAxes] = {}
    for key in (key for key in by_key if key in chosen):
        axes = convolved.get(key) or guess_axes(tuple(by_key[key].shape or ()))
        if axes is None:
            raise ExplainError(
                f"picture_keys: {key or 'the observation'!r} of shape {by_key[key].shape} is no "
                "picture, which has 2 to 4 axes: leave it out"
            )
        pictures[key] = axes
    return ObservationLayout(space, pictures)


def require_keys(space: spaces.Space[Any], picture_keys: Sequence[str] | None) -> None:
    """Check that the keys that shall be pictures are keys of the observation.

    :param space: observation space of the policy
    :param picture_keys: keys, or ``None``
    :raises ExplainError: if the observation has no such key
    """
    known = spaces_by_key(space)
    if picture_keys is not None and not isinstance(picture_keys, Collection):
        raise ExplainError(
            f"picture_keys is {picture_keys!r}: give a list of keys of the observation, () for none"
        )
    for key in picture_keys or ():
        if key not in known:
            raise unknown_name("key of the observation", str(key), known)
