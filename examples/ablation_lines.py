"""The lines of the VisionMask paper's table 2: what each changes, and the paper's figures.

``ablation.py`` runs them. Every line differs from the base line in one thing.
"""

import dataclasses
from typing import Any

from sb3_explain import VisionMask

#: metrics of the paper's table
METRICS = ("accuracy", "insertion", "deletion", "local_lipschitz", "sparseness")
#: the loss as in the paper, by every setting of VisionMask whose default is another
PAPER_LOSS: dict[str, Any] = dict(VisionMask.PAPER)
#: and what the default is
OWN_LOSS = {name: getattr(VisionMask.Settings(), name) for name in PAPER_LOSS}
#: the base line: the paper's method with the compact network; Mario's background is the sky
BASE = {"baseline": "most_frequent", "max_area": 0.1, **PAPER_LOSS}
#: options of training: as many epochs as the paper's table 2a, fewer where a step takes ten times
#: as long. The ResNets start from random weights, not from ImageNet's as in the paper.
TRAINING = {"epochs": 10}
LARGE = {"epochs": 4, "learning_rate": 1e-3}


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of the table.

    :param part: which part of the method is changed
    :param variant: to what, in words
    :param settings: of the VisionMask, where they are not those of the base line
    :param paper: Zuo et al. (2025), table 2, in %, in the order of :data:`METRICS`
    :param training: options of training
    """

    part: str
    variant: str
    settings: dict[str, Any]
    paper: tuple[float, ...] | None = None
    training: dict[str, Any] = dataclasses.field(default_factory=TRAINING.copy)

    @property
    def run(self) -> str:
        """Name of the run: lines with the same settings share one."""
        flat: dict[str, Any] = {}
        for name, value in self.settings.items():
            flat |= value if isinstance(value, dict) else {name: value}
        return ",".join(f"{name}={value}" for name, value in flat.items()) or "base"


def unet(width: int) -> dict[str, Any]:
    """Settings of a U-Net with so many channels at full resolution."""
    return {"network": "unet", "network_options": {"width": width}}


LINES = (
    Line("loss", "the paper's (base)", {}, (95.9, 67.6, 20.4, 62.6, 62.3)),
    Line("loss", "this package's", OWN_LOSS),
    Line("component", "contrast alone", {"lambda_ne": 0.0, "lambda_area": 0.0},
         (96.7, 56.7, 23.7, 99.3, 24.0)),
    Line("component", "+ negative entropy", {"lambda_area": 0.0}, (96.5, 56.5, 23.8, 96.0, 23.8)),
    Line("component", "+ area (base)", {}, (95.9, 67.6, 20.4, 62.6, 62.3)),
    Line("component", "+ total variation", {"lambda_tv": 1.0}, (95.6, 64.6, 20.7, 68.8, 60.5)),
    Line("area", "L1, one-sided (base)", {}, (95.9, 67.6, 20.4, 62.6, 62.3)),
    Line("area", "L1 as printed (eq. 5)", {"area": "l1_paper"}),
    Line("area", "min-max (Stalder et al.)", {"area": "minmax"}, (95.6, 64.3, 21.1, 56.6, 73.8)),
    Line("max_area", "0.1 (base)", {}, (95.9, 57.0, 19.5, 96.0, 79.0)),
    Line("max_area", "0.2", {"max_area": 0.2}, (94.5, 56.9, 19.5, 93.8, 58.6)),
    Line("max_area", "0.4", {"max_area": 0.4}, (95.8, 57.0, 19.5, 99.5, 48.1)),
    Line("network", "compact (base)", {}),
    Line("network", "U-Net, 16 channels", unet(16)),
    Line("network", "U-Net, 64 channels", unet(64), (94.7, 56.8, 19.7, 86.3, 19.8), LARGE),
    Line("network", "FCN-ResNet50", {"network": "fcn_resnet50"},
         (94.2, 56.5, 19.6, 100.0, 58.0), LARGE),
    Line("network", "DeepLabv3-ResNet50 (the paper's base)", {"network": "deeplabv3_resnet50"},
         (96.0, 67.5, 20.4, 62.6, 62.3), LARGE),
    Line("baseline", "background: the sky (base)", {}, (97.8, 67.5, 20.4, 62.6, 62.3)),
    Line("baseline", "background of every cell", {"baseline": "background"}),
    Line("baseline", "black", {"baseline": "black"}, (95.9, 51.7, 16.8, 54.4, 28.5)),
    Line("baseline", "mean", {"baseline": "mean"}, (97.6, 54.5, 18.2, 92.6, 45.5)),
    Line("baseline", "blur", {"baseline": "blur"}, (94.4, 56.9, 25.0, 99.6, 56.6)),
)  # fmt: skip
PARTS = tuple(dict.fromkeys(line.part for line in LINES))
#: the first line of each run, in the order of the table
RUNS: dict[str, Line] = {}
for _line in LINES:
    RUNS.setdefault(_line.run, _line)
