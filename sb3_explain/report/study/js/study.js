// The study: consent, instructions, questions in random order, and the file of answers.
import { escapeHtml, makeParagraphs } from "./html.js";
import { readParticipant, shuffle } from "./participant.js";
import { send, startAnswers, writeFile } from "./answers.js";
import { makeTrials, tell } from "./trials.js";

const place = document.getElementById("study");
const study = JSON.parse(document.getElementById("study-data").textContent);

function fail(reason) {
  place.innerHTML = `<p class="failure" role="alert">${escapeHtml(reason)}</p>`;
}

/** Objective tasks first, each state's questions together; then opinions, which show actions. */
function orderQuestions(group) {
  const asked = study.questions.filter((one) => one.task === "check" || one.arms[group] !== null);
  const ofTask = (...tasks) => asked.filter((one) => tasks.includes(one.task));
  const regions = new Map(ofTask("region").map((one) => [one.after, one]));
  const states = shuffle(ofTask("predict"));
  const ordered = states.flatMap((one) => [one, regions.get(one.name)]).filter(Boolean);
  ordered.push(...shuffle(ofTask("agent")), ...shuffle(ofTask("opinion")));
  const checks = ofTask("check");
  checks.forEach((one, number) => {
    const share = (number + 1) / (checks.length + 1);
    ordered.splice(Math.round(share * ordered.length), 0, one);
  });
  return ordered;
}

/** Say how far it is, and move the focus to the question, for the keyboard and screen readers. */
function follow(trials) {
  trials.forEach((trial, number) => {
    trial.on_load = () => {
      const heading = place.querySelector("h2");
      heading.focus({ preventScroll: true });
      window.scrollTo(0, 0);
      if (number > 1) {
        const at = number - 1, all = trials.length - 2;
        heading.insertAdjacentHTML(
          "beforebegin",
          `<p class="progress"><span>Question ${at} of ${all}</span>` +
            `<progress max="${all}" value="${at - 1}" aria-label="Progress"></progress></p>`,
        );
      }
    };
  });
}

function ending(event) {
  event.preventDefault();
}

async function finish(kept) {
  const text = writeFile(kept);
  const name = `answers-${kept.participant}.json`;
  place.innerHTML =
    '<h2 tabindex="-1">Thank you. These were all questions.</h2><p class="sent" role="status"></p>' +
    makeParagraphs(["Save your answers to a file, and give it to whoever asked you to take part."]) +
    '<p><a class="save">Save my answers</a></p>';
  const link = place.querySelector(".save");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = name;
  link.addEventListener("click", () => window.removeEventListener("beforeunload", ending));
  place.querySelector("h2").focus();
  place.dataset.state = "finished";
  if (study.post) {
    const said = place.querySelector(".sent");
    said.textContent = "Sending your answers …";
    const reason = await send(study.post, text);
    if (reason === "") window.removeEventListener("beforeunload", ending);
    said.classList.toggle("failure", reason !== "");
    said.textContent = reason === ""
      ? "Your answers were sent. You may close this window."
      : `Your answers could not be sent (${reason}). Please save them to a file.`;
  }
}

function start() {
  const who = readParticipant(window.location.search, study.groups);
  const { kept, keep } = startAnswers(study, who);
  const jsPsych = initJsPsych({
    display_element: place,
    override_safe_mode: true,
    use_webaudio: false,
    on_finish: () => (place.dataset.state === "declined" ? undefined : finish(kept)),
  });
  const ordered = orderQuestions(who.group);
  kept.order = ordered.map((one) => one.name);
  const trials = [
    tell("Before you begin", study.consent, ["I agree and take part", "I do not take part"], (response) => {
      if (response === 0) {
        window.addEventListener("beforeunload", ending);
        return;
      }
      place.dataset.state = "declined";
      jsPsych.abortExperiment("<h2>You do not take part. Nothing was recorded.</h2>");
    }),
    tell("What you will see", study.instructions, ["Begin"]),
    ...ordered.flatMap((one) => makeTrials(one, one.arms[who.group], study, keep)),
  ];
  follow(trials);
  place.replaceChildren();
  place.dataset.state = "running";
  jsPsych.run(trials);
}

try {
  start();
} catch (error) {
  fail(error.message);
}
