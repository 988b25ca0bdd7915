// A stream with thinking, read piece by piece and as a whole.
import Anthropic from "@anthropic-ai/sdk";

const { url, key, ask } = JSON.parse(process.env.ASKED);
const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const stream = client.messages.stream({ ...ask, thinking: { type: "adaptive" } });
const pieces = [];
stream.on("text", (piece) => pieces.push(piece));
const message = await stream.finalMessage();
console.log(JSON.stringify({ pieces, message }));
