import { cases, model } from "./cases.mjs";
const { ai } = await import(`./snippets/${process.env.KIND}.mjs`);

await cases({
  plain: async (prompt) => (await ai.models.generateContent({ model, contents: prompt })).text,
  async *stream(prompt) {
    for await (const chunk of await ai.models.generateContentStream({ model, contents: prompt })) yield chunk.text;
  },
});
