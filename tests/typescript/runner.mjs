// The tool runner, with a tool that says in zod what it takes.
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { z } from "zod";

const { url, key, ask } = JSON.parse(process.env.ASKED);
const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const weather = betaZodTool({
  name: "weather",
  description: "Tell the weather.",
  inputSchema: z.object({ city: z.string() }),
  run: ({ city }) => `Rain in ${city}.`,
});
const message = await client.beta.messages.toolRunner({ ...ask, tools: [weather] });
console.log(JSON.stringify({ message }));
