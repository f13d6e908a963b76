// Played steps of one agent: numbers, pictures, maps, and what it would do without a region.

import { readTable } from "./payload.js";
import { Sheets } from "./sheets.js";

/** The map of a step: its values on a grid, in [-1, 1]. */
const BYTE_OF_ONE = { signed: 127, unsigned: 254 };

export class Playback {
  /** Read the numbers; pictures and maps are read when they are looked at. */
  static async open(described, read) {
    const playback = new Playback();
    Object.assign(playback, described, { version: 0 }); // which counts maps that came later
    playback.columns = {};
    for (const [name, column] of Object.entries(described.columns)) {
      playback.columns[name] = await readTable(column, read);
    }
    playback.shares = await readTable(described.shares, read);
    playback.forbidden = await readTable(described.forbidden, read);
    playback.taken = await readTable(described.taken, read);
    playback.rendered = described.rendered && new Sheets(described.rendered, read);
    playback.observed = described.observed && new Sheets(described.observed, read);
    if (described.features) {
      const values = await readTable(described.features.values, read);
      playback.features = { ...described.features, values };
    }
    if (described.removal) {
      playback.removal = { ...described.removal, shares: await readTable(described.removal.shares, read) };
    }
    playback.explainers = [];
    for (const explainer of described.explainers) {
      const maps = [];
      for (const one of explainer.attributions) {
        maps.push({
          target: one.target,
          sheets: one.sheets && new Sheets(one.sheets, read),
          values: await readTable(one.values ?? null, read),
          brightest: await readTable(one.brightest ?? null, read),
        });
      }
      playback.explainers.push({ ...explainer, attributions: maps });
    }
    return playback;
  }

  /** The number of the episode, in this list, that a step belongs to. */
  episodeAt(position) {
    return this.episodes.findIndex((one) => position < one.stop);
  }

  /** The target whose share is shown for `target`, which is null for the action that was taken. */
  targetAt(position, target) {
    return target !== null && target < this.targets.length ? target : this.taken.at(position);
  }

  /**
   * The last step up to `position`, of the same episode, that is among some steps.
   *
   * @param positions positions in order; null for all
   * @returns `{index, position}`: its number among these steps, and its position; null for none
   */
  keptAt(position, positions) {
    if (positions === null) return { index: position, position };
    let [index, after] = [-1, positions.length];
    while (after - index > 1) {
      const middle = (index + after) >> 1;
      if (positions[middle] <= position) index = middle;
      else after = middle;
    }
    const { start } = this.episodes[this.episodeAt(position)];
    return index >= 0 && positions[index] >= start ? { index, position: positions[index] } : null;
  }

  /**
   * The map of an explainer for a target that holds at a step, `{map, index, position}`, or null:
   * of the target itself, or of the action taken if that is the target.
   */
  findMap(explainer, position, target) {
    const { attributions: maps, positions } = this.explainers[explainer];
    const kept = this.keptAt(position, positions);
    if (!kept) return null;
    const own = this.targetAt(kept.position, target);
    const map = this.asked
      ? maps[0]
      : maps.find((one) => one.target === own)
        ?? maps.find((one) => one.target === null && own === this.taken.at(kept.position));
    return map ? { map, ...kept } : null;
  }

  /** The next step, or the one before, with a map of its own; null if there is none. */
  findOwn(explainer, position, target, by) {
    for (let at = position + by; at >= 0 && at < this.n; at += by) {
      if (this.findMap(explainer, at, target)?.position === at) return at;
    }
    return null;
  }

  /** Whether an explainer has a map of its own of every step. */
  isWhole(explainer) {
    const { positions } = this.explainers[explainer];
    return this.explainers[explainer].attributions.length > 0
      && (positions === null || positions.length === this.n);
  }

  /** The number of a step within its episode. */
  stepAt(position) {
    const { first, start } = this.episodes[this.episodeAt(position)];
    return first + position - start;
  }

  /** First and one after the last target of the part of the action that a target belongs to. */
  groupOf(target) {
    let start = 0;
    for (const size of this.groups) {
      if (target < start + size) return [start, start + size];
      start += size;
    }
    return [0, this.targets.length];
  }

  /** The tile of a map by its number, and by the frame of the stack, 0 for the newest. */
  static tileOf(explainer, index, back) {
    const frames = explainer.stack ?? 1;
    return index * frames + (frames > 1 ? frames - 1 - back : 0);
  }

  /** The step whose newest frame is `back` frames old at `position`; null before the episode. */
  frameBefore(position, back) {
    const start = this.episodes[this.episodeAt(position)].start;
    return position - back >= start ? position - back : null;
  }

  /** What a byte of a map stands for, in [-1, 1]. */
  static readByte(byte, signed) {
    return signed ? (byte - 127) / BYTE_OF_ONE.signed : byte / BYTE_OF_ONE.unsigned;
  }

  /** The largest magnitude of a map of features. */
  findPeak(explainer, { map, index }) {
    const { signed } = this.explainers[explainer];
    return Math.max(...map.values.row(index).map((byte) => Math.abs(Playback.readByte(byte, signed))));
  }

  /** What was tried at the last step up to `position`: `{position, without}`. */
  triedAt(position) {
    if (!this.removal) return null;
    const kept = this.keptAt(position, this.removal.positions);
    if (!kept) return null;
    return {
      position: kept.position,
      n: this.removal.shares.shape[1],
      without: (region) => this.removal.shares.row(kept.index, region),
    };
  }
}
