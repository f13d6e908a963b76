"""Names of algorithms, and files that another algorithm wrote."""

import pytest
from sb3_contrib import QRDQN, MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.dqn.policies import DQNPolicy

from sb3_explain.agents.loading import load_agent
from sb3_explain.agents.loading.algorithms import ALGORITHMS, find_algorithm
from sb3_explain.common.errors import ExplainError
from tests.agents.loading.models import CASES, make_model


class OwnSAC(SAC):
    pass


@pytest.mark.parametrize(
    ("written", "name"),
    [("PPO", "ppo"), ("RecurrentPPO", "ppo_lstm"), ("ppo-lstm", "ppo_lstm"), ("Her", "her"),
     ("recurrent_ppo", "ppo_lstm"), ("PPO_LSTM", "ppo_lstm"), ("maskableppo", "maskable_ppo"),
     ("MaskablePPO", "maskable_ppo"), (" sac ", "sac"), ("qr_dqn", "qrdqn"),
     (PPO, "ppo"), (RecurrentPPO, "ppo_lstm"), (MaskablePPO, "maskable_ppo"), (QRDQN, "qrdqn"),
     (OwnSAC, "sac")],
)  # fmt: skip
def test_names_of_algorithms(written, name):
    assert find_algorithm(written) == name


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_class_of_every_algorithm_is_its_name(name):
    assert find_algorithm(ALGORITHMS[name]) == find_algorithm(name) == name


def test_an_unknown_algorithm_suggests_the_nearest():
    with pytest.raises(ExplainError, match="did you mean 'qrdqn'"):
        find_algorithm("qrdqm")
    with pytest.raises(ExplainError, match="OnPolicyAlgorithm derives from no known algorithm"):
        find_algorithm(OnPolicyAlgorithm)
    with pytest.raises(ExplainError, match="a name or a class"):
        find_algorithm(3)


def test_every_algorithm_is_among_the_cases():
    assert {case.algo for case in CASES.values()} == set(ALGORITHMS)


@pytest.mark.parametrize(
    ("case", "algo", "right"),
    [("maskable_ppo", "ppo", "maskable_ppo"), ("sac", "td3", "sac"), ("dqn", "qrdqn", "dqn"),
     ("ppo_lstm", "ppo", "ppo_lstm"), ("ppo", "ppo_lstm", "ppo"), ("qrdqn", "dqn", "qrdqn"),
     ("tqc", "sac", "tqc"), ("ars-mlp", "ppo", "ars"), ("crossq", "sac", "crossq"),
     # policies of one class, which settings tell apart
     ("ppo", "a2c", "ppo"), ("trpo", "ppo", "trpo"), ("trpo", "a2c", "trpo"),
     # settings say nothing of A2C and DDPG that others have not
     ("a2c", "dqn", "a2c"), ("ddpg", "sac", "ddpg")],
)  # fmt: skip
def test_a_file_of_another_algorithm_is_refused_with_the_right_name(case, algo, right, tmp_path):
    make_model(CASES[case]).save(tmp_path / "model")
    with pytest.raises(ExplainError, match=f"not of {algo}, but of .*load it as .*'{right}'"):
        load_agent(algo, None, folder=tmp_path / "model.zip")
    assert load_agent(right, None, folder=tmp_path / "model.zip").algo == right


def test_a_class_of_ones_own_shows_the_algorithm_too(tmp_path):
    class Own(DQNPolicy):
        pass

    case = CASES["dqn"]
    make_model(case._replace(policy=Own)).save(tmp_path / "model")
    with pytest.raises(ExplainError, match="not of ppo, but of dqn"):
        load_agent("ppo", None, folder=tmp_path / "model.zip", policy_class=Own)
    loaded = load_agent("dqn", None, folder=tmp_path / "model.zip", policy_class=Own)
    assert loaded.algo == "dqn"
