"""Videos of an episode: the game, the map of the action laid over it, and a caption."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path

import imageio_ffmpeg  # type: ignore[import-untyped]
import numpy as np

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import atomic_path
from sb3_explain.common.numbers import require_number, require_whole
from sb3_explain.report.captions import BACKGROUND, Caption, CaptionPanel, draw_heading
from sb3_explain.report.gif import encode_gif
from sb3_explain.report.overlay import Attribution, Frame, Playfield, enlarge, scale_playfield
from sb3_explain.report.overlay_styles import OverlayStyle, draw_overlay, require_style

#: height in pixels that small games are enlarged to by whole factors, and large ones reduced to
GAME_HEIGHT = 640
#: smallest and largest number of frames per second that players show
FPS = (0.1, 1000)
#: smallest and largest height of the game in pixels that an encoder takes
HEIGHTS = (16, 4320)
_GAP = 8
# H.264 in the variant that every browser plays, with the colors of the RGB frames preserved.
_ENCODING = [
    *("-preset", "medium", "-crf", "20", "-movflags", "+faststart", "-f", "mp4"),
    *("-vf", "scale=out_color_matrix=bt709:out_range=tv"),
    *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
    *("-color_range", "tv"),
]


def write_video(
    path: str | Path,
    frames: Iterable[Frame],
    attributions: Iterable[Attribution | None],
    captions: Iterable[Caption],
    *,
    action_names: Sequence[str],
    fps: float = 15,
    side_by_side: bool = True,
    signed: bool = False,
    style: OverlayStyle = "heat",
    playfield: Playfield | None = None,
    title: str = "map of the chosen action",
    game: str = "the game as rendered",
    measure: str = "probability",
    target: str = "",
    marked: int | None = None,
    height: int = GAME_HEIGHT,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write a video, one frame at a time; the file appears only when it is complete.

    :param path: path of the file: ``.gif`` for an animated GIF, anything else for an MP4
    :param frames: T pictures (h, w, 3) uint8, as rendered, all of one size
    :param attributions: T maps (H, W) of the caption's action or of the target, see
        :func:`sb3_explain.report.lay_over`
    :param captions: T captions
    :param action_names: names of the K actions
    :param fps: frames per second
    :param side_by_side: whether to show the plain game left of the one with the map
    :param signed: whether the maps lie in [-1, 1]
    :param style: how maps are drawn, see :func:`.draw_overlay`
    :param playfield: part of the frame that the observation shows
    :param title: title over the map; empty for no line of titles
    :param game: title over the plain game
    :param measure: name of what the probabilities are, for example ``"softmax of Q"``
    :param target: name of what is explained in all frames, where it is not the action taken
    :param marked: index of the action that is explained then; ``None`` if the target is none
    :param height: approximate height of the game in pixels; small games are enlarged by a whole
        factor
    :param progress: function that is called with the number of frames written so far
    :return: T, the number of frames written
    :raises ExplainError: if there is no frame, if sizes change, for an unknown style, or if the
        video cannot be encoded
    """
    require_video(fps, height)
    require_style(style)
    pictures = _compose(
        zip(frames, attributions, captions, strict=True),
        action_names=action_names,
        side_by_side=side_by_side,
        signed=signed,
        style=style,
        playfield=playfield,
        titles=[*([game] if side_by_side else []), title] if title else [],
        measure=measure,
        target=target,
        marked=marked,
        height=height,
    )
    return write_pictures(path, pictures, fps, progress)


