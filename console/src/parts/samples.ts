import type { ModelType } from "../api/schema";

interface Sample {
  key: string;
  label: string;
  text: string;
}

const KEY = "$AICP_API_KEY";

/** Calls of a service that can be pasted; the body is the very request where one is given, its images read from files. */
export function samplesFor(type: ModelType, address: string, model: string, request?: Record<string, unknown>): Sample[] {
  const [path, fallback] = defaults(type, model);
  const { body, files } = withFiles(request ?? fallback);
  const json = JSON.stringify(body, null, 2);
  return [
    { key: "curl", label: "curl", text: curl(address, path, json, files) },
    { key: "python", label: "Python", text: inFiles(python(type, address, path, body), files, (file) => `"${file.head}" + b64encode(Path("${file.name}").read_bytes()).decode()`, "from base64 import b64encode\nfrom pathlib import Path\n") },
    { key: "javascript", label: "JavaScript", text: inFiles(javascript(address, path, json), files, (file) => `"${file.head}" + readFileSync("${file.name}", "base64")`, 'import { readFileSync } from "node:fs";\n\n') },
  ];
}

interface DataFile {
  name: string;
  /** The data URL up to its base64. */
  head: string;
  /** Stands for the data URL until the code is written. */
  mark: string;
}

const DATA_URL = /^data:image\/([a-z]+);base64,/;

/** The body with a mark for every image that lies in it: megabytes of base64 are no code to paste. */
function withFiles(given: Record<string, unknown>): { body: Record<string, unknown>; files: DataFile[] } {
  const files = new Map<string, DataFile>();
  const text = JSON.stringify(given, (_, value: unknown) => {
    const found = typeof value === "string" && DATA_URL.exec(value);
    if (!found) return value;
    const name = `image-${files.size + 1}.${found[1]}`;
    const file = files.get(value) ?? { name, head: found[0], mark: `<<${name}>>` };
    files.set(value, file);
    return file.mark;
  });
  return { body: JSON.parse(text) as Record<string, unknown>, files: [...files.values()] };
}

function inFiles(code: string, files: DataFile[], expression: (file: DataFile) => string, imports: string): string {
  if (files.length === 0) return code;
  return imports + files.reduce((text, file) => text.replaceAll(`"${file.mark}"`, expression(file)), code);
}

function curl(address: string, path: string, json: string, files: DataFile[]): string {
  const head = `curl ${address}${path} \\\n  -H "Authorization: Bearer ${KEY}" \\\n  -H "Content-Type: application/json" \\\n`;
  if (files.length === 0) return `${head}  -d '${json.replaceAll("'", "'\\''")}'`;
  // A file's base64 may be longer than an argument can be, so the body comes through a here-document.
  const document = json.replaceAll(/[\\$`]/g, "\\$&");
  return `${head}  -d @- <<JSON\n${files.reduce((text, file) => text.replaceAll(file.mark, `${file.head}$(base64 -w0 ${file.name})`), document)}\nJSON`;
}

function defaults(type: ModelType, model: string): [string, Record<string, unknown>] {
  if (type === "embedding") return ["/embeddings", { model, input: ["The quick brown fox"] }];
  if (type === "rerank") return ["/rerank", { model, query: "What is a replica?", documents: ["A running copy of a service.", "A set of nodes."] }];
  return ["/chat/completions", { model, messages: [{ role: "user", content: "Hello" }], stream: true }];
}

function python(type: ModelType, address: string, path: string, body: Record<string, unknown>): string {
  const values = Object.entries(body).map(([key, value]) => `    ${key}=${pythonValue(value)},`).join("\n");
  if (type === "rerank") {
    return `import os\n\nimport httpx\n\nanswer = httpx.post(\n    "${address}${path}",\n    headers={"Authorization": f"Bearer {os.environ['AICP_API_KEY']}"},\n    json=${pythonValue(body)},\n)\nfor result in answer.json()["results"]:\n    print(result["index"], result["relevance_score"])\n`;
  }
  const head = `import os\n\nfrom openai import OpenAI\n\nclient = OpenAI(base_url="${address}", api_key=os.environ["AICP_API_KEY"])\n`;
  if (type === "embedding") return `${head}answer = client.embeddings.create(\n${values}\n)\nprint(len(answer.data[0].embedding))\n`;
  const end = body.stream ? 'for chunk in answer:\n    if chunk.choices:\n        print(chunk.choices[0].delta.content or "", end="", flush=True)\n' : "print(answer.choices[0].message.content)\n";
  return `${head}answer = client.chat.completions.create(\n${values}\n)\n${end}`;
}

function pythonValue(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(pythonValue).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${pythonValue(item)}`).join(", ")}}`;
  return JSON.stringify(value);
}

function javascript(address: string, path: string, json: string): string {
  const streamed = json.includes('"stream": true');
  const end = streamed ? "for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {\n  process.stdout.write(chunk);\n}" : "console.log(await response.json());";
  return `const response = await fetch("${address}${path}", {\n  method: "POST",\n  headers: {\n    Authorization: \`Bearer \${process.env.AICP_API_KEY}\`,\n    "Content-Type": "application/json",\n  },\n  body: JSON.stringify(${json.replaceAll("\n", "\n  ")}),\n});\n${end}\n`;
}
