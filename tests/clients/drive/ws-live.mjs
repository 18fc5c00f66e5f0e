import { once } from "node:events";
import { cases, model } from "./cases.mjs";
import { open } from "./snippets/ws-live.mjs";

const host = "wss://us-central1-aiplatform.googleapis.com";
const name = `projects/any-project/locations/us-central1/publishers/google/models/${model}`;

async function* talk(prompts) {
  const socket = open(`${host}/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent`);
  socket.on("unexpected-response", async (_request, response) => {
    let text = "";
    for await (const chunk of response) text += chunk;
    const error = new Error(JSON.parse(text).error.message);
    error.status = response.statusCode;
    socket.emit("error", error);
  });
  await once(socket, "open");
  const messages = async (text) => {
    const got = once(socket, "message");
    socket.send(text);
    return String((await got)[0]);
  };
  const first = await messages(JSON.stringify({ setup: { model: name } }));
  if (!JSON.parse(first).setupComplete) throw new Error(`no setup: ${first}`);
  for (const prompt of prompts) yield await messages(prompt);
  socket.close();
}

await cases({
  plain: async (prompt) => (await talk([prompt]).next()).value,
  stream: (prompt) => talk([1, 2, 3, 4].map((n) => `${prompt} ${n}`)),
});
