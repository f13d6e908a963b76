// Played steps of one agent: numbers, pictures, maps, and what it would do without a region.

import { readTable } from "./payload.js";
import { Sheets } from "./sheets.js";

/** The map of a step: its values on a grid, in [-1, 1]. */
const BYTE_OF_ONE = { signed: 127, unsigned: 254 };

export class Playback {
  /** Read the numbers; pictures and maps are read when they are looked at. */
  static async open(described, read) {
    const playback = new Playback();
    Object.assign(playback, described);
    playback.columns = {};
    for (const [name, column] of Object.entries(described.columns)) {
      playback.columns[name] = await readTable(column, read);
    }
    playback.shares = await readTable(described.shares, read);
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
      for (const one of explainer.maps) {
        maps.push({
          target: one.target,
          sheets: one.sheets && new Sheets(one.sheets, read),
          values: await readTable(one.values ?? null, read),
          brightest: await readTable(one.brightest ?? null, read),
        });
      }
      playback.explainers.push({ ...explainer, maps });
    }
    return playback;
  }

  /** The number of the episode, in this list, that a step belongs to. */
  episodeAt(position) {
    return this.episodes.findIndex((one) => position < one.stop);
  }

  /** The target whose share is shown for `target`, which is null for the action that was taken. */
  targetAt(position, target) {
    return target ?? this.taken.at(position);
  }

  /** The map of an explainer for a target: its own, else that of the action taken, else null. */
  findMap(explainer, position, target) {
    const own = this.targetAt(position, target);
    const maps = this.explainers[explainer].maps;
    return maps.find((one) => one.target === own)
      ?? maps.find((one) => one.target === null && own === this.taken.at(position))
      ?? null;
  }

  /** The tile of a map for a step and a frame of the stack, 0 for the newest. */
  static tileOf(explainer, position, back) {
    const frames = explainer.stack ?? 1;
    return position * frames + (frames > 1 ? frames - 1 - back : 0);
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

  /** Shares of all targets without a region; null where nothing was tried. */
  without(position, region) {
    return this.removal ? this.removal.shares.row(position, region) : null;
  }
}
