import { Form, Input, Modal, Select } from "antd";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Provider, ProviderCreate, ProviderUpdate } from "../../api/schema";
import { Equivalent, type Same } from "../../parts/Equivalent";
import { useAction } from "../../queries/action";

const ENDPOINTS = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank", "/v1/responses"] as const;
const USUAL = ENDPOINTS.slice(0, 3);

/** Adds an outside provider or changes it; its credential is given and never shown. */
export function ProviderDialog({ open, editing, onClose }: { open: boolean; editing: Provider | null; onClose: () => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<ProviderCreate>();
  const written = Form.useWatch((values: ProviderCreate) => values, form);
  const create = useAction((values: ProviderCreate) => need(api.POST("/api/v1/providers", { body: withCredential(values, values) })), ["provider"], { form, onDone: onClose });
  const update = useAction((values: ProviderCreate) => need(api.PATCH("/api/v1/providers/{name}", { params: { path: { name: editing?.name ?? "" } }, body: change(values) })), ["provider"], { form, onDone: onClose });
  return (
    <Modal title={editing ? t("providers.editTitle", { name: editing.name }) : t("providers.create")} open={open} onCancel={onClose} okText={t(editing ? "action.save" : "providers.create")} cancelText={t("action.cancel")} confirmLoading={create.isPending || update.isPending} onOk={() => form.submit()} destroyOnHidden>
      <Form<ProviderCreate> form={form} layout="vertical" preserve={false} initialValues={editing ? { ...editing, credential: undefined } : { models: [], endpoints: USUAL }} onFinish={(values) => (editing ? update : create).mutate(values)}>
        <Form.Item name="name" label={t("providers.name")} rules={editing ? [] : [{ required: true, message: t("form.required") }, { pattern: /^[a-z0-9](?:[a-z0-9._-]{0,28}[a-z0-9])?$/, message: t("form.name") }]}><Input autoFocus={!editing} maxLength={30} disabled={Boolean(editing)} autoComplete="off" /></Form.Item>
        <Form.Item name="base_url" label={t("services.address")} extra={t("providers.addressHint")} rules={[{ required: true, message: t("form.required") }]}><Input maxLength={1000} placeholder="https://api.example.com/v1" autoComplete="off" /></Form.Item>
        <Form.Item name="credential" label={t("providers.credential")} extra={t(editing?.has_credential ? "providers.credentialKept" : "providers.credentialHint")}><Input.Password maxLength={8192} autoComplete="new-password" /></Form.Item>
        <Form.Item name="models" label={t("keys.models")} extra={t("providers.modelsHint")} rules={[{ required: true, message: t("form.required") }]}><Select mode="tags" open={false} suffixIcon={null} tokenSeparators={[",", " "]} /></Form.Item>
        <Form.Item name="endpoints" label={t("providers.endpoints")} rules={[{ required: true, message: t("form.required") }]}><Select mode="multiple" options={ENDPOINTS.map((value) => ({ value, label: value }))} /></Form.Item>
        <Form.Item name="description" label={t("models.description")}><Input.TextArea maxLength={2000} autoSize={{ minRows: 1, maxRows: 6 }} /></Form.Item>
        <Equivalent same={sameAs({ ...written, base_url: written?.base_url ?? "", models: written?.models ?? [], name: editing?.name ?? (written?.name || "NAME") }, editing)} />
      </Form>
    </Modal>
  );
}

/** An empty field for the credential says nothing about it. */
function withCredential<T extends object>(values: ProviderCreate, fields: T): T {
  const { credential, ...rest } = { ...fields, credential: values.credential };
  return (credential ? { ...rest, credential } : rest) as T;
}

function change(values: ProviderCreate): ProviderUpdate {
  const { base_url, models, endpoints, description = "" } = values;
  return withCredential(values, { base_url, models, endpoints, description });
}

/** What the form does as a command and as REST; the credential comes from the environment. */
function sameAs(values: ProviderCreate, editing: Provider | null): Same {
  const shown = { ...values, credential: values.credential ? "$CREDENTIAL" : undefined };
  const endpoints = values.endpoints ?? [];
  const usual = JSON.stringify(endpoints) === JSON.stringify(editing?.endpoints ?? USUAL);
  const words = [
    "--base-url", values.base_url,
    ...values.models.flatMap((model) => ["--model", model]),
    ...(usual ? [] : endpoints.flatMap((endpoint) => ["--endpoint", endpoint])),
    ...(shown.credential ? ["--credential", "-"] : []),
    ...(values.description ? ["--description", values.description] : []),
  ];
  if (editing) return { command: ["aicp", "provider", "update", editing.name, ...words], method: "PATCH", path: `/api/v1/providers/${editing.name}`, body: change(shown) };
  return { command: ["aicp", "provider", "create", values.name, ...words], method: "POST", path: "/api/v1/providers", body: withCredential(shown, shown) };
}
