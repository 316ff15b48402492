import { Collapse, Form, Input, Modal } from "antd";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Project, ProjectCreate, ProjectUpdate } from "../../api/schema";
import { Equivalent, type Same } from "../../parts/Equivalent";
import { useAction } from "../../queries/action";
import { useMay } from "../../queries/session";
import { LimitsFields } from "./LimitsFields";
import { limitsSet, limitWords, sameLimits } from "./limitValues";

/** Makes a project, or changes what it is described as and its limits; its name stays, everything refers to it. */
export function ProjectDialog({ open, editing, onClose }: { open: boolean; editing?: Project; onClose: () => void }) {
  const { t } = useTranslation();
  const everywhere = useMay()("project:write", "*");
  const [form] = Form.useForm<ProjectCreate>();
  const written = Form.useWatch((values: ProjectCreate) => values, form);
  const create = useAction((values: ProjectCreate) => need(api.POST("/api/v1/projects", { body: creation(values) })), ["project", "session"], { form, onDone: onClose });
  const update = useAction((values: ProjectCreate) => need(api.PATCH("/api/v1/projects/{name}", { params: { path: { name: editing?.name ?? "" } }, body: change(values, editing) })), ["project"], { form, onDone: onClose });
  const name = editing?.name ?? (written?.name || "NAME");
  return (
    <Modal title={editing ? t("projects.editTitle", { name }) : t("projects.create")} open={open} onCancel={onClose} okText={t(editing ? "action.save" : "projects.create")} cancelText={t("action.cancel")} confirmLoading={create.isPending || update.isPending} onOk={() => form.submit()} destroyOnHidden>
      <Form<ProjectCreate> form={form} layout="vertical" preserve={false} clearOnDestroy initialValues={editing} onFinish={(values) => (editing ? update : create).mutate(values)}>
        <Form.Item name="name" label={t("projects.name")} extra={editing && t("projects.nameStays")} rules={editing ? [] : [{ required: true, message: t("form.required") }, { pattern: /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/, message: t("form.name") }]}><Input autoFocus={!editing} disabled={Boolean(editing)} autoComplete="off" /></Form.Item>
        <Form.Item name="description" label={t("models.description")}><Input.TextArea autoFocus={Boolean(editing)} maxLength={2000} autoSize={{ minRows: 2, maxRows: 6 }} /></Form.Item>
        {everywhere && <Collapse ghost size="small" items={[{ key: "limits", label: t("limits.title"), forceRender: true, children: <LimitsFields /> }]} />}
        <Equivalent same={sameAs({ ...written, name }, editing)} />
      </Form>
    </Modal>
  );
}

function creation({ name, description, limits }: ProjectCreate): ProjectCreate {
  const set = limitsSet(limits);
  return { name, ...(description ? { description } : {}), ...(Object.keys(set).length ? { limits: set } : {}) };
}

/** Limits go along only when they were changed: who may not set them may still describe the project. */
function change({ description = "", limits }: ProjectCreate, editing?: Project): ProjectUpdate {
  return { description, ...(limits === undefined || sameLimits(limits, editing?.limits) ? {} : { limits: limitsSet(limits) }) };
}

function sameAs(values: ProjectCreate, editing?: Project): Same {
  const { name, description = "", limits } = values;
  const words = limits ? limitWords(limits, editing?.limits) : [];
  if (editing) return { command: ["aicp", "project", "update", name, "--description", description, ...words], method: "PATCH", path: `/api/v1/projects/${name}`, body: change(values, editing) };
  return { command: ["aicp", "project", "create", name, ...(description ? ["--description", description] : []), ...words], method: "POST", path: "/api/v1/projects", body: creation(values) };
}
