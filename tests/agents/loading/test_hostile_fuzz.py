"""Random damage to every format that is loaded: an error of one line, or an agent that works."""

import contextlib
import json
import warnings
import zipfile
from io import BytesIO

import numpy as np
import pytest
import torch

from sb3_explain.agents.loading.archive import read_archive
from sb3_explain.agents.loading.expressions import read_class, read_expression
from sb3_explain.agents.loading.pickled_statistics import read_statistics
from sb3_explain.agents.loading.weights import read_weights
from sb3_explain.agents.loading.yaml_config import read_yaml
from sb3_explain.common.errors import ExplainError
from tests.agents.loading.spoilt import torch_bytes
from tests.agents.loading.test_hostile_weights import inner_zip
from tests.mutations import FEW, MANY, OTHERS, mutate_bytes, mutate_data, require_line

WEIGHTS = {"a.weight": torch.ones(3, 2), "a.bias": torch.arange(3.0), "n": torch.tensor(1)}
CONFIG = {
    "policy": "MlpPolicy", "normalize": "{'norm_obs': True, 'norm_reward': False}",
    "policy_kwargs": "dict(net_arch=[4], activation_fn=nn.Tanh)", "n_timesteps": 1e6,
    "env_wrapper": [{"stable_baselines3.common.monitor.Monitor": {}}], "frame_stack": 1,
    "env_kwargs": {"render_mode": None}, "vec_env_wrapper": None,
}  # fmt: skip
#: what YAML reads as another type, or fails at
YAML_WORDS = [
    "!!int ''", "!!int x", "!!bool abc", "!!timestamp abc", "!!float ''", "!!float 1:2:x",
    "!!null x", "!!binary '='", "!!set {a, b}", "!!omap [a]", "!!pairs [a]", "!!map [a]",
    "!!seq {}", "!!str [a]", "0x" + "f" * 6000, "0" + "7" * 6000, "1:" * 3000 + "1",
    "0b" + "1" * 20_000, "9" * 5000, "-.inf", ".nan", "1e999", "2001-01-01", "2001-13-45",
    "2001-01-01T99:99:99", "<<", "=", "~", "*a", "&a [*a]", "!x y", "!!python/name:os.system",
    "? [a]", "{[a]: b}", "[" * 200 + "]" * 200, "'\\x07'", '"\\x1b[31m\\n"', "|\n  x", "yes",
    "0o17", "1_000", "@", "%", "`",
]  # fmt: skip
#: what an expression is made of
TOKENS = [
    "dict", "(", ")", "(", ")", "[", "]", "{", "}", ",", ":", "=", "*", "**", "+", "-", "/",
    "nn.ReLU", "nn", ".", "'a'", "b'a'", "f'{1}'", "1", "10**9", "0x" + "f" * 300, "1e308",
    "1e999", "True", "None", "lambda x:", "x", "for x in", "if", "else", "net_arch", "pi",
    "__import__", "\\", "\n", "#", "'\\d'", "é", "\x00", "\udcff", "...", "@", "await", "yield",
    "not", " ",
]  # fmt: skip


