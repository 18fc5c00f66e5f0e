import { cases, model } from "./cases.mjs";
import { ai } from "./snippets/genai-live.mjs";

// What is said, and an error instead when there was one: connect() itself waits for ever when it is refused.
async function talk(prompts) {
  const heard = [];
  let wake = () => {};
  let failed;
  const fail = (why) => ((failed ??= Object.assign(new Error(why), { status: Number(/[0-9]{3}/.exec(why)) })), wake());
  const next = async () => {
    while (!heard.length && !failed) await new Promise((resolve) => (wake = resolve));
    if (failed) throw failed;
    return heard.shift();
  };
  const connecting = ai.live.connect({
    model,
    callbacks: {
      onmessage: (message) => (heard.push(message), wake()),
      onerror: (event) => fail(event.message),
      onclose: (event) => fail(`closed: ${event.code} ${event.reason}`),
    },
  });
  const session = await Promise.race([connecting, next().then(() => connecting)]);
  const out = [];
  for (const prompt of prompts) {
    session.sendRealtimeInput({ text: prompt });
    out.push((await next()).text);
  }
  session.close();
  return out;
}

await cases({
  plain: async (prompt) => (await talk([prompt]))[0],
  async *stream(prompt) {
    yield* await talk([1, 2, 3, 4].map((n) => `${prompt} ${n}`));
  },
});
