import { Code } from "./Code";
import { toYaml } from "./yaml";

type Fields = Record<string, unknown>;

/** What a change did: each field before and after, line by line; other facts as they were recorded. */
export function Changes({ details }: { details: Fields }) {
  const { before, after, ...others } = details;
  const changed = isFields(before) && isFields(after);
  const rest = changed ? others : details;
  return (
    <div className="stack">
      {changed && Object.keys(after).map((name) => <Field key={name} name={name} before={before[name]} after={after[name]} />)}
      {Object.keys(rest).length > 0 && <Code text={toYaml(rest)} />}
    </div>
  );
}

function Field({ name, before, after }: { name: string; before: unknown; after: unknown }) {
  const [old, now] = [linesOf(before), linesOf(after)];
  const same = old.filter((line) => now.includes(line));
  return (
    <div className="row top wrap">
      <span className="quiet mono" style={{ minWidth: 160 }}>{name}</span>
      <div className="diff mono grow" style={{ minWidth: 220 }}>
        {old.filter((line) => !same.includes(line)).map((line, index) => <del key={`-${index}`}>− {line}</del>)}
        {now.filter((line) => !same.includes(line)).map((line, index) => <ins key={`+${index}`}>+ {line}</ins>)}
      </div>
    </div>
  );
}

/** A value as lines to compare; nothing and an empty text are one dash. */
export function linesOf(value: unknown): string[] {
  if (value === null || value === undefined || value === "") return ["–"];
  if (Array.isArray(value) && value.length === 0) return ["[]"];
  return toYaml(value).split("\n");
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
