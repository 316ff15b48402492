import type { FormInstance } from "antd";
import { Problem } from "../api/problem";
import { localized } from "../app/sentences";

/** The platform's messages by field; a code such as `taken` says less than the sentence that it came with. */
export function fieldMessages(error: unknown): Record<string, string> {
  if (!(error instanceof Problem)) return {};
  const sentence = error.hint ? `${error.message} ${error.hint}` : error.message;
  return Object.fromEntries(Object.entries(error.fields).map(([field, text]) => [field, error.message.includes(text) ? text : sentence]));
}

/** Shows an error at the fields that it is about; false when some of it is about none of the form's fields. */
export function placeErrors(form: Pick<FormInstance, "getFieldsValue" | "setFields">, error: unknown, names: Record<string, string> = {}): boolean {
  const known = Object.keys(form.getFieldsValue(true) as object);
  const found = Object.entries(fieldMessages(error)).map(([field, text]) => [names[field] ?? field.split(".")[0] ?? field, text] as const);
  const placed = found.filter(([name]) => known.includes(name));
  form.setFields(placed.map(([name, text]) => ({ name, errors: [localized(text)] })));
  return placed.length > 0 && placed.length === found.length;
}
