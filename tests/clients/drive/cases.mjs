// Runs the cases that argv names and prints one line of JSON for each; README.md says what they are.
export const { MODEL: model, TAG: tag } = process.env;

export async function cases({ plain, stream }) {
  for (const name of process.argv.slice(2)) {
    const wish = name === "stream" ? ` ${process.env.WISH}` : "";
    const prompt = `${tag}-${name} say something${wish}`;
    const line = { case: name };
    try {
      if (name === "stream") {
        line.pieces = [];
        for await (const piece of stream(prompt)) {
          if (piece && line.pieces.push(piece) === 1) console.log("first piece");
        }
      } else {
        line.text = await plain(prompt);
      }
    } catch (error) {
      line.status = error.status ?? error.response?.status ?? error.code ?? null;
      line.error = `${error.name}: ${error.message}`;
    }
    console.log(JSON.stringify(line));
  }
  process.exit(0);
}

// The data of server-sent events, from any source of text.
export async function* events(chunks) {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of chunks) {
    text += typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
    const lines = text.split("\r\n");
    text = lines.pop();
    for (const line of lines) if (line.startsWith("data: ")) yield JSON.parse(line.slice(6));
  }
}

export const contents = (prompt) => [{ role: "user", parts: [{ text: prompt }] }];
export const textOf = (answer) => answer.candidates[0].content.parts[0].text;
export const url = (verb) =>
  `https://us-central1-aiplatform.googleapis.com/v1/projects/any-project/locations/us-central1/publishers/google/models/${model}:${verb}`;

// An answer that is no success, with its message, as SDKs do it.
export async function fail(response) {
  const error = new Error((await response.json()).error.message);
  error.status = response.status;
  throw error;
}
