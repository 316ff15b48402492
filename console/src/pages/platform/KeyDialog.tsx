import { useQuery } from "@tanstack/react-query";
import { DatePicker, Form, Input, Modal, Select } from "antd";
import dayjs, { type Dayjs } from "dayjs";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { ApiKey, ApiKeyUpdate } from "../../api/schema";
import { Secret } from "../../parts/Code";
import { Equivalent, type Same } from "../../parts/Equivalent";
import { SearchSelect } from "../../parts/SearchSelect";
import { useAction } from "../../queries/action";
import { projectChoices, useHomeProject } from "../../queries/project";
import { servicesQuery } from "../../queries/services";

interface Values {
  name: string;
  project: string;
  models?: string[];
  expires?: Dayjs | null;
}

/** Makes a key and shows it once, or changes what a key may. */
export function KeyDialog({ open, editing, onClose }: { open: boolean; editing: ApiKey | null; onClose: () => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<Values>();
  const [secret, setSecret] = useState<string | null>(null);
  const written = Form.useWatch((values: Values) => values, form);
  const home = useHomeProject();
  const { data: services } = useQuery({ ...servicesQuery(), enabled: open });
  const create = useAction((values: Values) => need(api.POST("/api/v1/keys", { body: { ...limits(values), project: values.project } })), ["key"], { form, names: NAMES, onDone: (answer) => setSecret(answer.secret) });
  const update = useAction((values: Values) => need(api.PATCH("/api/v1/keys/{key_id}", { params: { path: { key_id: editing?.id ?? "" } }, body: editing ? changed(values, editing) : limits(values) })), ["key"], { form, names: NAMES, onDone: onClose });
  return (
    <Modal
      title={secret ? t("keys.createdTitle") : editing ? t("keys.editTitle", { name: editing.name }) : t("keys.create")}
      open={open}
      destroyOnHidden
      mask={{ closable: secret === null }}
      onCancel={onClose}
      afterClose={() => setSecret(null)}
      okText={secret ? t("action.done") : t(editing ? "action.save" : "keys.create")}
      cancelText={t("action.cancel")}
      cancelButtonProps={{ hidden: secret !== null }}
      confirmLoading={create.isPending || update.isPending}
      onOk={secret ? onClose : () => form.submit()}
    >
      {secret ? <Secret text={secret} /> : (
        <Form<Values>
          form={form}
          layout="vertical"
          preserve={false}
          initialValues={editing ? { name: editing.name, project: editing.project, models: editing.models ?? [], expires: editing.expires_at ? dayjs(editing.expires_at) : null } : { project: home, models: [] }}
          onFinish={(values) => (editing ? update : create).mutate(values)}
        >
          <Form.Item name="name" label={t("keys.name")} extra={t("keys.nameHint")} rules={[{ required: true, whitespace: true, message: t("form.required") }]}><Input maxLength={100} autoFocus autoComplete="off" /></Form.Item>
          <Form.Item name="project" label={t("keys.project")} rules={[{ required: true }]}><SearchSelect kind="project" label={t("keys.project")} disabled={editing !== null} load={projectChoices} /></Form.Item>
          <Form.Item name="models" label={t("keys.models")}><Select mode="multiple" placeholder={t("keys.allModels")} options={services?.items.map((service) => ({ value: service.name, label: service.name }))} /></Form.Item>
          <Form.Item name="expires" label={t("keys.expires")} extra={editing?.expires_at ? t("keys.expiresHint") : undefined}><DatePicker showTime allowClear style={{ width: "100%" }} placeholder={t("keys.never")} minDate={dayjs().startOf("minute")} /></Form.Item>
          <Equivalent same={sameAs({ name: "NAME", project: home, ...given(written) }, editing)} />
        </Form>
      )}
    </Modal>
  );
}

/** The platform's names of fields that the form calls otherwise. */
const NAMES = { expires_at: "expires" };

const limits = (values: Values) => ({ name: values.name, models: values.models?.length ? values.models : null, expires_at: values.expires?.toISOString() ?? null });

/** Only what differs: a key that is over can be renamed without a new end. */
function changed(values: Values, editing: ApiKey): ApiKeyUpdate {
  const { name, models, expires_at } = limits(values);
  const sameModels = JSON.stringify(models) === JSON.stringify(editing.models?.length ? editing.models : null);
  const sameEnd = expires_at === null ? editing.expires_at == null : editing.expires_at != null && Date.parse(expires_at) === Date.parse(editing.expires_at);
  return { ...(name === editing.name ? {} : { name }), ...(sameModels ? {} : { models }), ...(sameEnd ? {} : { expires_at }) };
}

/** What was written so far, without what is empty. */
const given = (written: Values | undefined) => Object.fromEntries(Object.entries(written ?? {}).filter(([, value]) => Boolean(value))) as Partial<Values>;

function sameAs(values: Values, editing: ApiKey | null): Same {
  const models = values.models?.flatMap((model) => ["--model", model]) ?? [];
  const expires = values.expires ? ["--expires", values.expires.format("YYYY-MM-DDTHH:mm:ss")] : [];
  if (editing) return { command: ["aicp", "key", "update", editing.id, "--name", values.name, ...(models.length ? models : ["--all-models"]), ...(expires.length ? expires : ["--never-expires"])], method: "PATCH", path: `/api/v1/keys/${editing.id}`, body: limits(values) };
  const body = { ...limits(values), project: values.project };
  return { command: ["aicp", "key", "create", values.name, "--project", values.project, ...models, ...expires], method: "POST", path: "/api/v1/keys", body, document: { kind: "key", ...body } };
}
