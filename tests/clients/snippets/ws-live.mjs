import WebSocket from "ws";
import { HttpsProxyAgent } from "https-proxy-agent";
export const open = (url) => new WebSocket(url, {
  agent: new HttpsProxyAgent(process.env.HTTPS_PROXY),
  headers: { authorization: `Bearer ${process.env.GEMINI_API_KEY}` },
});
