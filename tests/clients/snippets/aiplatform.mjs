import { PredictionServiceClient } from "@google-cloud/aiplatform";
import { auth } from "./auth.mjs";
export const service = new PredictionServiceClient({
  apiEndpoint: "us-central1-aiplatform.googleapis.com", authClient: auth,
});
