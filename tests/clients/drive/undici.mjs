import { cases, contents, events, fail, textOf, url } from "./cases.mjs";
const { ask } = await import(`./snippets/undici-${process.env.KIND}.mjs`);

async function post(verb, prompt) {
  const response = await ask(url(verb), {
    method: "POST", body: JSON.stringify({ contents: contents(prompt) }),
    headers: { authorization: `Bearer ${process.env.GEMINI_API_KEY}`, "content-type": "application/json" },
  });
  return response.ok ? response : fail(response);
}

await cases({
  plain: async (prompt) => textOf(await (await post("generateContent", prompt)).json()),
  async *stream(prompt) {
    for await (const event of events((await post("streamGenerateContent?alt=sse", prompt)).body)) yield textOf(event);
  },
});
