import { cases, model } from "./cases.mjs";
const { claude } = await import(`./snippets/${process.env.KIND}.mjs`);
const messages = (prompt) => ({ model, max_tokens: 64, messages: [{ role: "user", content: prompt }] });

await cases({
  plain: async (prompt) => (await claude.messages.create(messages(prompt))).content[0].text,
  async *stream(prompt) {
    for await (const event of await claude.messages.create({ ...messages(prompt), stream: true }))
      if (event.type === "content_block_delta") yield event.delta.text;
  },
});
