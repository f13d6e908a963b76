"""The scene of a task in a mode, compiled by MuJoCo: colors, textures, and the user's meshes."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import one_line
from sb3_explain.envs.opengl import choose_renderer, no_opengl
from sb3_explain.envs.robot.textures import TEXTURES, encode_png

Color = tuple[float, float, float]


class Look(NamedTuple):
    """The look of a mode.

    :param background: RGB color in [0, 1] of what is around the table
    :param table: file name of the table's texture; ``None`` for a white table
    """

    background: Color
    table: str | None


#: looks by mode, as in the code behind table 6 of Bertoin et al. (2022); that its tests are the
#: tests 1 to 3 of the paper is an assumption
LOOKS = {
    "train": Look((1.0, 1.0, 1.0), None),
    "test1": Look((1.0, 0.5, 1.0), "table1.png"),
    "test2": Look((0.5, 0.9, 0.8), "carpet-black.png"),
    "test3": Look((0.5, 0.1, 0.1), "concrete.png"),
}
#: names in the scene's file of what one task alone has
PARTS = {"reach": ("disc",), "peg_in_box": ("box", "string")}
#: seconds of a substep
TIMESTEPS = {"reach": 0.002, "peg_in_box": 0.001}
#: shades of floor and pedestal, which the background's color is multiplied by
SHADES: dict[str, Color] = {"floor": (0.2, 0.3, 0.3), "pedestal": (0.925, 0.835, 0.655)}
#: bodies of the arm that a mesh of the same name may be drawn for
MESHES = (
    "link_base", *(f"link{i}" for i in range(1, 8)), "base_link",
    *(f"{side}_{part}" for side in ("left", "right")
      for part in ("outer_knuckle", "finger", "inner_knuckle")),
)  # fmt: skip


def import_mujoco() -> Any:
    """Import MuJoCo, which draws without a screen if there is none.

    :raises ExplainError: if the package is not installed, or OpenGL is missing
    """
    choose_renderer()
    try:
        import mujoco
    except ImportError as error:
        raise ExplainError(
            f"MuJoCo is not installed ({error}): pip install 'sb3-explain[robot]'"
        ) from error
    except (AttributeError, RuntimeError) as error:
        raise no_opengl(error) from error
    return mujoco


def compile_scene(task: str, mode: str, assets: str | Path | None = None) -> Any:
    """Compile the scene of a task in a mode, a ``mujoco.MjModel``.

    :param task: ``"reach"`` or ``"peg_in_box"``
    :param mode: one of :data:`LOOKS`
    :param assets: folder of textures and meshes to draw with, see :func:`find_assets`
    :raises ExplainError: if MuJoCo or a file is missing, or a file cannot be read
    """
    mujoco = import_mujoco()
    look = LOOKS[mode]
    text = resources.files(__package__).joinpath("scene.xml").read_text(encoding="utf-8")
    scene = mujoco.MjSpec.from_string(text)
    scene.option.timestep = TIMESTEPS[task]
    for other in (name for key, names in PARTS.items() if key != task for name in names):
        scene.delete(scene.site(other) if other == "disc" else scene.body(other))
    scene.texture("sky").rgb1 = look.background
    for name, shade in SHADES.items():
        mixed = [part * light for part, light in zip(shade, look.background, strict=True)]
        scene.material(name).rgba = [*mixed, 1.0]
    if assets is not None:
        scene.assets = read_assets(Path(assets), look.table)
        _draw_meshes(mujoco, scene)
    elif look.table is not None:
        scene.assets = {look.table: draw_texture(look.table)}
    if look.table is not None:
        scene.add_texture(name="table", type=mujoco.mjtTexture.mjTEXTURE_CUBE, file=look.table)
        scene.material("table").textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "table"
    try:
        return scene.compile()
    except ValueError as error:
        raise ExplainError(
            f"MuJoCo cannot use the files in {assets} ({one_line(error)}): replace them, or leave "
            "out assets"
        ) from error


@cache
def draw_texture(name: str) -> bytes:
    """The content of a PNG file of one of the procedural textures; drawn once."""
    return encode_png(TEXTURES[name]())


def read_assets(folder: Path, table: str | None) -> dict[str, bytes]:
    """Read the files that a scene is drawn with, by the names that the scene has for them.

    :param folder: folder that is searched with all its subfolders: all of :data:`MESHES` as
        ``.stl`` files, and the table's texture, in upper or lower case
    :param table: file name of the table's texture, if it has one
    :raises ExplainError: if the folder or a file is missing
    """
    if not folder.is_dir():
        raise ExplainError(f"the folder of meshes and textures is missing: {folder}")
    found = {path.name.lower(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    names = [f"{mesh}.stl" for mesh in MESHES] + ([] if table is None else [table])
    missing = [name for name in names if name not in found]
    if missing:
        raise ExplainError(
            f"{folder} has no {', '.join(missing)}: copy the authors' files there, or leave out "
            "assets, and capsules and procedural textures are drawn"
        )
    return {name: found[name].read_bytes() for name in names}


def _draw_meshes(mujoco: Any, scene: Any) -> None:
    """Replace the capsules of each body of the arm by its mesh, of the same mass and contacts."""
    for name in MESHES:
        scene.add_mesh(name=name, file=f"{name}.stl")
        body = scene.body(name)
        drawn = list(body.geoms)
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, mass=0.2, material=drawn[0].material,
            contype=drawn[0].contype, conaffinity=drawn[0].conaffinity,
        )  # fmt: skip
        for geom in drawn:
            scene.delete(geom)
