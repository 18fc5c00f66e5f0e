import { cases, contents, events, textOf, url } from "./cases.mjs";
import { auth } from "./snippets/auth.mjs";
const post = (verb, prompt, responseType) =>
  auth.request({ url: url(verb), method: "POST", data: { contents: contents(prompt) }, responseType });

await cases({
  plain: async (prompt) => textOf((await post("generateContent", prompt)).data),
  async *stream(prompt) {
    for await (const event of events((await post("streamGenerateContent?alt=sse", prompt, "stream")).data)) yield textOf(event);
  },
});
