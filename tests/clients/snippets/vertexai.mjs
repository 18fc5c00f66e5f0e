import { VertexAI } from "@google-cloud/vertexai";
import { auth } from "./auth.mjs";
export const vertex = new VertexAI({
  project: "any-project", location: "us-central1", googleAuthOptions: { authClient: auth },
});
