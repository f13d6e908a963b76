"""Codecs: how an image, or a vector, becomes features and comes back."""

from __future__ import annotations

import math

from torch import Tensor, nn

from sb3_explain.common.registry import Registry

#: codecs of images by name
CODECS: Registry[type[nn.Module]] = Registry("codec", __name__)


#: filters of the first of four stages; each has twice as many as the one before
WIDTH = 32
N_STAGES = 4


def activated(n: int, *, normalized: bool) -> list[nn.Module]:
    """What follows a convolution of n filters: batch normalisation, if at all, and a ReLU."""
    # not in place: what comes in may be a part of something larger
    return [nn.BatchNorm2d(n), nn.ReLU()] if normalized else [nn.ReLU()]


class ImageCodec(nn.Module):
    """Stages of half the resolution, and as many that double it again.

    What is decoded is larger than the image where its sides are no multiples of the stages', and
    is cropped about its centre.

    :param shape: (C, H, W)
    :param widths: filters of each stage
    :param grid: (h, w) that decoding begins at
    :param kernel: of the transposed convolutions: 3, or 4, which covers every pixel equally often
    :param normalised: with batch normalisation
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        widths: tuple[int, ...],
        grid: tuple[int, int],
        *,
        kernel: int,
        normalized: bool,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.grid = (widths[-1], *grid)
        pairs = list(zip((shape[0], *widths), widths, strict=False))
        down: list[nn.Module] = []
        for n_in, n_out in pairs:
            down.append(nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=not normalized))
            down += activated(n_out, normalized=normalized)
        self.encode = nn.Sequential(*down, nn.Flatten())
        reached = [math.ceil(side / 2 ** len(widths)) for side in shape[1:]]
        #: features that come out of :attr:`encode`, and that :meth:`decode` takes
        self.n_encoded = widths[-1] * math.prod(reached)
        self.n_decoded = math.prod(self.grid)
        up = activated(widths[-1], normalized=normalized)
        for n_out, n_in in reversed(pairs):
            up.append(
                nn.ConvTranspose2d(
                    n_in, n_out, kernel, stride=2, padding=1, output_padding=4 - kernel
                )
            )
            up += activated(n_out, normalized=normalized)
        # the last one draws the image
        self.upsample = nn.Sequential(*up[: -len(activated(1, normalized=normalized))])

    def decode(self, features: Tensor) -> Tensor:
        """(B, n_decoded) -> (B, C, H, W), of any sign."""
        drawn: Tensor = self.upsample(features.reshape(-1, *self.grid))
        height, width = self.shape[1:]
        top, left = (drawn.shape[2] - height) // 2, (drawn.shape[3] - width) // 2
        return drawn[:, :, top : top + height, left : left + width]


@CODECS.register("paper")
class PaperCodec(ImageCodec):
    """The paper's: 32 to 256 filters, batch normalisation, decoded to 128 x 128 and cropped."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        sides = [2 ** math.ceil(math.log2(max(math.ceil(n / 2**N_STAGES), 1))) for n in shape[1:]]
        widths = tuple(WIDTH * 2**i for i in range(N_STAGES))
        super().__init__(shape, widths, (sides[0], sides[1]), kernel=3, normalized=True)


@CODECS.register("compact")
class CompactCodec(ImageCodec):
    """For CPUs: 32 to 128 filters, decoded to little more than the image's own size.

    Without batch normalisation, whose statistics of a game with small moving objects differ so much
    between batches that codes come out otherwise in evaluation than in training.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        sides = [math.ceil(n / 2**N_STAGES) for n in shape[1:]]
        widths = (WIDTH, 2 * WIDTH, 4 * WIDTH, 4 * WIDTH)
        super().__init__(shape, widths, (sides[0], sides[1]), kernel=4, normalized=False)


class VectorCodec(nn.Module):
    """Two hidden layers there and back, for vectors.

    :param n_features: D
    :param width: units of a hidden layer
    """

    def __init__(self, n_features: int, width: int = 256) -> None:
        super().__init__()
        self.n_encoded = self.n_decoded = width
        self.encode = nn.Sequential(
            nn.Linear(n_features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.decode = nn.Sequential(
            nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, n_features)
        )
