/** Plain values as YAML; nothing and empty containers are left out, so that it reads like something a person wrote. */
export function toYaml(value: unknown, indent = ""): string {
  if (Array.isArray(value)) return value.map((item) => `${indent}- ${isPlain(item) ? scalar(item) : toYaml(item, `${indent}  `).trimStart()}`).join("\n");
  if (typeof value !== "object" || value === null) return `${indent}${scalar(value)}`;
  return Object.entries(value as Record<string, unknown>)
    .filter(([, item]) => item !== null && item !== undefined && !(typeof item === "object" && Object.values(item).every((inner) => inner === null || inner === undefined)))
    .map(([key, item]) => (isPlain(item) ? `${indent}${key}: ${scalar(item)}` : `${indent}${key}:\n${toYaml(item, `${indent}  `)}`))
    .join("\n");
}

function isPlain(value: unknown): boolean {
  return typeof value !== "object" || value === null;
}

function scalar(value: unknown): string {
  if (typeof value !== "string") return String(value);
  // A word that YAML would read as something else is quoted.
  return /^[A-Za-z_/][\w./:-]*$/.test(value) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(value) && !value.endsWith(":") ? value : JSON.stringify(value);
}
