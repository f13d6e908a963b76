// The trials of each task, as jsPsych takes them.
import { escapeHtml, makeButton, makeFigures, makeParagraphs } from "./html.js";

const SURE = ["1, a guess", "2", "3", "4", "5, certain"];
const AGO = "a moment before";

/** A question with buttons; `keep` receives the number of the button and the time in ms. */
export function ask(question, options, html, keep) {
  return {
    type: jsPsychHtmlButtonResponse,
    stimulus: `<h2 tabindex="-1">${escapeHtml(question)}</h2>${html}`,
    choices: options,
    button_layout: "flex",
    button_html: makeButton,
    save_trial_parameters: { stimulus: false },
    on_finish: (data) => keep(data.response, data.rt),
  };
}

export function tell(title, texts, options, keep = () => {}) {
  return ask(title, options, makeParagraphs(texts), keep);
}

function listScenes(question, pictures, caption = "now") {
  const now = [caption, pictures[question.now], "the game at this moment"];
  if (question.before === null) return [now];
  return [[AGO, pictures[question.before], "the game a moment before", "small"], now];
}

/** What stands beside the moment: the map of an arm, or the picture again in the arm without. */
function showArm(question, arm, pictures) {
  const map = question.overlays[arm] ?? null;
  return map === null
    ? ["the same moment again", pictures[question.now], "the game at this moment, again"]
    : ["the map", pictures[map], "the game at this moment in gray, with colors where the map is high"];
}

function explainMap(question, arm, signed) {
  if ((question.overlays[arm] ?? null) === null) return "";
  return signed.includes(arm)
    ? '<p class="faint">less <span class="key signed"></span> more: orange speaks for what the agent does, blue against it.</p>'
    : '<p class="faint">less <span class="key"></span> more: bright colors mark what matters to the agent.</p>';
}

const MAKERS = {
  predict(question, arm, study, keep) {
    const { pictures, signed } = study;
    const [before, after] = [keep(question, "before"), keep(question, "after")];
    const sure = (record) =>
      ask("How sure are you?", SURE, "", (response) => record.rate(response + 1));
    const again = (question.overlays[arm] ?? null) === null
      ? "Look once more. What will the agent do next?"
      : "Here is a map of what may matter to the agent. What will it do next?";
    const scenes = listScenes(question, pictures);
    return [
      ask("What will the agent do next?", question.options, makeFigures(scenes), before.answer),
      sure(before),
      ask(
        again,
        question.options,
        makeFigures([...scenes, showArm(question, arm, pictures)]) + explainMap(question, arm, signed),
        after.answer,
      ),
      sure(after),
    ];
  },
  region(question, arm, study, keep) {
    const { pictures, signed } = study;
    const figures = [
      ...listScenes({ ...question, now: question.numbered }, pictures, "now, with numbered regions"),
      showArm(question, arm, pictures),
    ];
    const asked = "Without one of these regions, the agent does something else. Which region?";
    const html = makeFigures(figures) + explainMap(question, arm, signed);
    return [ask(asked, question.options, html, keep(question, "").answer)];
  },
  opinion(question, arm, study, keep) {
    const { pictures, signed } = study;
    const figures = [...listScenes(question, pictures), showArm(question, arm, pictures)];
    const asked = `The agent does: ${question.action}. Does the map help you to understand the decision?`;
    const html = makeFigures(figures) + explainMap(question, arm, signed);
    return [ask(asked, question.options, html, keep(question, "").answer)];
  },
  agent(question, arm, study, keep) {
    const { pictures, signed } = study;
    const show = (scene) => [
      ...listScenes({ ...scene, before: null }, pictures, `it does: ${scene.action}`),
      showArm(scene, arm, pictures),
    ];
    const examples = study.examples.map(
      (scenes, number) =>
        `<h3>${escapeHtml(question.options[number])}</h3>${makeFigures(scenes.flatMap(show))}`,
    );
    const html =
      `<div class="examples">${examples.join("")}</div><h3>Which agent is this?</h3>` +
      makeFigures(show(question)) + explainMap(question, arm, signed);
    return [ask("Here are two agents. Which of them acts at the end?", question.options, html,
      keep(question, "").answer)];
  },
  check(question, arm, study, keep) {
    return [ask(question.text, question.options, "", keep(question, "").answer)];
  },
};

export function makeTrials(question, arm, study, keep) {
  return MAKERS[question.task](question, arm, study, keep);
}
