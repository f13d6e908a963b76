// What becomes of the action without a region: in words, and counted over all maps.

/** Shares that differ by at most so many points differ little. */
const SMALL = 2;

const toPoints = (share) => Math.round(100 * share);
const percent = (share) => (Number.isFinite(share) ? `${toPoints(share)}\u00a0%` : "unknown"); // in one line
const isKnown = (shares) => shares.every(Number.isFinite);
const differ = (first, second) => Math.abs(toPoints(first) - toPoints(second));

/**
 * The number of the largest share of a part of the action; of equal ones, as shares that are rounded may
 * be, the one that was taken, or else the first; -1 of unknown ones.
 */
export function findBest(shares, [start, stop], taken) {
  let best = start;
  for (let i = start + 1; i < stop; i++) if (shares[i] > shares[best]) best = i;
  if (taken >= start && taken < stop && shares[taken] === shares[best]) best = taken;
  return Number.isFinite(shares[best]) ? best : -1;
}

/** The best target of a part of the action before and after; equal shares are no change. */
export function compareBest(shares, without, group, taken) {
  const [before, after] = [findBest(shares, group, taken), findBest(without, group, taken)];
  const changed = shares[before] > shares[after] && without[after] > without[before];
  return { before, after: changed ? after : before, changed };
}

/** A share before and after; once if it is the same. */
function sayBoth(before, after) {
  return differ(before, after) ? `${percent(before)} \u2192 ${percent(after)}` : percent(before);
}

/** A share that moves, in words. */
function sayMove(before, after, unit = "") {
  if (differ(before, after) === 0) return `stays at ${percent(before)}${unit}`;
  const small = differ(before, after) <= SMALL ? ", a small change" : "";
  return `${sayBoth(before, after)}${unit}${small}`;
}


/** What becomes of a dimension of a continuous action, and which one moves most. */
function sayDimensions(names, shares, without, shown) {
  const farthest = shares.reduce(
    (best, _, i) => (differ(shares[i], without[i]) > differ(shares[best], without[best]) ? i : best), shown,
  );
  const own = `${names[shown]} ${sayMove(shares[shown], without[shown], " of its range")}`;
  if (farthest === shown) return own;
  return `${own}; ${names[farthest]} moves most, ${sayBoth(shares[farthest], without[farthest])}`;
}

/**
 * What becomes of a target without a region, and of the best one: each is compared with itself.
 *
 * @param taken number of the target that was taken
 * @param shown number of the target that is spoken of
 * @param group first and one after the last target of the same part of the action
 */
export function sayRemoval({ names, shares, without, taken, shown, group, words }) {
  if (!isKnown(shares) || !isKnown(without)) return "unknown, the agent's output is not a number.";
  if (words.continuous) return `${sayDimensions(names, shares, without, shown)}.`;
  const { before, after, changed } = compareBest(shares, without, group, taken);
  const roles = [shown === taken ? "taken" : "", shown === before ? words.best : ""].filter(Boolean);
  const role = roles.length ? ` (${roles.join(", ")})` : "";
  const own = `${names[shown]}${role} ${sayMove(shares[shown], without[shown])}`;
  const then = `${names[after]} (${sayBoth(shares[after], without[after])})`;
  if (!changed) {
    return shown === before ? `${own}; it stays the ${words.best_action}.` : `${own}; the ${words.best_action} stays ${then}.`;
  }
  const alike = differ(shares[before], shares[after]) <= SMALL && differ(without[before], without[after]) <= SMALL;
  const close = alike ? ", nearly as much before and after" : "";
  if (shown === before) return `${own}; the ${words.best_action} is then ${then}${close}.`;
  const first = `${names[before]} (${sayBoth(shares[before], without[before])})`;
  return `${own}; the ${words.best_action} changes from ${first} to ${then}${close}.`;
}

/** Whether a removal changes what the agent would do, or moves the dimension that is spoken of. */
function isChange(shares, without, shown, group, words) {
  return words.continuous
    ? differ(shares[shown], without[shown]) > SMALL
    : compareBest(shares, without, group).changed;
}

/**
 * The removal checks of all maps of an explainer.
 *
 * @returns `{checks, chance}`: `{position, changed}` of each map, and the share of all regions of
 *   these steps whose removal changes it
 */
export function listChecks(playback, explainer, target, words) {
  const checks = [];
  let [changes, regions] = [0, 0];
  for (let position = 0; position < playback.n; position++) {
    const found = playback.findMap(explainer, position, target);
    const tried = playback.triedAt(position);
    if (!found || found.position !== position || !tried || tried.position !== position) continue;
    const brightest = found.map.brightest ? found.map.brightest.at(found.index) : -1;
    if (brightest < 0) continue;
    const shares = playback.shares.row(position);
    if (!isKnown(shares)) continue;
    const shown = playback.targetAt(position, target);
    const group = playback.groupOf(shown);
    for (let region = 0; region < tried.n; region++) {
      const without = tried.without(region);
      if (!isKnown(without)) continue;
      const changed = isChange(shares, without, shown, group, words);
      regions += 1;
      changes += changed;
      if (region === brightest) checks.push({ position, changed });
    }
  }
  return { checks, chance: regions ? changes / regions : 0 };
}

/** The removal checks of all maps in one sentence. */
export function sayChecks({ checks, chance }, { words, noun }) {
  if (!checks.length) return "";
  const n = checks.filter((one) => one.changed).length;
  const change = words.continuous ? `moves the dimension by more than ${SMALL} points` : `changes the ${words.best_action}`;
  return `Removing the brightest ${noun} ${change} in ${n} of ${checks.length} maps (${percent(n / checks.length)}); `
    + `a ${noun} at random does in ${percent(chance)}.`;
}

export { percent };
