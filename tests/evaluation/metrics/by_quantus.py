"""Quantus's figures of how far maps change, for the states of the tests."""

import numpy as np
import torch
from torch import nn

from sb3_explain.states.batch import StateBatch


def robustness(metric, inputs, seed):
    """What Quantus's ``metric`` says of the explainer in double precision.

    :param seed: of ``np.random``, which Quantus draws from
    :return: its figures, the states in double precision as a batch, and their maps
    """
    smooth, observations = inputs.explainer, inputs.batch.observations.double()
    batch = StateBatch(inputs.agent, observations, inputs.batch.target)
    attributions = smooth.attribute(observations, batch.target)

    def explain(model, inputs, targets):
        raw = torch.from_numpy(inputs) * 255
        return smooth.attribute(raw, torch.from_numpy(targets)).numpy()

    np.random.seed(seed)  # noqa: NPY002
    figures = metric(
        model=nn.Identity(),
        x_batch=observations.numpy() / 255,
        y_batch=batch.target.numpy(),
        a_batch=attributions.numpy().copy(),
        explain_func=explain,
        channel_first=True,
        batch_size=1,
    )
    return figures, batch, attributions
