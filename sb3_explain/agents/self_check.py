"""Whether an agent answers as its policy does: checked once, when it is made.

On a few sampled observations the policy is asked by its own methods, see
:mod:`sb3_explain.agents.policy_answers`, and the agent by its view. A view that answers otherwise
is not used; a policy that no view can read is refused.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor, nn

from sb3_explain.agents.action_spaces import count_scores, group_sizes, target_scores
from sb3_explain.agents.outputs import PolicyOutputs
from sb3_explain.agents.policy_answers import Answers, Question, ask
from sb3_explain.agents.policy_views import (
    FORBIDDEN,
    ModuleView,
    PolicyView,
    list_own_methods,
    list_views,
)
from sb3_explain.agents.sampled_observations import make_plain_observations, sample_observations
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import one_line
from sb3_explain.envs.spaces import spaces_by_key, split_keys

Space = spaces.Space[Any]
Array = NDArray[Any]

#: number of observations that are tried: vectors, and those of more numbers than :data:`LARGE`
N_SMALL, N_LARGE = 8, 2
LARGE = 1024
#: largest difference in units of the largest number; in float32, sums in another order differ less
TOLERANCE = 1e-4
#: packages whose algorithms act as their policies do
LIBRARIES = ("stable_baselines3", "sb3_contrib", "sb3_explain")
#: what to do with a policy that cannot be read
ADVICE = "give Agent.from_module a module that returns its scores and values"


def choose_view(
    policy: nn.Module, observation_space: Space, action_space: Space, *, self_check: bool = True
) -> PolicyView:
    """Choose the view that answers as the policy does.

    No parameter, buffer, training mode or random state is changed.

    :param policy: policy of a class of stable-baselines3 or sb3-contrib, or derived from one
    :param observation_space: what the policy observes, after transposition and frame stacking
    :param action_space: action space of the environment
    :param self_check: whether the view's answers are compared with the policy's; without it the
        view follows from the policy's class and its own methods alone
    :raises ExplainError: if the policy is of an unknown class, or no view answers as it does
    """
    views = list_views(policy)
    if not self_check:
        return views[0]
    with _unchanged(policy), torch.no_grad():
        question, answers = _interview(policy, views[0], observation_space, action_space)
        differences = []
        for view in views:
            difference = find_difference(view, observation_space, action_space, question, answers)
            if difference is None:
                return view
            differences.append(difference)
    raise _refusal(policy, differences[0])


def check_module(view: ModuleView, observation_space: Space, action_space: Space) -> None:
    """Check that a module gives scores of the right shape, which its ``predict`` acts by.

    :param view: view of the module
    :param observation_space: space of one observation
    :param action_space: action space of the environment
    :raises ExplainError: if it does not
    """
    module = view.policy
    rng = np.random.default_rng(0)
    observations = sample_observations(observation_space, _count(observation_space), rng)
    with _unchanged(module), torch.no_grad():
        answers = _ask_module(module, observations)
        # explainers show a module floating-point numbers; one that counts or embeds takes integers
        differences = []
        floating = next((p.dtype for p in module.parameters()), torch.float32)
        for dtype in (floating, None):
            difference = find_difference(
                view, observation_space, action_space, Question(observations), answers, dtype
            )
            if difference is None:
                return
            differences.append(difference)
    raise ExplainError(
        f"{type(module).__name__} cannot be an agent: {differences[0]} (sampled observations; "
        "self_check=False leaves out this check)"
    )


def check_prediction(
    model: BaseAlgorithm, view: PolicyView, observation_space: Space, action_space: Space
) -> None:
    """Check that an algorithm with a ``predict`` of its own acts as its policy does.

    :param model: the live model, whose policy is left as it is
    :param view: view of a copy of its policy
    :param observation_space: what the policy observes
    :param action_space: action space of the environment
    :raises ExplainError: if it acts otherwise
    """
    predict = getattr(model.predict, "__func__", model.predict)
    if getattr(predict, "__module__", "").partition(".")[0] in LIBRARIES:
        return
    rng = np.random.default_rng(0)
    question = Question(sample_observations(observation_space, _count(observation_space), rng))
    was_training = model.policy.training
    with _unchanged(model.policy), torch.no_grad():
        try:
            actions = np.asarray(model.predict(question.observations, deterministic=True)[0])
        # it may need more than observations
        except Exception:
            return
        finally:
            model.policy.train(was_training)
        answers = Answers(actions)
        difference = find_difference(view, observation_space, action_space, question, answers)
    if difference is not None:
        raise ExplainError(
            f"{type(model).__name__}, whose own predict cannot be read: {difference}; {ADVICE}"
        )


def find_difference(
    view: PolicyView,
    observation_space: Space,
    action_space: Space,
    question: Question,
    answers: Answers | None,
    dtype: torch.dtype | None = None,
) -> str | None:
    """Say in what a view answers otherwise than its policy; ``None`` if in nothing.

    :param view: view of the policy
    :param observation_space: what the policy observes
    :param action_space: action space of the environment
    :param question: what the policy was asked
    :param answers: what it answered; ``None`` if only the shapes of the view's answers are checked
    :param dtype: type of the numbers that the view is shown; that of the question when not given
    """
    outputs = PolicyOutputs(view, observation_space, action_space)
    observations = _to_tensors(question.observations, outputs.device, dtype)
    states = question.lstm_states
    masks = None
    if question.action_masks is not None:
        masks = torch.as_tensor(question.action_masks, device=outputs.device)
    try:
        scores = outputs.scores(observations, states, masks)
        both = outputs.scores_and_values(observations, states, masks)
        std = view.std(observations, states) if isinstance(action_space, spaces.Box) else None
        after = outputs.next_lstm_states(observations, states)
    # a stranger's policy may raise anything
    except Exception as error:
        return _describe(error)
    n, n_scores = len(next(iter(split_keys(observations).values()))), count_scores(action_space)
    if tuple(scores.shape) != (n, n_scores):
        return f"its scores have the shape {tuple(scores.shape)} instead of {(n, n_scores)}"
    if tuple(both[1].shape) != (n,):
        return f"its values have the shape {tuple(both[1].shape)} instead of {(n,)}"
    if scores.isnan().all() and scores.numel():
        return "its scores are NaN"
    if not _close(*both[:1], scores):
        return "its scores alone differ from its scores beside the values"
    if answers is None:
        return None
    wrong = _count_other_actions(outputs, scores, answers.actions)
    if wrong:
        return f"its actions differ in {wrong} of {n} sampled observations"
    probabilities = (
        outputs.probabilities_of(scores) if std is None else torch.stack([scores, std], dim=-1)
    )
    if answers.probabilities is not None and not _close(probabilities, answers.probabilities):
        return "its probabilities differ"
    if answers.scores is not None and not _close(scores, answers.scores):
        return "its Q-values differ"
    if answers.values is not None and not _close(both[1], answers.values):
        return "its values differ"
    if answers.lstm_states is not None and (
        after is None or not _close(after, answers.lstm_states)
    ):
        return "its LSTM states differ"
    return None


def _interview(
    policy: Any, view: PolicyView, observation_space: Space, action_space: Space
) -> tuple[Question, Answers]:
    """Ask the policy twice, on sampled observations or, where these make it fail, on plain ones."""
    n, rng = _count(observation_space), np.random.default_rng(0)
    states = view.initial_lstm_states(n)
    if states is not None:
        states = states + torch.as_tensor(rng.uniform(-0.5, 0.5, states.shape)).to(states)
    masks = _sample_masks(action_space, n, rng) if view.maskable else None
    sampled = Question(sample_observations(observation_space, n, rng), masks, states)
    plain = Question(make_plain_observations(observation_space, n), masks, states)
    policy.eval()
    errors = []
    for question in (sampled, plain):
        try:
            answers, again = ask(policy, question), ask(policy, question)
        # whatever a stranger's policy may raise for numbers that its environment never gives
        except Exception as error:
            errors.append(error)
            continue
        if _equal(answers, again):
            return question, answers
        raise _refusal(
            policy,
            "asked twice, it answers differently: it draws at random, or remembers what it saw",
        )
    raise _refusal(policy, _describe(errors[0])) from errors[0]


def _ask_module(module: nn.Module, observations: Any) -> Answers | None:
    """The actions of a module's ``predict``, if it has one that is called as that of SB3."""
    predict = getattr(module, "predict", None)
    if not callable(predict):
        return None
    try:
        predicted = predict(observations, deterministic=True)
    # it may be a method of another meaning
    except Exception:
        return None
    actions = predicted[0] if isinstance(predicted, tuple) else predicted
    if isinstance(actions, Tensor):
        actions = actions.numpy(force=True)
    return Answers(actions) if isinstance(actions, np.ndarray) else None


