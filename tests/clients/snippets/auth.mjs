import { OAuth2Client } from "google-auth-library";
export const auth = new OAuth2Client();
auth.setCredentials({ access_token: process.env.GEMINI_API_KEY });
