import Anthropic from "@anthropic-ai/sdk";
export const claude = new Anthropic(); // ANTHROPIC_API_KEY
