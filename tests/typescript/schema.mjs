// An answer in a schema, which zod reads.
import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";

const { url, key, ask } = JSON.parse(process.env.ASKED);
const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const bird = z.object({ name: z.string(), legs: z.number() });
const message = await client.messages.parse({ ...ask, output_config: { format: zodOutputFormat(bird) } });
console.log(JSON.stringify({ parsed: message.parsed_output }));
