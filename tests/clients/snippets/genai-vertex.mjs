import { GoogleGenAI } from "@google/genai";
import { auth } from "./auth.mjs";
export const ai = new GoogleGenAI({
  vertexai: true, project: "any-project", location: "us-central1", googleAuthOptions: { authClient: auth },
});
