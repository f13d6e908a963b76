// The page: everything that is shown follows from where the player stands and what is chosen.

import { make, write } from "./elements.js";
import { listEpisodes, listFrequencies, markEpisode } from "./episodes.js";
import { listenToKeys, returnFocus } from "./keys.js";
import { listMoments } from "./moments.js";
import { Pane } from "./pane.js";
import { Playback } from "./playback.js";
import { Player } from "./player.js";
import { Regions } from "./regions.js";
import { Timeline } from "./timeline.js";
import { plotValues } from "./values.js";

/** Let calls between two frames of the screen become one call, with what was given last. */
function joinCalls(call) {
  let [given, pending] = [null, null];
  return (value) => {
    given = value;
    pending ??= new Promise((resolve, reject) => {
      requestAnimationFrame(() => {
        pending = null;
        call(given).then(resolve, reject);
      });
    });
    return pending;
  };
}

const SPEEDS = [0.25, 0.5, 1, 2, 4];

function addOption(select, value, text) {
  const option = make("option", text);
  option.value = value;
  select.append(option);
}

/**
 * Show the playbacks of a description in the elements of a viewer.
 *
 * @param signal where the viewer is taken away again, it lets go of the document by this
 * @returns `{player, playbacks, panes, state, redraw}`
 */
