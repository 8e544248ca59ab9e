// Reads an AsyncAPI document from its argument, and prints what is wrong with it: one line each.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
for (const { severity, code, message, path } of diagnostics) {
  if (severity <= 1) console.log(`${code} at ${path.join("/")}: ${message}`);
}
process.exit(document ? 0 : 1);
