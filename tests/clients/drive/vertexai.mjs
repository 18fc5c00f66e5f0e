import { cases, contents, model, textOf } from "./cases.mjs";
import { vertex } from "./snippets/vertexai.mjs";
const generative = vertex.getGenerativeModel({ model });

await cases({
  plain: async (prompt) => textOf((await generative.generateContent({ contents: contents(prompt) })).response),
  async *stream(prompt) {
    const result = await generative.generateContentStream({ contents: contents(prompt) });
    for await (const chunk of result.stream) yield textOf(chunk);
  },
});