export async function openViewer(root, { description, read, signal }) {
  const find = (name) => root.querySelector(`.${name}`);
  const playbacks = [];
  for (const one of description.playbacks) playbacks.push(await Playback.open(one, read));
  const [main] = playbacks;
  const { palette, words } = description;
  const look = { style: "heat", opacity: 1, palette, own: true };
  const state = { target: null, back: 0, region: null, pinned: false, look };
  const panes = [];
  const controls = {
    scrub: find("scrub"), play: find("play"), where: find("where"), speed: find("speed"),
    explainer: find("explainer"), target: find("target"), style: find("style"),
    opacity: find("opacity"), back: find("back"), compare: find("compare"), scale: find("scale"),
  };

  const where = { episode: make("span", ""), step: make("span", "") };
  controls.where.replaceChildren(make("span", "episode ", "wide"), where.episode, make("span", "step ", "wide"), where.step);

  let playing = false;
  const show = async (position) => {
    controls.scrub.value = position;
    write(controls.play, player.running ? "Pause" : "Play");
    write(where.episode, `${main.episodes[main.episodeAt(position)].number}, `);
    write(where.step, String(main.stepAt(position)));
    if (!player.running) controls.scrub.setAttribute("aria-valuetext", `step ${main.stepAt(position)}`);
    if (playing !== player.running) { // what plays is not read out
      playing = player.running;
      for (const one of root.querySelectorAll("[aria-live]")) one.setAttribute("aria-live", playing ? "off" : "polite");
    }
    timeline.show(position, state.target);
    markEpisode(find("episodes"), main, position);
    markValue(position);
    const drawn = panes.map((pane) => pane.draw(Math.min(position, pane.playback.n - 1), state));
    timeline.showChecks(panes[0].findChecks(state.target));
    await Promise.all(drawn);
    root.dataset.position = String(position);
  };
  const player = new Player(main.n, description.fps, joinCalls(show));
  const go = (position) => player.go(position);
  const redraw = () => player.show(player.position);
  /** Go to a step from elsewhere on the page, and bring the pictures into view. */
  const jump = (position) => {
    const { top } = find("panes").getBoundingClientRect();
    if (top < 0 || top > innerHeight / 2) find("start").scrollIntoView({ block: "start" });
    return go(position);
  };
  const regions = new Regions((region, pinned) => {
    Object.assign(state, { region, pinned });
    redraw();
  });
  const markValue = plotValues({ canvas: find("value-plot"), mark: find("value-mark") }, main, jump, signal);
  const timeline = new Timeline(find("timeline"), main, words, go, signal);

  const addPane = (playback) => {
    const pane = new Pane(find("panes"), find("pane-template"), playback, {
      palette,
      words,
      jump: go,
      regions,
      go: (share) => {
        const { start, stop } = playback.episodes[playback.episodeAt(player.position)];
        go(start + Math.floor(share * (stop - start)));
      },
    });
    panes.push(pane);
    return pane;
  };
  addPane(main);

  controls.scrub.max = main.n - 1;
  main.explainers.forEach((one, i) => addOption(controls.explainer, i, one.label));
  addOption(controls.target, "", words.taken);
  main.targets.forEach((one, i) => addOption(controls.target, i, one.name));
  main.explainers.slice(0).forEach((one, i) => addOption(controls.compare, `explainer ${i}`, one.label));
  playbacks.slice(1).forEach((one, i) => addOption(controls.compare, `agent ${i + 1}`, one.name));
  const stack = main.observed ? main.observed.n_stack : 1;
  for (let back = 1; back < stack; back++) {
    addOption(controls.back, back, `${back} ${back === 1 ? "frame" : "frames"} earlier`);
  }
  controls.back.closest("label").hidden = stack < 2;
  controls.explainer.closest("label").hidden = !main.explainers.length;
  controls.target.closest("label").hidden = Boolean(main.asked);
  controls.scale.closest("label").hidden = main.explainers.every((one) => one.common);
  state.target = main.target;
  controls.target.value = main.target ?? "";

  controls.play.addEventListener("click", () => player.toggle());
  find("before").addEventListener("click", () => go(player.position - 1));
  find("after").addEventListener("click", () => go(player.position + 1));
  controls.scrub.addEventListener("input", () => go(Number(controls.scrub.value)));
  controls.speed.addEventListener("change", () => { player.speed = Number(controls.speed.value); });
  controls.explainer.addEventListener("change", () => {
    panes[0].explainer = main.explainers.length ? Number(controls.explainer.value) : null;
    redraw();
  });
  controls.target.addEventListener("change", () => {
    state.target = controls.target.value === "" ? null : Number(controls.target.value);
    redraw();
  });
  controls.style.addEventListener("change", () => { look.style = controls.style.value; redraw(); });
  controls.opacity.addEventListener("input", () => { look.opacity = Number(controls.opacity.value); redraw(); });
  controls.scale.addEventListener("change", () => { look.own = controls.scale.value === "own"; redraw(); });
  controls.back.addEventListener("change", () => { state.back = Number(controls.back.value); redraw(); });
  controls.compare.addEventListener("change", () => {
    panes.splice(1).forEach((pane) => pane.element.remove());
    const [kind, number] = controls.compare.value.split(" ");
    if (kind === "agent") addPane(playbacks[Number(number)]);
    if (kind === "explainer") addPane(main).explainer = Number(number);
    find("panes").classList.toggle("two", panes.length === 2);
    redraw();
  });

  listEpisodes(find("episodes"), main, jump);
  listFrequencies(find("frequencies"), main);
  listMoments(find("bookmarks"), main, jump);

  const keys = {
    " ": () => player.toggle(),
    ArrowLeft: (event) => go(player.position - (event.shiftKey ? 10 : 1)),
    ArrowRight: (event) => go(player.position + (event.shiftKey ? 10 : 1)),
    Home: () => go(main.episodes[main.episodeAt(player.position)].start),
    End: () => go(main.episodes[main.episodeAt(player.position)].stop - 1),
    "-": () => changeSpeed(-1),
    "+": () => changeSpeed(1),
    o: () => choose(controls.style, 1),
    e: () => choose(controls.explainer, 1),
    t: () => choose(controls.target, 1),
    m: () => panes[0].goToMap(1),
    M: () => panes[0].goToMap(-1),
    Escape: () => regions.release(),
    b: () => {
      const later = main.bookmarks.map((one) => one.position).filter((one) => one > player.position);
      if (later.length) go(Math.min(...later));
    },
  };
  const choose = (select, by) => {
    select.selectedIndex = (select.selectedIndex + by) % select.options.length;
    select.dispatchEvent(new Event("change"));
  };
  const changeSpeed = (by) => {
    const at = SPEEDS.indexOf(player.speed) + by;
    if (at < 0 || at >= SPEEDS.length) return;
    player.speed = SPEEDS[at];
    controls.speed.value = String(player.speed);
  };
  listenToKeys({ player: find("player"), watched: find("panes"), keys, signal });
  returnFocus(find("player"));

  /** Show a step by an explainer and for a target, where they are given, from elsewhere. */
  const open = ({ position, explainer, target }) => {
    const by = main.explainers.findIndex((one) => one.label === explainer);
    for (const [select, value] of [[controls.explainer, by < 0 ? undefined : by], [controls.target, target]]) {
      if (value === undefined) continue;
      select.value = String(value);
      select.dispatchEvent(new Event("change"));
    }
    return jump(Number(position));
  };

  player.position = description.start ?? 0;
  await show(player.position); // at once, even where a page is not in view and has no frames
  root.dataset.ready = "yes";
  return { player, playbacks, panes, state, redraw, open };
}
