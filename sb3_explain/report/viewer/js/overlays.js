// A map laid over a picture, as heat, contour or spotlight.

/** Magnitudes between which the color of heat fades in. */
const LOW = 0.05;
const HIGH = 0.75;
const LEVELS = [0.25, 0.5, 0.75];
const DIM = 0.2;
/** How bright a picture stays under heat where the map is low. */
const PALE = 0.7;

const gray = (pixels, i) => 0.299 * pixels[i] + 0.587 * pixels[i + 1] + 0.114 * pixels[i + 2];

function drawHeat(pixels, values, opacity, palette) {
  for (let p = 0; p < values.length; p++) {
    const i = 4 * p;
    const light = gray(pixels, i);
    const magnitude = Math.abs(values[p]);
    const faded = Math.min(1, Math.max(0, (magnitude - LOW) / (HIGH - LOW)));
    const weight = faded * faded * (3 - 2 * faded);
    const color = 3 * Math.min(255, Math.floor(magnitude * 255));
    const table = values[p] < 0 ? palette.negative : palette.positive;
    for (let c = 0; c < 3; c++) {
      const context = PALE * pixels[i + c]; // in its own colors, so that nothing of the game is lost
      const glow = table[color + c] * (0.55 + (0.45 * light) / 255) + 110 * (light / 255) ** 2;
      const shown = Math.min(255, Math.max(0, context + weight * (glow - context)));
      pixels[i + c] += opacity * (shown - pixels[i + c]);
    }
  }
}

function drawContours(pixels, values, opacity, palette, width) {
  for (const level of LEVELS) {
    for (const sign of [1, -1]) {
      const table = sign > 0 ? palette.positive : palette.negative;
      const color = 3 * Math.round(level * 255);
      const inside = (p) => sign * values[p] >= level;
      for (let p = 0; p < values.length; p++) {
        if (!inside(p)) continue;
        const x = p % width;
        const border = (x > 0 && !inside(p - 1)) || (x < width - 1 && !inside(p + 1))
          || (p >= width && !inside(p - width))
          || (p + width < values.length && !inside(p + width));
        if (!border) continue;
        for (let c = 0; c < 3; c++) {
          pixels[4 * p + c] += opacity * (table[color + c] - pixels[4 * p + c]);
        }
      }
    }
  }
}

function drawSpotlight(pixels, values, opacity) {
  for (let p = 0; p < values.length; p++) {
    const light = 1 - opacity + opacity * (DIM + (1 - DIM) * Math.min(1, Math.abs(values[p])));
    for (let c = 0; c < 3; c++) pixels[4 * p + c] *= light;
  }
}

export const STYLES = { heat: drawHeat, contour: drawContours, spotlight: drawSpotlight };

/**
 * Draw values on pixels, in place.
 *
 * @param pixels RGBA, four numbers a pixel
 * @param values in [-1, 1], one a pixel
 * @param palette `{positive, negative}`, 256 colors each, three numbers a color
 */
export function layOver(pixels, values, { style, opacity, palette, width }) {
  STYLES[style](pixels, values, opacity, palette, width);
}
