// The agent SDK, with a tool that runs in this process.
import { createSdkMcpServer, query, tool } from "@anthropic-ai/claude-agent-sdk";
import { z } from "zod";

const { cli, cwd, env, prompt } = JSON.parse(process.env.ASKED);
const greeted = [];
const greet = tool("greet", "Greet somebody.", { name: z.string() }, async ({ name }) => {
  greeted.push(name);
  return { content: [{ type: "text", text: `Good day, ${name}!` }] };
});
const options = {
  pathToClaudeCodeExecutable: cli,
  cwd,
  env,
  permissionMode: "bypassPermissions",
  allowDangerouslySkipPermissions: true,
  settingSources: [],
  mcpServers: { house: createSdkMcpServer({ name: "house", tools: [greet] }) },
};
const messages = [];
for await (const message of query({ prompt, options })) messages.push(message);
console.log(JSON.stringify({ greeted, ended: messages.at(-1) }));