# --- comparisons ------------------------------------------------------------------------------


def _close(ours: Tensor, theirs: Tensor) -> bool:
    """Whether two tensors are equal up to rounding; numbers that are not finite are equal."""
    if ours.numel() != theirs.numel():
        return False
    ours, theirs = ours.detach().double(), theirs.detach().double().reshape(ours.shape)
    if not torch.equal(ours.isfinite(), theirs.isfinite()):
        return False
    # scores of forbidden actions must be forbidden on both sides, whatever their numbers
    forbidden = ours <= FORBIDDEN / 2
    if not torch.equal(forbidden, theirs <= FORBIDDEN / 2):
        return False
    ours, theirs = (x[ours.isfinite() & ~forbidden] for x in (ours, theirs))
    scale = max(1.0, float(theirs.abs().max())) if theirs.numel() else 1.0
    return bool(((ours - theirs).abs() <= TOLERANCE * scale).all())


def _equal(first: Answers, second: Answers) -> bool:
    pairs = [
        (getattr(first, name), getattr(second, name))
        for name in ("probabilities", "scores", "values", "lstm_states")
    ]
    return np.allclose(first.actions, second.actions, atol=TOLERANCE, equal_nan=True) and all(
        (a is None and b is None) or (a is not None and b is not None and _close(a, b))
        for a, b in pairs
    )


