import type { FormInstance } from "antd";
import { useEffect } from "react";
import { localized } from "../../app/sentences";
import { fieldMessages } from "../../queries/fields";
import { fieldOf, FOLDED, type PublishValues } from "./spec";

/** Shows what the platform found wrong at the fields themselves, for as long as it holds; `unfold` opens folded ones. */
export function useFieldProblems(form: FormInstance<PublishValues>, problem: unknown, unfold: () => void): void {
  useEffect(() => {
    const values = form.getFieldsValue(true) as PublishValues;
    const marks = Object.entries(fieldMessages(problem)).flatMap(([path, text]) => {
      const name = fieldOf(path, values);
      return name ? [{ name, errors: [localized(text)] }] : [];
    });
    if (marks.length === 0) return;
    form.setFields(marks);
    if (marks.some(({ name }) => FOLDED.includes(name))) unfold();
    return () => form.setFields(marks.map(({ name }) => ({ name, errors: [] })));
  }, [form, problem, unfold]);
}
