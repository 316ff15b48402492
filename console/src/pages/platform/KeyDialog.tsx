import { useQuery } from "@tanstack/react-query";
import { Collapse, DatePicker, Form, Input, Modal, Select } from "antd";
import dayjs from "dayjs";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { ApiKey } from "../../api/schema";
import { Secret } from "../../parts/Code";
import { Equivalent } from "../../parts/Equivalent";
import { SearchSelect } from "../../parts/SearchSelect";
import { useAction } from "../../queries/action";
import { projectChoices, useHomeProject } from "../../queries/project";
import { servicesQuery } from "../../queries/services";
import { KeyRules } from "./KeyRules";
import { changed, creation, NAMES, sameAs, valuesOf, type KeyValues } from "./keyValues";
import { LimitsFields } from "./LimitsFields";

/** Makes a key and shows it once, or changes what a key may. */
export function KeyDialog({ open, editing, onClose }: { open: boolean; editing: ApiKey | null; onClose: () => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<KeyValues>();
  const [secret, setSecret] = useState<string | null>(null);
  const written = Form.useWatch((values: KeyValues) => values, form);
  const home = useHomeProject();
  const { data: services } = useQuery({ ...servicesQuery(), enabled: open });
  const create = useAction((values: KeyValues) => need(api.POST("/api/v1/keys", { body: creation(values) })), ["key"], { form, names: NAMES, onDone: (answer) => setSecret(answer.secret) });
  const update = useAction((values: KeyValues) => need(api.PATCH("/api/v1/keys/{key_id}", { params: { path: { key_id: editing?.id ?? "" } }, body: editing ? changed(values, editing) : {} })), ["key"], { form, names: NAMES, onDone: onClose });
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
        <Form<KeyValues>
          form={form}
          layout="vertical"
          preserve={false}
          initialValues={editing ? valuesOf(editing) : { project: home, models: [], priority: "default" }}
          onFinish={(values) => (editing ? update : create).mutate(values)}
        >
          <Form.Item name="name" label={t("keys.name")} extra={t("keys.nameHint")} rules={[{ required: true, whitespace: true, message: t("form.required") }]}><Input maxLength={100} autoFocus autoComplete="off" /></Form.Item>
          <Form.Item name="project" label={t("keys.project")} rules={[{ required: true }]}><SearchSelect kind="project" label={t("keys.project")} disabled={editing !== null} load={projectChoices} /></Form.Item>
          <Form.Item name="models" label={t("keys.models")}><Select mode="multiple" placeholder={t("keys.allModels")} options={services?.items.map((service) => ({ value: service.name, label: service.name }))} /></Form.Item>
          <Form.Item name="expires" label={t("keys.expires")} extra={editing?.expires_at ? t("keys.expiresHint") : undefined}><DatePicker showTime allowClear style={{ width: "100%" }} placeholder={t("keys.never")} minDate={dayjs().startOf("minute")} /></Form.Item>
          <Form.Item name="tags" label={t("keys.tags")} extra={t("keys.tagsHint")}><Select mode="tags" open={false} suffixIcon={null} tokenSeparators={[",", " "]} maxCount={20} /></Form.Item>
          <Collapse
            ghost
            size="small"
            items={[
              { key: "limits", label: t("limits.title"), forceRender: true, children: <LimitsFields /> },
              { key: "rules", label: t("keys.rules"), forceRender: true, children: <KeyRules /> },
            ]}
          />
          <Equivalent same={sameAs({ name: "NAME", project: home, ...given(written) }, editing)} />
        </Form>
      )}
    </Modal>
  );
}

/** What was written so far, without what is empty. */
const given = (written: KeyValues | undefined) => Object.fromEntries(Object.entries(written ?? {}).filter(([, value]) => Boolean(value))) as Partial<KeyValues>;
