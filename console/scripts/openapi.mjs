// Prints the platform's OpenAPI document for the type generator. The platform answers every field, also those with a
// default; the document marks only fields without one. What is never sent by the console therefore gets all fields required.
import { readFileSync } from "node:fs";

const document = JSON.parse(readFileSync(process.argv[2] ?? "../docs/reference/openapi.json", "utf8"));
const schemas = document.components.schemas;
const sent = new Set();

function follow(value) {
  if (Array.isArray(value)) return value.forEach(follow);
  if (typeof value !== "object" || value === null) return;
  const name = value.$ref?.replace("#/components/schemas/", "");
  if (name && !sent.has(name)) {
    sent.add(name);
    follow(schemas[name]);
  }
  Object.values(value).forEach(follow);
}

for (const path of Object.values(document.paths)) {
  for (const operation of Object.values(path)) follow(operation.requestBody);
}
for (const [name, schema] of Object.entries(schemas)) {
  if (!sent.has(name) && schema.properties) schema.required = Object.keys(schema.properties);
}
process.stdout.write(JSON.stringify(document));
