"""Codecs: networks that encode an image or a vector as features, and decode it again."""

from __future__ import annotations

import math

from torch import Tensor, nn

from sb3_explain.common.registry import Registry

#: codecs of images by name
CODECS: Registry[type[nn.Module]] = Registry("codec", __name__)

#: filters of the first stage; each of the four stages of the paper has twice as many as the one
#: before
WIDTH = 32
N_STAGES = 4


def make_activation(n: int, *, normalized: bool) -> list[nn.Module]:
    """Return what follows a convolution of n filters: batch normalisation or not, and ReLU."""
    # not in place: the input may be a view of a larger tensor
    return [nn.BatchNorm2d(n), nn.ReLU()] if normalized else [nn.ReLU()]


class ImageCodec(nn.Module):
    """Convolutions that halve the resolution, and as many that double it again.

    A decoded image that is larger than the original is cropped about its centre.

    :param shape: (C, H, W) of the image
    :param widths: number of filters of each stage
    :param grid: (h, w) at which decoding begins
    :param kernel: kernel size of the transposed convolutions: 3, or 4, which covers every pixel
        equally often
    :param normalized: whether to use batch normalisation
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
            down += make_activation(n_out, normalized=normalized)
        self.encode = nn.Sequential(*down, nn.Flatten())
        reached = [math.ceil(side / 2 ** len(widths)) for side in shape[1:]]
        #: number of features that :attr:`encode` returns, and that :meth:`decode` takes
        self.n_encoded = widths[-1] * math.prod(reached)
        self.n_decoded = math.prod(self.grid)
        up = make_activation(widths[-1], normalized=normalized)
        for n_out, n_in in reversed(pairs):
            up.append(
                nn.ConvTranspose2d(
                    n_in, n_out, kernel, stride=2, padding=1, output_padding=4 - kernel
                )
            )
            up += make_activation(n_out, normalized=normalized)
        # the last convolution draws the image
        self.upsample = nn.Sequential(*up[: -len(make_activation(1, normalized=normalized))])

    def decode(self, features: Tensor) -> Tensor:
        """Decode features (B, n_decoded) to images (B, C, H, W), of any sign."""
        drawn: Tensor = self.upsample(features.reshape(-1, *self.grid))
        height, width = self.shape[1:]
        top, left = (drawn.shape[2] - height) // 2, (drawn.shape[3] - width) // 2
        return drawn[:, :, top : top + height, left : left + width]


@CODECS.register("paper")
class PaperCodec(ImageCodec):
    """The paper's codec: 32 to 256 filters, batch normalisation, 128 x 128 pixels, cropped."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        sides = [2 ** math.ceil(math.log2(max(math.ceil(n / 2**N_STAGES), 1))) for n in shape[1:]]
        widths = tuple(WIDTH * 2**i for i in range(N_STAGES))
        super().__init__(shape, widths, (sides[0], sides[1]), kernel=3, normalized=True)


@CODECS.register("compact")
class CompactCodec(ImageCodec):
    """A codec for CPUs: 32 to 128 filters, decoded to little more than the image's own size.

    It has no batch normalisation, whose statistics differ so much between batches of a game with
    small moving objects that codes would not be the same in evaluation and in training.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        sides = [math.ceil(n / 2**N_STAGES) for n in shape[1:]]
        widths = (WIDTH, 2 * WIDTH, 4 * WIDTH, 4 * WIDTH)
        super().__init__(shape, widths, (sides[0], sides[1]), kernel=4, normalized=False)


class VectorCodec(nn.Module):
    """A codec of vectors: two hidden layers to encode, and two to decode.

    :param n_features: number of the vector's features
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
