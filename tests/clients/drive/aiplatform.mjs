import { cases, contents, model, textOf } from "./cases.mjs";
import { service } from "./snippets/aiplatform.mjs";
const request = (prompt) => ({
  model: `projects/any-project/locations/us-central1/publishers/google/models/${model}`, contents: contents(prompt),
});

await cases({
  plain: async (prompt) => textOf((await service.generateContent(request(prompt)))[0]),
  async *stream(prompt) {
    for await (const chunk of service.streamGenerateContent(request(prompt))) yield textOf(chunk);
  },
});
