"""The perturbation of Greydanus et al., one state and one grid point at a time, in NumPy."""

import numpy as np
import torch
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import gaussian_filter


def outputs(read, image, sigma=3.0, radius=5.0, stride=5):
    """read(s) and {(i, j): read(s')} for one image (C, H, W) and the grid point (i, j).

    :param read: (1, C, H, W) tensor in float64 -> array
    """
    s = image.numpy().astype(np.float64)
    blurred = np.stack([gaussian_filter(layer, sigma, mode="mirror", truncate=4) for layer in s])
    height, width = s.shape[1:]
    found = {}
    for i in range(0, height, stride):
        for j in range(0, width, stride):
            # a point, blurred in a plane so large that nothing reaches its edge
            margin = int(12 * radius)
            plane = np.zeros((height + 2 * margin, width + 2 * margin))
            plane[margin + i, margin + j] = 1
            gaussian = gaussian_filter(plane, radius, truncate=11)
            M = (gaussian / gaussian.max())[margin : margin + height, margin : margin + width]
            found[i, j] = read(torch.from_numpy(s * (1 - M) + blurred * M)[None])
    return read(image[None]), found


def upsample(scores, size):
    """Scores by grid point as a map (H, W): linear between points, constant beyond the last."""
    rows, columns = (sorted({point[axis] for point in scores}) for axis in (0, 1))
    grid = np.array([[scores[i, j] for j in columns] for i in rows])
    interpolate = RegularGridInterpolator((rows, columns), grid)
    y, x = np.mgrid[: size[0], : size[1]]
    points = np.stack([y.clip(max=rows[-1]), x.clip(max=columns[-1])], axis=-1)
    return interpolate(points.astype(float))
