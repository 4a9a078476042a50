// Reads an AsyncAPI document: its operations, and what the parser has against it, as JSON.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const complaints = diagnostics
  // That there is a newer version of AsyncAPI.
  .filter(({ code }) => code !== "asyncapi-latest-version")
  .map(({ code, message, path }) => ({ code, message, path: path.join("/") }));
const operations = document?.allOperations().all().map((operation) => operation.id());
console.log(JSON.stringify({ complaints, operations }));
