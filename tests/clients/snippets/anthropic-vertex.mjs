import { AnthropicVertex } from "@anthropic-ai/vertex-sdk";
import { OAuth2Client } from "google-auth-library";
const authClient = new OAuth2Client();
authClient.setCredentials({ access_token: process.env.ANTHROPIC_API_KEY });
export const claude = new AnthropicVertex({ projectId: "any-project", region: "us-east5", authClient });
