import { useQuery } from "@tanstack/react-query";
import { Form, Select } from "antd";
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import type { Model } from "../../api/schema";
import { projectsQuery } from "../../queries/project";
import { useMay } from "../../queries/session";
import type { PublishValues } from "./spec";

/** The project that alone may publish `model`; undefined for a public one. The form follows it. */
export function useOwner(model: Model | undefined, editing: boolean): string | undefined {
  const form = Form.useFormInstance<PublishValues>();
  const owner = model?.visibility === "project" ? model.project : undefined;
  const before = useRef<string>(undefined);
  useEffect(() => {
    if (editing || owner === before.current) return;
    before.current = owner;
    form.setFieldsValue(owner ? { project: owner, visibility: "project" } : { visibility: "public" });
  }, [form, owner, editing]);
  return owner;
}

/** Where the service belongs: any project in which the user may publish, as far as the model allows. */
export function ProjectField({ owner, model, editing }: { owner?: string; model: string; editing: boolean }) {
  const { t } = useTranslation();
  const may = useMay();
  const { data } = useQuery(projectsQuery);
  const options = data?.items.filter((project) => may("service:write", project.name)).map(({ name }) => ({ value: name, label: name, disabled: owner !== undefined && name !== owner }));
  return (
    <Form.Item name="project" label={t("keys.project")} extra={owner && !editing ? t("publish.projectOwn", { model, project: owner }) : undefined} rules={[{ required: true, message: t("form.required") }]}>
      <Select showSearch disabled={editing} options={options} />
    </Form.Item>
  );
}
