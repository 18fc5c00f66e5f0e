import { EnvHttpProxyAgent, fetch } from "undici";
const dispatcher = new EnvHttpProxyAgent();
export const ask = (url, init) => fetch(url, { ...init, dispatcher });
