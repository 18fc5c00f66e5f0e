import { ProxyAgent, fetch } from "undici";
const dispatcher = new ProxyAgent({ uri: process.env.HTTPS_PROXY, allowH2: true, requestTls: { allowH2: true } });
export const ask = (url, init) => fetch(url, { ...init, dispatcher });