def write_pictures(
    path: str | Path,
    pictures: Iterable[Frame],
    fps: float,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write whole pictures as a video; the file appears only when it is complete.

    :param path: path of the file: ``.gif`` for an animated GIF, anything else for an MP4
    :param pictures: T pictures (h, w, 3) uint8 of one size, whose sides are even
    :param fps: frames per second
    :param progress: function that is called with the number of frames written so far
    :return: T, the number of frames written
    :raises ExplainError: if there is no picture, or the video cannot be encoded
    """
    path = Path(path)
    remaining = iter(pictures)
    first = next(remaining, None)
    if first is None:
        raise ExplainError(f"no frames to show: {path} was not written")
    written = 0

    def count_written() -> Iterator[Frame]:
        nonlocal written
        for picture in itertools.chain([first], remaining):
            yield picture
            written += 1
            if progress is not None:
                progress(written)

    with atomic_path(path) as temporary:
        if path.suffix == ".gif":
            temporary.write_bytes(encode_gif(count_written(), fps))
            return written
        _encode(temporary, first.shape, count_written(), fps)
        # ffmpeg may end early without an error, for example on a full disk: count the frames.
        if count_frames(temporary) != written:
            raise ExplainError(f"{path} could not be encoded completely: is the disk full?")
    return written


def count_frames(path: Path) -> int:
    """Count the pictures of a video; 0 where nothing can be read."""
    try:
        n_frames: int = imageio_ffmpeg.count_frames_and_secs(str(path))[0]
    except RuntimeError:  # which repeats all that ffmpeg says
        return 0
    return n_frames


def read_frames(path: str | Path) -> Iterator[Frame]:
    """Read all pictures (h, w, 3) of a video, first to last.

    :param path: path of the video
    :raises ExplainError: if the file is not a video
    """
    try:
        reader = imageio_ffmpeg.read_frames(str(path))
        width, height = next(reader)["size"]
        for picture in reader:
            yield np.frombuffer(picture, dtype=np.uint8).reshape(height, width, 3)
    except (OSError, RuntimeError) as error:
        raise ExplainError(f"{path} is not a video that can be read") from error


def _encode(path: Path, shape: tuple[int, ...], pictures: Iterable[Frame], fps: float) -> None:
    height, width = shape[:2]
    encoder = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=fps,
        codec="libx264",
        pix_fmt_out="yuv420p",
        macro_block_size=1,
        quality=None,
        ffmpeg_log_level="error",
        output_params=_ENCODING,
    )
    try:
        encoder.send(None)
        for picture in pictures:
            _send(encoder, picture)
    finally:
        encoder.close()


def _send(encoder: Generator[None, Frame | None, None], picture: Frame) -> None:
    try:
        encoder.send(np.ascontiguousarray(picture))
    except OSError as error:
        if error.errno is not None:
            raise
        # ffmpeg has ended; its error is the last line of the message.
        reason = str(error).strip().splitlines()[-1]
        raise ExplainError(f"ffmpeg could not encode the video: {reason}") from error


def _compose(
    triples: Iterator[tuple[Frame, Attribution | None, Caption]],
    *,
    action_names: Sequence[str],
    side_by_side: bool,
    signed: bool,
    style: OverlayStyle,
    playfield: Playfield | None,
    titles: Sequence[str],
    measure: str,
    target: str,
    marked: int | None,
    height: int,
) -> Iterator[Frame]:
    """Compose the whole pictures: titles, game, game under the map, caption."""
    shape: tuple[int, ...] | None = None
    for frame, attribution, caption in triples:
        if shape is None:
            shape = frame.shape
            factor = choose_factor(frame.shape[0], height, frame.shape[1])
            game = enlarge(frame, factor)
            gap = np.full((game.shape[0], _GAP, 3), BACKGROUND, dtype=np.uint8)
            width = game.shape[1] * 2 + _GAP if side_by_side else game.shape[1]
            width += width % 2
            empty = np.empty((0, width, 3), dtype=np.uint8)
            top = draw_heading(width, titles, signed=signed, style=style) if titles else empty
            panel = CaptionPanel(width, action_names, measure, target=target, marked=marked)
        elif frame.shape != shape:
            raise ExplainError(f"all frames of a video have one size: {frame.shape} after {shape}")
        game = enlarge(frame, factor)
        shown = game
        if attribution is not None:
            part = scale_playfield(playfield, factor)
            shown = draw_overlay(game, attribution, signed=signed, style=style, playfield=part)
        middle = np.concatenate([game, gap, shown], axis=1) if side_by_side else shown
        odd = (middle.shape[0] % 2, width - middle.shape[1])
        if any(odd):
            middle = np.pad(middle, ((0, odd[0]), (0, odd[1]), (0, 0)))
        yield np.concatenate([top, middle, panel.draw(caption)])


def require_video(fps: float, height: int = GAME_HEIGHT) -> None:
    """Check the numbers of a video, before anything is played for it.

    :param fps: frames per second, see :data:`FPS`
    :param height: height of the game in pixels, see :data:`HEIGHTS`
    :raises ExplainError: if one is out of range, or is no number
    """
    require_number("fps", fps, *FPS)
    require_whole("height", height, *HEIGHTS)


def choose_factor(height: int, target: int, width: int = 1) -> float:
    """Choose a whole factor of enlargement, so that pixels stay square, or any of reduction.

    :param height: height of the frames in pixels
    :param target: height that is asked for; what is wide is enlarged to twice this at most
    :param width: width of the frames in pixels
    """
    if height > target * 1.2:
        return target / height
    return max(1, min(target // height, 2 * target // width))
