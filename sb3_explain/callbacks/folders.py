"""The folders that callbacks write to."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback, EvalCallback
from stable_baselines3.common.env_util import unwrap_wrapper
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv


def claim_folder(base: Path, kind: str) -> Path:
    """Create the first folder of ``kind``, ``kind_2``, ``kind_3``, ... that does not exist yet.

    :param base: parent folder, which is created if it is missing
    :param kind: name of the folder
    """
    base.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        folder = base / (kind if number == 1 else f"{kind}_{number}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            continue
    raise AssertionError("count does not end")


def find_results_folder(model: BaseAlgorithm, callbacks: BaseCallback | None = None) -> Path:
    """Find the folder of a training's results; for rl-zoo3 that of the run, with the model.

    It is the folder that SB3's own callbacks save models to, else that of a ``Monitor``, else that
    of the logger, else ``explanations`` in the working directory.

    :param model: model that is trained
    :param callbacks: all callbacks of the training
    """
    for callback in getattr(callbacks, "callbacks", []):
        saved = getattr(callback, "save_path", None) or getattr(
            callback, "best_model_save_path", None
        )
        if isinstance(callback, (CheckpointCallback, EvalCallback)) and saved:
            return Path(saved)
    env = model.get_env()
    inner = env.unwrapped if env is not None else None
    if isinstance(inner, DummyVecEnv):
        for monitor in (unwrap_wrapper(env, Monitor) for env in inner.envs):
            if isinstance(monitor, Monitor) and monitor.results_writer is not None:
                return Path(monitor.results_writer.file_handler.name).parent
    if model.tensorboard_log is not None or model._custom_logger:
        written = model.logger.get_dir()
        if written:
            return Path(written)
    return Path("explanations")