def _count_other_actions(outputs: PolicyOutputs, scores: Tensor, theirs: Array) -> int:
    """Number of states in which the agent's action is another, and no other has the same score."""
    ours = outputs.act_on(scores)
    if ours.size != theirs.size:
        return len(ours)
    ours, theirs = ours.reshape(len(ours), -1), theirs.reshape(len(ours), -1)
    space = outputs.action_space
    if isinstance(space, spaces.Box):
        scale = max(1.0, float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0)))
        same = np.isclose(ours, theirs, rtol=0, atol=TOLERANCE * scale, equal_nan=True)
        return int((~same.all(axis=1)).sum())
    parts = torch.split(target_scores(space, scores), group_sizes(space), dim=-1)
    allowed = scores[scores > FORBIDDEN / 2].abs()
    scale = max(1.0, float(allowed.max())) if allowed.numel() else 1.0
    margins = torch.stack(
        [part.topk(min(2, part.shape[1]), dim=1).values[:, [0, -1]] for part in parts]
    )
    sure = (margins[:, :, 0] - margins[:, :, 1] > TOLERANCE / 10 * scale).all(dim=0)
    return int(((ours != theirs).any(axis=1) & sure.numpy(force=True)).sum())


# --- what is sampled --------------------------------------------------------------------------


def _count(space: Space) -> int:
    n_numbers = sum(int(np.prod(part.shape or ())) for part in spaces_by_key(space).values())
    return N_LARGE if n_numbers > LARGE else N_SMALL


def _sample_masks(space: Space, n: int, rng: np.random.Generator) -> Array:
    """(n, C) random masks, in which each group has an action that is allowed."""
    groups = []
    for size in group_sizes(space):
        allowed = rng.integers(0, 2, (n, size))
        allowed[np.arange(n), rng.integers(0, size, n)] = 1
        groups.append(allowed)
    return np.concatenate(groups, axis=1)


def _to_tensors(observations: Any, device: torch.device, dtype: torch.dtype | None) -> Any:
    if isinstance(observations, dict):
        return {key: _to_tensors(part, device, dtype) for key, part in observations.items()}
    return torch.as_tensor(observations, device=device, dtype=dtype)


# --- what is left as it was, and what is said -------------------------------------------------


@contextmanager
def _unchanged(policy: nn.Module) -> Iterator[None]:
    """Restore the policy's buffers and all global random states after the ``with`` block."""
    buffers = {name: buffer.clone() for name, buffer in policy.named_buffers()}
    on_gpu = {p.device.index for p in policy.parameters() if p.device.type == "cuda"}
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - the policy may use it
    try:
        with torch.random.fork_rng(devices=[index or 0 for index in on_gpu]):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        for name, buffer in policy.named_buffers():
            if name in buffers and not torch.equal(buffers[name], buffer):
                buffer.data.copy_(buffers[name])


def _describe(error: Exception) -> str:
    if isinstance(error, ExplainError):
        return str(error)
    return f"it raises {type(error).__name__} ({one_line(error)})"


def _refusal(policy: nn.Module, difference: str) -> ExplainError:
    own: Sequence[str] = list_own_methods(policy)
    named = f", whose own {' and '.join(own)} cannot be read" if own else ""
    return ExplainError(f"{type(policy).__name__}{named}: {difference}; {ADVICE}")
