// A map laid over a picture, as heat, contour or spotlight.

/** Magnitudes between which the color of heat fades in. */
const LOW = 0.05;
const HIGH = 0.75;
const LEVELS = [0.25, 0.5, 0.75];
const DIM = 0.2;
/** How bright a picture stays under heat where the map is low. */
const PALE = 0.7;
/** A value in [-1, 1] is drawn as one of so many levels on each side of that of 0. */
const SIDE_LEVELS = 511;
const ZERO_LEVEL = 512;

/** How strongly heat shows at a magnitude. */
function fade(magnitude) {
  const share = Math.min(1, Math.max(0, (magnitude - LOW) / (HIGH - LOW)));
  return share * share * (3 - 2 * share);
}

/** What a palette makes of every level: computed once, since every pixel of every step asks for it. */
function tabulateLevels(palette) {
  const [weights, magnitudes] = [new Float32Array(2 * ZERO_LEVEL), new Float32Array(2 * ZERO_LEVEL)];
  const colors = new Float32Array(6 * ZERO_LEVEL);
  const reached = new Int8Array(2 * ZERO_LEVEL); // number of contours, with the sign
  for (let level = 0; level < 2 * ZERO_LEVEL; level++) {
    const value = Math.max(-1, (level - ZERO_LEVEL) / SIDE_LEVELS);
    const magnitude = Math.abs(value);
    weights[level] = fade(magnitude);
    magnitudes[level] = magnitude;
    reached[level] = Math.sign(value) * LEVELS.filter((one) => magnitude >= one).length;
    const table = value < 0 ? palette.negative : palette.positive;
    const at = 3 * Math.min(255, Math.floor(magnitude * 255));
    for (let c = 0; c < 3; c++) colors[3 * level + c] = table[at + c];
  }
  return { weights, magnitudes, colors, reached };
}

const tabulated = new WeakMap();

function tablesOf(palette) {
  if (!tabulated.has(palette)) tabulated.set(palette, tabulateLevels(palette));
  return tabulated.get(palette);
}

function drawHeat(pixels, levels, { opacity, palette }) {
  const { weights, colors } = tablesOf(palette);
  const pale = 1 - opacity * (1 - PALE);
  for (let p = 0, i = 0; p < levels.length; p++, i += 4) {
    const level = levels[p];
    const weight = weights[level];
    if (weight === 0) { // in its own colors, so that nothing of the game is lost
      pixels[i] *= pale;
      pixels[i + 1] *= pale;
      pixels[i + 2] *= pale;
      continue;
    }
    const light = (0.299 * pixels[i] + 0.587 * pixels[i + 1] + 0.114 * pixels[i + 2]) / 255;
    const shine = 0.55 + 0.45 * light;
    const glare = 110 * light * light;
    for (let c = 0; c < 3; c++) {
      const context = PALE * pixels[i + c];
      const shown = context + weight * (colors[3 * level + c] * shine + glare - context);
      pixels[i + c] += opacity * (Math.min(255, Math.max(0, shown)) - pixels[i + c]);
    }
  }
}

/** Draw the border of every level that a map reaches, on the inner side. */
function drawContours(pixels, levels, { opacity, palette, width }) {
  const { reached } = tablesOf(palette);
  const { length } = levels;
  for (let p = 0; p < length; p++) {
    const own = reached[levels[p]];
    if (own === 0) continue;
    const x = p % width;
    const isLess = (other) => (own > 0 ? reached[levels[other]] < own : reached[levels[other]] > own);
    const border = (x > 0 && isLess(p - 1)) || (x < width - 1 && isLess(p + 1))
      || (p >= width && isLess(p - width)) || (p + width < length && isLess(p + width));
    if (!border) continue;
    const table = own < 0 ? palette.negative : palette.positive;
    const at = 3 * Math.round(LEVELS[Math.abs(own) - 1] * 255);
    for (let c = 0; c < 3; c++) pixels[4 * p + c] += opacity * (table[at + c] - pixels[4 * p + c]);
  }
}

function drawSpotlight(pixels, levels, { opacity, palette }) {
  const { magnitudes } = tablesOf(palette);
  for (let p = 0, i = 0; p < levels.length; p++, i += 4) {
    const light = 1 - opacity + opacity * (DIM + (1 - DIM) * magnitudes[levels[p]]);
    pixels[i] *= light;
    pixels[i + 1] *= light;
    pixels[i + 2] *= light;
  }
}

export const STYLES = { heat: drawHeat, contour: drawContours, spotlight: drawSpotlight };

/** Of each pixel of an axis, the first of the two of n values between which it lies, and how far on. */
function placePixels(size, n) {
  const [firsts, shares] = [new Int32Array(size), new Float32Array(size)];
  for (let pixel = 0; pixel < size; pixel++) {
    const at = Math.min(n - 1, Math.max(0, ((pixel + 0.5) * n) / size - 0.5));
    firsts[pixel] = Math.min(Math.floor(at), Math.max(0, n - 2));
    shares[pixel] = at - firsts[pixel];
  }
  return { firsts, shares, next: n > 1 ? 1 : 0 };
}

/**
 * Enlarge a map bilinearly to the levels of a picture's pixels.
 *
 * @param map `{values, width, height}`, values in [-1, 1]
 * @param size width and height of the picture
 * @param scale by what values are multiplied
 */
export function enlargeMap({ values, width, height }, [across, down], scale) {
  const [columns, rows] = [placePixels(across, width), placePixels(down, height)];
  const wide = new Float32Array(height * across);
  for (let row = 0, out = 0; row < height; row++) {
    for (let x = 0; x < across; x++, out++) {
      const at = row * width + columns.firsts[x];
      const value = values[at];
      wide[out] = scale * SIDE_LEVELS * (value + columns.shares[x] * (values[at + columns.next] - value));
    }
  }
  const levels = new Uint16Array(across * down);
  for (let y = 0, out = 0; y < down; y++) {
    const share = rows.shares[y];
    const first = rows.firsts[y] * across;
    const second = first + rows.next * across;
    for (let x = 0; x < across; x++, out++) {
      const value = wide[first + x];
      levels[out] = ZERO_LEVEL + 0.5 + value + share * (wide[second + x] - value);
    }
  }
  return levels;
}

/**
 * Draw a map on pixels, in place.
 *
 * @param pixels RGBA, four numbers a pixel
 * @param levels what `enlargeMap` returns, one a pixel
 * @param look `{style, opacity, palette, width}`: of the palette, `positive` and `negative` have 256
 *   colors each, three numbers a color; `width` is that of the picture
 */
export function layOver(pixels, levels, look) {
  STYLES[look.style](pixels, levels, look);
}
