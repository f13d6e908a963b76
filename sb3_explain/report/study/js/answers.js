// The answers of one participant: in memory only, until they are saved or sent at the end.

export function startAnswers(study, { participant, group }) {
  const kept = { format: 1, study: study.id, participant, group, order: [], answers: [] };
  return {
    kept,
    /** Receives the answer to one question, and how sure the participant is of it. */
    keep(question, part) {
      const record = {
        question: question.name, part, arm: question.arms[group], response: null, confidence: null, ms: null,
      };
      return {
        answer(response, ms) {
          kept.answers.push(Object.assign(record, { response, ms }));
        },
        rate(confidence) {
          record.confidence = confidence;
        },
      };
    },
  };
}

export function writeFile(kept) {
  return JSON.stringify(kept, null, 1) + "\n";
}

/** Send the answers; what went wrong as a text, or nothing. */
export async function send(address, text) {
  try {
    const reply = await fetch(address, {
      method: "POST", body: text, headers: { "Content-Type": "application/json" },
      credentials: "omit", referrerPolicy: "no-referrer",
    });
    return reply.ok ? "" : `the server answered ${reply.status}`;
  } catch {
    return "the server was not reached";
  }
}
