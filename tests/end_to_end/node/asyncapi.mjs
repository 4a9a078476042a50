// Checks an AsyncAPI document: what its parser has against it, as JSON.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const complaints = diagnostics.map(({ code, message, path, severity }) => ({
  code,
  message,
  path: path.join("/"),
  severity,
}));
const operations = document?.allOperations().all().map((operation) => operation.id());
console.log(JSON.stringify({ complaints, operations }));
