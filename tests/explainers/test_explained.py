"""Which keys of a Dict observation a method explains, and that it says which it does not."""

import pytest

from sb3_explain import compare
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import argument_names
from sb3_explain.explainers import EXPLAINERS, explained
from sb3_explain.explainers.base import FittedExplainer
from sb3_explain.explainers.showing import call_keys
from sb3_explain.states.batch import StateBatch
from tests.explainers.kinds import QUICK, agent_of, states_of

KIND = "image and vector"
IMAGES_ALONE = ("sarfa", "greydanus", "occlusion", "rise", "grad_cam", "guided_grad_cam")
FEATURES_ALONE = ("feature_ablation", "kernel_shap")
CONTROLS = ("constant", "empty", "random")
METHODS = [
    name
    for name, kind in EXPLAINERS.items()
    if not issubclass(kind, FittedExplainer) and name not in CONTROLS
]


def make(name):
    options = {key: QUICK[key] for key in QUICK.keys() & argument_names(EXPLAINERS[name])}
    return EXPLAINERS[name](agent_of(KIND), **options)


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch):
    monkeypatch.setattr(explained, "_TOLD", set())


@pytest.mark.parametrize("name", METHODS)
def test_a_key_that_a_method_does_not_explain_is_named_once(name, caplog):
    try:
        explainer = make(name)
    except ExplainError:
        pytest.skip("it does not support the agent")
    left_out = ["vector"] * (name in IMAGES_ALONE) + ["image"] * (name in FEATURES_ALONE)
    assert sorted(explainer.left_out) == left_out
    for _ in range(2):
        attributions = explainer.attribute(states_of(KIND).observations([0, 1]))
        explainer.attribute_all(states_of(KIND).observations([0, 1]))
    for key, attribution in attributions.items():
        assert bool(attribution.any()) == (key not in left_out), key
    messages = [each for each in caplog.messages if "does not explain" in each]
    assert len(messages) == bool(left_out)
    for message in messages:
        assert message.startswith(f"{name} does not explain {left_out[0]!r} of the observation")
        others = message.rpartition(": ")[2].removesuffix(" does").split(" or ")
        assert all(left_out[0] not in make(other).left_out for other in others)


def test_which_keys_learned_masks_leave_out():
    for name, left_out in (("ssinet", {"vector"}), ("visionmask", set()), ("stalder", set())):
        assert set(EXPLAINERS[name](agent_of(KIND)).left_out) == left_out


def test_a_figure_says_which_key_is_not_explained():
    observations = states_of(KIND).observations([0])
    figure = make("occlusion").show(observations)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert sum(title == "vector (not explained)" for title in titles) == 1
    assert not any("image (not explained" in title for title in titles)
    figure = compare(agent_of(KIND), observations, [make("occlusion"), make("lime")])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert sum("not explained" in title for title in titles) == 1


@pytest.mark.parametrize(
    ("keys", "left_out", "said"),
    [
        ([""], [], ""),
        ([""], [""], "(not explained)"),
        (["sensors", "goal", "mode"], [], "sensors, goal and mode"),
        (["sensors", "goal", "mode"], ["mode"], "sensors and goal; not explained: mode"),
        (["sensors", "mode"], ["mode", "sensors", "x"], "sensors and mode (not explained)"),
        (["goal", "mode", "kind"], ["mode", "kind"], "goal; not explained: mode and kind"),
    ],
)
def test_keys_of_one_panel_are_named_in_words(keys, left_out, said):
    assert call_keys(keys, left_out) == said


def test_a_key_of_categories_has_no_gradient(caplog):
    kind = "image, vector, category"
    agent = agent_of(kind)
    keys = [key for key, each in agent.categories.looked_up.items() if each.all()]
    for name in ("gradient", "input_x_gradient", "integrated_gradients", "smoothgrad"):
        assert list(EXPLAINERS[name](agent).left_out) == keys and keys
    batch = StateBatch(agent, states_of(kind).observations([0]))
    assert not EXPLAINERS["gradient"](agent).attribute_batch(batch)[keys[0]].any()
    assert f"gradient does not explain {keys[0]!r} of the observation" in caplog.text
