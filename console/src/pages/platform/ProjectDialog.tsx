import { Form, Input, Modal } from "antd";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Project, ProjectCreate } from "../../api/schema";
import { Equivalent } from "../../parts/Equivalent";
import { useAction } from "../../queries/action";

/** Makes a project, or changes what it is described as; its name stays, everything refers to it. */
export function ProjectDialog({ open, editing, onClose }: { open: boolean; editing?: Project; onClose: () => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<ProjectCreate>();
  const written = Form.useWatch((values: ProjectCreate) => values, form);
  const create = useAction((body: ProjectCreate) => need(api.POST("/api/v1/projects", { body })), ["project", "session"], { form, onDone: onClose });
  const update = useAction(({ description = "" }: ProjectCreate) => need(api.PATCH("/api/v1/projects/{name}", { params: { path: { name: editing?.name ?? "" } }, body: { description } })), ["project"], { form, onDone: onClose });
  const name = editing?.name ?? (written?.name || "NAME");
  const description = written?.description ?? "";
  const same = editing
    ? { command: ["aicp", "project", "update", name, description], method: "PATCH" as const, path: `/api/v1/projects/${name}`, body: { description } }
    : { command: ["aicp", "project", "create", name, ...(description ? ["--description", description] : [])], method: "POST" as const, path: "/api/v1/projects", body: { name, ...(description ? { description } : {}) } };
  return (
    <Modal title={editing ? t("projects.editTitle", { name }) : t("projects.create")} open={open} onCancel={onClose} okText={t(editing ? "action.save" : "projects.create")} cancelText={t("action.cancel")} confirmLoading={create.isPending || update.isPending} onOk={() => form.submit()} destroyOnHidden>
      <Form<ProjectCreate> form={form} layout="vertical" preserve={false} initialValues={editing} onFinish={(values) => (editing ? update : create).mutate(values)}>
        <Form.Item name="name" label={t("projects.name")} extra={editing && t("projects.nameStays")} rules={editing ? [] : [{ required: true, message: t("form.required") }, { pattern: /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/, message: t("form.name") }]}><Input autoFocus={!editing} disabled={Boolean(editing)} autoComplete="off" /></Form.Item>
        <Form.Item name="description" label={t("models.description")}><Input.TextArea autoFocus={Boolean(editing)} maxLength={2000} autoSize={{ minRows: 2, maxRows: 6 }} /></Form.Item>
        <Equivalent same={same} />
      </Form>
    </Modal>
  );
}