@contextlib.contextmanager
def one_line_or_nothing():
    """Whatever fails is one line, beside which no library warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", SyntaxWarning)
        try:
            yield
        except ExplainError as error:
            require_line(str(error))


def many(n):
    """The usual number of mutations, and a large one in the slow tests."""
    return pytest.mark.parametrize("n", [n, pytest.param(n * MANY // FEW, marks=pytest.mark.slow)])


def write_yaml(data):
    """Lines of YAML, whose values are JSON, which has no limit of depth and digits."""
    items = data.items() if isinstance(data, dict) else [("a", data)]
    return [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in items]


@many(FEW)
def test_the_zip(folder, n):
    whole = folder.zip.read_bytes()
    for seed in range(n):
        folder.zip.write_bytes(mutate_bytes(whole, np.random.default_rng([1, seed])))
        with one_line_or_nothing():
            read_archive(folder.zip)


@many(5 * FEW)
@pytest.mark.parametrize("legacy", [False, True])
def test_the_weights(n, legacy):
    whole = torch_bytes(WEIGHTS, _use_new_zipfile_serialization=not legacy)
    for seed in range(n):
        content = mutate_bytes(whole, np.random.default_rng([2, seed]))
        with one_line_or_nothing():
            weights = read_weights(content, "w.pth")
            assert all(torch.isfinite(tensor).all() for tensor in weights.values())


@many(5 * FEW)
def test_the_pickle_of_the_weights(n):
    """Beyond the checksums of the zip."""
    for seed in range(n):
        rng = np.random.default_rng([3, seed])

        def change(records, rng=rng):
            records["data.pkl"] = mutate_bytes(records["data.pkl"], rng)

        with one_line_or_nothing():
            for tensor in read_weights(inner_zip(change, WEIGHTS), "w.pth").values():
                assert torch.isfinite(tensor).all()


@many(FEW)
def test_the_names_and_shapes_of_the_weights(folder, n):
    """Weights as torch writes them, of which some are others."""
    members = folder.members()
    whole = torch.load(BytesIO(members["policy.pth"]), weights_only=True)
    shapes = [(), (1,), (4,), (4, 4), (2, 4), (4, 1), (1, 1, 1), (64, 1), (1, 64)]
    for seed in range(n):
        rng = np.random.default_rng([4, seed])
        weights = dict(whole)
        for _ in range(rng.integers(1, 4)):
            name = list(weights)[rng.integers(len(weights))]
            shape = shapes[rng.integers(len(shapes))]
            way = rng.integers(4)
            if way == 0:
                weights[name] = torch.zeros(shape)
            elif way == 1:
                del weights[name]
            elif way == 2:
                weights[name.replace("0", str(rng.integers(99)))] = weights[name]
            else:
                weights[name] = weights[name].to(torch.int64)
        folder.write_zip({**members, "policy.pth": torch_bytes(weights)})
        with one_line_or_nothing():
            assert torch.isfinite(folder.load().scores(torch.zeros(1, 4))).all()


@many(2 * FEW)
def test_the_data(folder, n):
    members = folder.members()
    data = json.loads(members["data"])
    for seed in range(n):
        rng = np.random.default_rng([5, seed])
        content = json.dumps(mutate_data(data, rng)).encode()
        if rng.random() < 0.3:
            content = mutate_bytes(content, rng)
        folder.write_zip({**members, "data": content})
        with one_line_or_nothing():
            assert torch.isfinite(folder.load().scores(torch.zeros(1, 4))).all()


@many(5 * FEW)
def test_the_statistics(folder, n):
    whole = folder.statistics.read_bytes()
    for seed in range(n):
        folder.statistics.write_bytes(mutate_bytes(whole, np.random.default_rng([6, seed])))
        with one_line_or_nothing():
            for normalizer in read_statistics(folder.statistics).values():
                assert np.isfinite(normalizer.mean).all() and np.isfinite(normalizer.var).all()


@many(FEW)
@pytest.mark.parametrize("file", ["config.yml", "args.yml", "env_kwargs.yml"])
def test_the_configuration(folder, file, n):
    path = folder.stored / file
    for seed in range(n):
        rng = np.random.default_rng([7, seed])
        lines = write_yaml(mutate_data(CONFIG, rng))
        if rng.random() < 0.6:
            key = list(CONFIG)[rng.integers(len(CONFIG))]
            lines.append(f"{key}: {YAML_WORDS[rng.integers(len(YAML_WORDS))]}")
        content = "\n".join(lines).encode()
        path.write_bytes(mutate_bytes(content, rng) if rng.random() < 0.3 else content)
        with one_line_or_nothing():
            assert torch.isfinite(folder.load().scores(torch.zeros(1, 4))).all()


@pytest.mark.parametrize("word", YAML_WORDS, ids=range(len(YAML_WORDS)))
def test_broken_values_of_yaml(folder, word):
    path = folder.stored / "config.yml"
    for text in (word, f"policy: {word}", f"env_kwargs: {{a: {word}}}", f"- {word}", f"{word}: 1"):
        path.write_text(text)
        with one_line_or_nothing():
            assert isinstance(read_yaml(path), dict)
        with one_line_or_nothing():
            folder.load()


@many(10 * FEW)
def test_expressions(n):
    for seed in range(n):
        rng = np.random.default_rng([8, seed])
        text = "".join(TOKENS[i] for i in rng.integers(len(TOKENS), size=rng.integers(1, 25)))
        with one_line_or_nothing():
            json.dumps(read_expression(text, "it"), default=str, skipkeys=True)
        with one_line_or_nothing():
            read_class(f"<class '{text}'>", "it")


@pytest.mark.parametrize("other", range(len(OTHERS)))
@pytest.mark.parametrize("key", CONFIG)
def test_settings_of_another_type(folder, key, other):
    path = folder.stored / "config.yml"
    path.write_text("\n".join(write_yaml({"normalize": True, key: OTHERS[other]})))
    with one_line_or_nothing():
        folder.load()


def test_a_zip_that_is_whole_loads(folder):
    with zipfile.ZipFile(folder.zip) as archive:
        assert archive.testzip() is None
    assert folder.load().n_scores == 2
